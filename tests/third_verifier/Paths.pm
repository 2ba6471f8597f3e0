package Paths;

# Paths as docs/bundle-format.md allows them ("Names"), and which of them are one file somewhere.

use v5.36;
use Encode ();

# The table of letters: first and last, every which of them is a capital, and how far its small one is.
my @LETTERS = (
    (map { [@$_, 1, 32] } [0x41, 0x5a], [0xc0, 0xd6], [0xd8, 0xde], [0x391, 0x3a1], [0x3a3, 0x3a9], [0x410, 0x42f]),
    (map { [@$_, 0, 0] } [0xe0, 0xf6], [0xf8, 0xff], [0x3b1, 0x3c1], [0x3c3, 0x3c9], [0x430, 0x45f]),
    (map { [@$_, 2, 1] } [0x100, 0x12f], [0x134, 0x137], [0x14a, 0x177], [0x1a0, 0x1a1], [0x218, 0x21b]),
    (map { [@$_, 2, 1] } [0x1ea0, 0x1ef9], [0x139, 0x13e], [0x141, 0x148], [0x179, 0x17e], [0x1af, 0x1b0], [0x490, 0x491]),
    [0x178, 0x178, 1, 0xff - 0x178],
    [0x400, 0x40f, 1, 80],
    (map { [@$_, 0, 0] } [0x3005, 0x3007], [0x3041, 0x3096], [0x30a1, 0x30fa], [0x30fc, 0x30fc], [0x3400, 0x4dbf]),
    (map { [@$_, 0, 0] } [0x4e00, 0x9fff], [0xac00, 0xd7a3]),
);
my %SMALL; # also of the letters that are small, or have no case
for my $row (@LETTERS) {
    my ($first, $last, $every, $far) = @$row;
    $SMALL{$_} = $every && ($_ - $first) % $every == 0 ? $_ + $far : $_ for $first .. $last;
}
my $DEVICE = qr/\A(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9]) *(?:\..*)?\z/ais;

# check BYTES: the path as text.  Dies for one that may not be.
sub check ($bytes) {
    die "too long\n" if length $bytes > 1024;
    my $path = eval { Encode::decode('UTF-8', $bytes, Encode::FB_CROAK) } // die "not UTF-8\n";
    for my $character (split //, $path) {
        die "a character that may not be\n"
            unless $character =~ m{[ -~]} && $character !~ m{[\\:*?"<>|]} || exists $SMALL{ord $character};
    }
    my @components = split m{/}, $path, -1;
    die "nested too deep\n" if @components > 32;
    die "no component\n" unless @components;
    die "it cannot be listed\n" if small($components[0]) =~ /\A(?:sha256sums|statement\.json|sigs|trust)\z/;
    for my $component (@components) {
        die "an empty component, . or ..\n" if $component =~ /\A\.{0,2}\z/;
        die "a component too long\n" if length Encode::encode('UTF-8', $component) > 255;
        die "a component with a wrong end\n" if $component =~ /\A[- ]|[. ]\z/;
        die "the name of a device\n" if $component =~ $DEVICE;
    }
    return $path;
}

# small PATH: with small letters for capital ones.
sub small ($path) {
    return join '', map { chr($SMALL{ord $_} // ord $_) } split //, $path;
}

# folders PATHS: every directory that they need.
sub folders (@paths) {
    my %found;
    for my $path (@paths) {
        while ($path =~ s{/[^/]*\z}{}) { last if $found{$path}++ }
    }
    return sort keys %found;
}

# collide PATHS: dies where two files or directories are one on some file system.
sub collide (@paths) {
    my %seen;
    for my $path (@paths, folders(@paths)) {
        my $key = small($path);
        die "$seen{$key} and $path\n" if exists $seen{$key};
        $seen{$key} = $path;
    }
    return;
}

1;
