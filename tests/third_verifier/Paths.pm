package Paths;

# Paths as docs/bundle-format.md allows them ("Names"), and which of them are one file somewhere.

use v5.36;
use Encode ();
use Unicode::Normalize qw(NFC NFKC NFKD);

# Assigned in the version of Unicode that the format names; what came later is not.
my $ASSIGNED = qr/\A\p{Present_In: 14.0}*\z/;
my $UNFIT = qr/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\p{Cn}\p{Default_Ignorable_Code_Point}\x{2800}]|(?! )\p{Zs}/;
my $DEVICE = qr/\A(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\xb9\xb2\xb3]) *(?:\..*)?\z/ais;

# check BYTES: the path as text.  Dies for one that may not be.
sub check ($bytes) {
    die "too long\n" if length $bytes > 1024;
    my $path = eval { Encode::decode('UTF-8', $bytes, Encode::FB_CROAK) } // die "not UTF-8\n";
    die "unassigned characters\n" unless $path =~ $ASSIGNED;
    die "not in normal form C\n" if NFC($path) ne $path;
    _rules($path);
    my $other = NFKC($path);
    die "other components in normal form KC\n" if $other =~ tr{/}{} != $path =~ tr{/}{};
    _rules($other);
    die "too long in normal form KC\n" if length Encode::encode('UTF-8', $other) > 1024;
    return $path;
}

sub _rules ($path) {
    die "a character that may not be\n" if $path =~ /[\\:*?"<>|]/ || $path =~ $UNFIT;
    my @components = split m{/}, $path, -1;
    die "nested too deep\n" if @components > 32;
    die "no component\n" unless @components;
    for my $component (@components) {
        die "an empty component, . or ..\n" if $component =~ /\A\.{0,2}\z/;
        die "a component too long\n" if length Encode::encode('UTF-8', $component) > 255;
        die "a component with a wrong end\n" if $component =~ /\A[- ]|[. ]\z/;
        die "the name of a device\n" if $component =~ $DEVICE;
    }
    return;
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
        my $key = NFKC(CORE::fc(NFKC(CORE::fc(uc NFKD($path)))));
        die "$seen{$key} and $path\n" if exists $seen{$key};
        $seen{$key} = $path;
    }
    return;
}

1;
