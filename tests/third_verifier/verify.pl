#!/usr/bin/perl
# A third verifier: follows docs/bundle-format.md and docs/schemas and shares no code, to see whether they are enough.
#
#   perl verify.pl DIR --root ROOT.json [--profile cnsa-2.0]
#
# Perl's standard library, and openssl for signatures.
# Exit codes: 0 verified, 2 bad input or usage, 3 not trusted.

use v5.36;
use FindBin ();
use lib $FindBin::RealBin;
use Digest::SHA qw(sha256_hex sha384_hex);
use Fcntl qw(O_RDONLY O_NOFOLLOW O_NONBLOCK S_ISREG S_ISDIR);
use File::Temp ();
use MIME::Base64 qw(decode_base64 encode_base64);
use POSIX qw(strftime);
use Json;
use Paths;

my $DOCS = "$FindBin::RealBin/../../docs/schemas";
my %SCHEMAS = map { $_ => Json::schema("$DOCS/$_.schema.json") } qw(bundle root statement);
my ($NOW, $LATEST) = map { strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $_) } time, time + 24 * 3600;
my $WORK = File::Temp->newdir;

exit main(@ARGV);

sub main (@words) {
    my ($bundle, $option, $root, @further) = @words;
    @words >= 3 && $option eq '--root' && grep { "@further" eq $_ } '', '--profile cnsa-2.0'
        or return told(2, 'usage: perl verify.pl DIR --root ROOT.json [--profile cnsa-2.0]');
    open my $file, '<:raw', $root or return told(2, "$root: $!");
    read $file, my $trusted, 1_048_577;
    defined $trusted or return told(2, "$root cannot be read");
    chdir $bundle or return told(2, "$bundle: $!");
    eval { verify($trusted, scalar @further); 1 } and return 0;
    chomp(my $problem = $@);
    return told(3, 'NOT TRUSTED: ' . $problem =~ s/[^ -~]/?/gr);
}

sub told ($code, $text) {
    say STDERR $text;
    return $code;
}

# verify TRUSTED CNSA: dies unless it holds; CNSA is whether the profile CNSA 2.0 is demanded on top.
sub verify ($trusted, $cnsa) {
    my %there = walk('');
    my $root = chain($trusted, $cnsa, grep { m{\Atrust/} } keys %there);
    die "the root document has expired\n" if $NOW ge $root->{expires};
    my $statement = statement($root, $cnsa, map { m{\Asigs/(.*)}s ? $1 : () } keys %there);
    my $listed = list($statement);
    same_set(\%there, $listed, $statement);
    for my $path (sort keys %$listed) {
        my $found = Digest::SHA->new(256)->addfile(opened($path))->hexdigest;
        die "$path: not the file that was signed\n" if $found ne $listed->{$path};
    }
    by_sha384($listed) if $cnsa;
    meaning(\%there, $listed, $statement);
    return;
}

# Files ---------------------------------------------------------------------------------------------

# walk FOLDER: all that lies below, a file's size or -1 for a directory, by path.
sub walk ($folder) {
    my %found;
    opendir my $handle, $folder || '.' or die "$folder: $!\n";
    for my $name (grep { !/\A\.\.?\z/ } readdir $handle) {
        my $path = $folder eq '' ? $name : "$folder/$name";
        my @status = lstat $path or die "$path: $!\n";
        if (S_ISDIR($status[2])) { %found = (%found, $path => -1, walk($path)) }
        elsif (!S_ISREG($status[2]) || $status[2] & 06000) { die "$path: not an ordinary file\n" }
        else { $found{$path} = $status[7] }
        die "more than 2,000,000 files and directories\n" if keys %found > 2_000_000;
    }
    return %found;
}

sub opened ($path) {
    sysopen my $file, $path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK or die "$path: $!\n";
    -f $file or die "$path: not an ordinary file\n";
    binmode $file;
    return $file;
}

sub content ($path, $limit) {
    local $/ = undef;
    my $file = opened($path);
    die "$path: larger than $limit bytes\n" if -s $file > $limit;
    return <$file> // '';
}

# Signatures ----------------------------------------------------------------------------------------

sub decoded ($text) {
    my $bytes = decode_base64($text);
    die "base64 that is not canonical\n" if encode_base64($bytes, '') ne $text;
    return $bytes;
}

# envelope VALUE TYPE FIELDS...: payload, and what the signatures say.
sub envelope ($value, $type, @fields) {
    exactly($value, qw(payload payloadType signatures));
    die "another type of payload\n" if text($value->{payloadType}) ne $type;
    die "signatures are no list\n" if ref $value->{signatures} ne 'ARRAY';
    die "more than 64 signatures\n" if @{$value->{signatures}} > 64;
    for my $signature (@{$value->{signatures}}) {
        exactly($signature, @fields);
        text($signature->{$_}) for @fields;
        $signature->{sig} = decoded($signature->{sig});
    }
    return decoded(text($value->{payload})), @{$value->{signatures}};
}

sub exactly ($value, @fields) {
    ref $value eq 'HASH' && "@fields" eq join ' ', sort keys %$value or die "fields other than @fields\n";
    return;
}

sub text ($value) {
    defined $value && !ref $value or die "no text\n";
    return $value;
}

# kind DER: which type of key it is.
sub kind ($der) {
    return 'p256' if length $der == 91 && on_curve($der);
    return 'mldsa' if length $der == 2614 && unpack('H44', $der) eq '30820a32300b060960864801650304031303820a2100';
    die "neither ECDSA P-256 nor ML-DSA-87\n";
}

sub on_curve ($der) {
    unpack('H54', $der) eq '3059301306072a8648ce3d020106082a8648ce3d03010703420004' or return 0;
    state %known; # a chain names the same keys again and again
    return $known{$der} //= do {
        write_file('key', $der);
        openssl(qw(pkey -pubin -inform DER -noout -in key)) ? 1 : 0;
    };
}

# holds TYPE PAYLOAD SIGNATURE DER: whether the signature does; undef where this openssl cannot read the key.
sub holds ($type, $payload, $signature, $der) {
    write_file('message', sprintf 'DSSEv1 %d %s %d %s', length $type, $type, length $payload, $payload);
    write_file('signature', $signature);
    write_file('key', $der);
    if (kind($der) eq 'mldsa') {
        openssl(qw(pkey -pubin -inform DER -noout -in key)) or return undef;
        return length $signature == 4627
            && openssl(qw(pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in message -sigfile signature));
    }
    return length $signature <= 72
        && openssl(qw(dgst -sha256 -keyform DER -verify key -signature signature message));
}

sub write_file ($name, $bytes) {
    open my $file, '>:raw', "$WORK/$name" or die "$name: $!\n";
    print $file $bytes or die "$name: $!\n";
    close $file or die "$name: $!\n";
    return;
}

sub openssl (@words) {
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        chdir "$WORK" and open STDOUT, '>', '/dev/null' and open STDERR, '>', '/dev/null' or POSIX::_exit(2);
        exec {'openssl'} 'openssl', @words or POSIX::_exit(2);
    }
    waitpid $pid, 0;
    return $? == 0;
}

# The root chain ------------------------------------------------------------------------------------

sub root ($bytes) {
    my ($payload, @signatures) = envelope(Json::canonical($bytes), 'application/vnd.appliance.root.v1+json', qw(keyid sig));
    my @ids = map { $_->{keyid} } @signatures;
    /\A[0-9a-f]{64}\z/ or die "no key id\n" for @ids;
    $ids[$_ - 1] lt $ids[$_] or die "signatures that are not sorted, or a key twice\n" for 1 .. $#ids;
    my $document = Json::canonical($payload);
    Json::fits($document, $SCHEMAS{root});
    my %keys = map { $_ => decoded($document->{keys}{$_}{spki}) } keys %{$document->{keys}};
    sha256_hex($keys{$_}) eq $_ or die "key $_ is not the SHA-256 of its key\n" for keys %keys;
    my %kinds = map { $_ => kind($keys{$_}) } keys %keys;
    my %revoked = map { $_ => 1 } @{$document->{revoked}};
    for my $name (keys %{$document->{roles}}) {
        my $role = $document->{roles}{$name};
        die "a threshold that cannot be reached\n" if ${$role->{threshold}} > @{$role->{keyids}};
        for my $id (@{$role->{keyids}}) {
            die "key $id is not there\n" unless exists $keys{$id};
            die "key $id is revoked\n" if $revoked{$id};
            die "key $id is of the wrong type for $name\n" if $kinds{$id} ne ($name =~ /_post_quantum/ ? 'mldsa' : 'p256');
        }
    }
    return {%$document, payload => $payload, signatures => \@signatures, der => \%keys};
}

# chain TRUSTED CNSA NAMES: the newest document, when all the chain's links hold and one of them is the trusted one.
sub chain ($trusted_bytes, $cnsa, @names) {
    my $trusted = root($trusted_bytes);
    die "no root chain, or a long one\n" if @names < 1 || @names > 1000;
    my ($before, $found, $bytes, $signatures, %keys, @roots);
    for my $number (1 .. @names) {
        my $name = "trust/$number.root.json";
        my $content = content($name, 1_048_576);
        die "too many bytes in the root chain\n" if ($bytes += length $content) > 67_108_864;
        my $root = root($content);
        die "too many signatures in the root chain\n" if ($signatures += @{$root->{signatures}}) > 8192;
        $keys{$_} = 1 for keys %{$root->{der}};
        die "too many keys in the root chain\n" if keys %keys > 2048;
        lasts($root);
        die "$name: another version\n" if ${$root->{version}} != $number;
        push @roots, $root;
    }
    for my $root (@roots) {
        my $known = $found;
        $found ||= $root->{payload} eq $trusted->{payload};
        link_holds($before // $root, $root, $cnsa && $found ? ($known ? $before : (), $root) : ());
        $before = $root;
    }
    die "the root chain does not hold the trusted root document\n" unless $found;
    return $before;
}

# link_holds BEFORE ROOT CO...: dies unless ROOT follows BEFORE, and the co-signers of each of CO have signed it.
sub link_holds ($before, $root, @co) {
    my (%may, %signed);
    for my $of ($before, $root) {
        for my $role (grep { defined } @{$of->{roles}}{qw(root root_post_quantum)}) {
            $may{$_} = $of->{der}{$_} for @{$role->{keyids}};
        }
    }
    for my $signature (@{$root->{signatures}}) {
        my $der = $may{$signature->{keyid}} // die "key $signature->{keyid} may not sign root documents\n";
        my $holds = holds('application/vnd.appliance.root.v1+json', $root->{payload}, $signature->{sig}, $der);
        die "the signature of $signature->{keyid} does not hold\n" if defined $holds && !$holds;
        $signed{$signature->{keyid}} = $holds;
    }
    my @asked = map { $_->{roles}{root_post_quantum} // die "root documents have no co-signers\n" } @co;
    for my $role ((map { $_->{roles}{root} } $before, $root), @asked) {
        die "too few keys of the root role have signed\n" if ${$role->{threshold}} > grep { $signed{$_} } @{$role->{keyids}};
    }
    my %revoked = map { $_ => 1 } @{$root->{revoked}};
    die "a key is revoked no longer\n" if grep { !$revoked{$_} } @{$before->{revoked}};
    return;
}

# lasts DOCUMENT: dies unless it ends after it was made, and was not made in the future.
sub lasts ($document) {
    die "it ends before it begins\n" if $document->{created} ge $document->{expires};
    die "it was made in the future\n" if $document->{created} gt $LATEST;
    return;
}

# The statement and its list ------------------------------------------------------------------------

sub statement ($root, $cnsa, @names) {
    my $bytes = content('statement.json', 65_536);
    die "more than 64 signature files\n" if @names > 64;
    my %role;
    for my $name (qw(release release_post_quantum)) {
        $role{$_} = $name for @{$root->{roles}{$name}{keyids} // []};
    }
    my %count;
    for my $name (sort @names) {
        my ($id) = $name =~ /\A([0-9a-f]{64})\.sigstore\.json\z/ or die "sigs/$name: no signature file\n";
        my $role = $role{$id} // die "sigs/$name: its key may not sign bundles\n";
        $count{$role}++ if signed("sigs/$name", $id, $root->{der}{$id}, $bytes);
    }
    for my $name ('release', $cnsa ? 'release_post_quantum' : ()) {
        my $role = $root->{roles}{$name} // die "bundles have no co-signers\n";
        die "too few have signed the bundle\n" if ($count{$name} // 0) < ${$role->{threshold}};
    }
    my $statement = Json::canonical($bytes);
    Json::fits($statement, $SCHEMAS{statement});
    my $predicate = $statement->{predicate};
    die "the chain does not lead far enough\n" if ${$predicate->{minimum_root_version}} > ${$root->{version}};
    lasts($predicate);
    die "the bundle has expired\n" if $NOW ge $predicate->{expires};
    return $statement;
}

sub signed ($name, $id, $der, $statement) {
    my $value = Json::canonical(content($name, 262_144));
    exactly($value, qw(dsseEnvelope mediaType verificationMaterial));
    die "$name: another media type\n" if text($value->{mediaType}) ne 'application/vnd.dev.sigstore.bundle.v0.3+json';
    my $material = $value->{verificationMaterial};
    exactly($material, qw(publicKey tlogEntries));
    exactly($material->{publicKey}, 'hint');
    die "$name: another key than its name says\n" if text($material->{publicKey}{hint}) ne $id;
    die "$name: a transparency log\n" if ref $material->{tlogEntries} ne 'ARRAY' || @{$material->{tlogEntries}};
    my ($payload, @signatures) = envelope($value->{dsseEnvelope}, 'application/vnd.in-toto+json', 'sig');
    die "$name: not one signature\n" if @signatures != 1;
    die "$name: it signs another statement\n" if $payload ne $statement;
    my $holds = holds('application/vnd.in-toto+json', $payload, $signatures[0]{sig}, $der);
    die "$name: the signature does not hold\n" if defined $holds && !$holds;
    return $holds;
}

# list STATEMENT: SHA-256 by path.
sub list ($statement) {
    my $bytes = content('SHA256SUMS', 268_435_456);
    my $digest = $statement->{subject}[0]{digest};
    die "SHA256SUMS is not the list that was signed\n"
        if sha256_hex($bytes) ne $digest->{sha256} || sha384_hex($bytes) ne $digest->{sha384};
    die "SHA256SUMS has no end\n" unless $bytes =~ /\n\z/;
    my %listed;
    my ($last, @paths) = ('');
    for my $line (split /\n/, substr($bytes, 0, -1), -1) {
        my ($sum, $path) = $line =~ /\A([0-9a-f]{64})  (.+)\z/s or die "SHA256SUMS has a line of another form\n";
        die "SHA256SUMS is not sorted, or has a path twice\n" unless $last lt $path;
        push @paths, eval { Paths::check($path) } // die "$path: $@";
        $listed{$last = $path} = $sum;
    }
    die "more than 1,000,000 files\n" if @paths > 1_000_000;
    Paths::collide(@paths);
    die "another number of files than was signed\n" if @paths != ${$statement->{predicate}{files}};
    return \%listed;
}

# same_set THERE LISTED STATEMENT: dies unless the files are the listed ones, and nothing lies beside them.
sub same_set ($there, $listed, $statement) {
    my %folders = map { $_ => 1 } 'sigs', 'trust', Paths::folders(keys %$listed);
    for my $path (sort keys %$there) {
        my $expected = $there->{$path} < 0
            ? $folders{$path}
            : exists $listed->{$path} || $path =~ m{\A(?:SHA256SUMS|statement\.json|sigs/.*|trust/.*)\z}s;
        die "$path is not listed\n" unless $expected;
    }
    my $bytes = 0;
    for my $path (sort keys %$listed) {
        die "$path is missing\n" if ($there->{$path} // -1) < 0;
        $bytes += $there->{$path};
    }
    die "another number of bytes than was signed\n" if $bytes != ${$statement->{predicate}{bytes}};
    return;
}

sub sha384_lists ($listed) {
    return grep { m{\Aevidence/SHA384SUMS\.[0-9a-f]{96}\z} } keys %$listed;
}

# by_sha384 LISTED: dies unless one file lists the SHA-384 of all others, and its name has its own.
sub by_sha384 ($listed) {
    my ($list, @more) = sha384_lists($listed);
    die "not one list of SHA-384\n" if !defined $list || @more;
    my $bytes = content($list, 301_989_888);
    die "$list: another SHA-384 than its name says\n" if $list ne 'evidence/SHA384SUMS.' . sha384_hex($bytes);
    my @lines = map { Digest::SHA->new(384)->addfile(opened($_))->hexdigest . "  $_\n" }
        grep { $_ ne $list } sort keys %$listed;
    die "$list is not the list of all other files\n" if $bytes ne join '', @lines;
    return;
}

# meaning THERE LISTED STATEMENT: bundle.json, which has to explain every listed file.
sub meaning ($there, $listed, $statement) {
    my $bytes = content('bundle.json', 268_435_456);
    die "bundle.json changed\n" if sha256_hex($bytes) ne ($listed->{'bundle.json'} // '');
    my $index = Json::read($bytes);
    Json::fits($index, $SCHEMAS{bundle});
    $index->{$_} eq $statement->{predicate}{$_} or die "bundle.json has another $_\n" for qw(name version);
    my %names;
    $names{"$_->{kind}\0$_->{name}"}++ and die "two artifacts of one kind and name\n" for @{$index->{artifacts}};
    for my $artifact (@{$index->{artifacts}}) {
        my @files = map { $_->{path} } @{$artifact->{files}};
        for my $folder (grep { defined } @{$artifact->{details} // {}}{qw(path repository)}) {
            die "an artifact does not lie where it says\n" if !@files || grep { index($_, "$folder/") != 0 } @files;
        }
    }
    my %explained = map { $_ => 1 } qw(bundle.json verify.sh);
    my @lists = sha384_lists($listed);
    $explained{$lists[0]} = 1 if @lists == 1;
    for my $file (@{$index->{shared} // []}, map { @{$_->{files}} } @{$index->{artifacts}}) {
        utf8::encode(my $path = $file->{path});
        die "$path: bundle.json says something else of it\n"
            if ($listed->{$path} // '') ne $file->{sha256} || $there->{$path} != ${$file->{size}};
        $explained{$path} = 1;
    }
    for my $path (sort keys %$listed) {
        die "$path: bundle.json does not explain it\n" unless $explained{$path};
    }
    return;
}
