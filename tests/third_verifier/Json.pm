package Json;

# JSON as docs/bundle-format.md wants it read, and the JSON Schemas of docs/schemas.
#
# A text becomes a Perl string, an object a hash, an array an array, null undef; a number and
# true or false become objects that keep what stood there.

use v5.36;

use constant {MAX_DEPTH => 32, MAX_VALUES => 8_000_000, MAX_INTEGER => 9_007_199_254_740_991};

# read BYTES: the one JSON value there.  Dies for anything that is not strictly that.
sub read ($bytes) {
    die "more than printable ASCII\n" unless $bytes =~ /\A[\t\n\r -~]*\z/;
    my $text = $bytes;
    my $marks = 0;
    my $value = _value(\$text, 0, \$marks);
    $text =~ /\G[ \t\r\n]*/gc;
    die "something follows the value\n" if pos $text < length $text;
    return $value;
}

# What opens an object or an array, and commas, are counted.
sub _count ($marks) {
    die "too many values\n" if ++$$marks > MAX_VALUES;
    return 1;
}

sub _value ($text, $depth, $marks) {
    $$text =~ /\G[ \t\r\n]*/gc;
    return _object($text, $depth + 1, $marks) if $$text =~ /\G\{/gc;
    return _array($text, $depth + 1, $marks) if $$text =~ /\G\[/gc;
    return _string($text) if substr($$text, pos $$text, 1) eq '"';
    return undef if $$text =~ /\Gnull/gc;
    return bless \(my $copy = $1), 'Json::Boolean' if $$text =~ /\G(true|false)/gc;
    return _number($1) if $$text =~ /\G(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)/gc;
    die "no JSON\n";
}

sub _number ($text) {
    if ($text =~ /[.eE]/) {
        die "a number in another form\n"
            unless $text =~ /\A-?(?:(?:0|[1-9][0-9]{0,15})\.[0-9]{0,20}[1-9]|[1-9](?:\.[0-9]{0,20}[1-9])?e-(?:0[1-9]|[1-9][0-9]))\z/;
        return bless \$text, 'Json::Fraction';
    }
    die "-0\n" if $text eq '-0';
    die "a number is beyond 2^53\n" if length $text > 17 || abs($text) > MAX_INTEGER;
    return bless \$text, 'Json::Integer';
}

my %ESCAPES = ('"' => '"', '\\' => '\\', '/' => '/', b => "\b", f => "\f", n => "\n", r => "\r", t => "\t");

sub _string ($text) {
    my $found = '';
    die "no text\n" unless $$text =~ /\G"/gc;
    until ($$text =~ /\G"/gc) {
        if ($$text =~ /\G([^"\\\x00-\x1f]+)/gc) { $found .= $1 }
        elsif ($$text =~ /\G\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})/gc) {
            $found .= chr(0x10000 + ((hex($1) & 0x3ff) << 10) + (hex($2) & 0x3ff));
        }
        elsif ($$text =~ /\G\\u([dD][89a-fA-F])/gc) { die "half of a surrogate pair\n" }
        elsif ($$text =~ /\G\\u([0-9a-fA-F]{4})/gc) { $found .= chr hex $1 }
        elsif ($$text =~ /\G\\(["\\\/bfnrt])/gc) { $found .= $ESCAPES{$1} }
        else { die "a text that does not end, or holds what it may not\n" }
    }
    return $found;
}

sub _array ($text, $depth, $marks) {
    die "nested too deep\n" if _count($marks) && $depth > MAX_DEPTH;
    my @found;
    return \@found if $$text =~ /\G[ \t\r\n]*\]/gc;
    while (1) {
        push @found, _value($text, $depth, $marks);
        return \@found if $$text =~ /\G[ \t\r\n]*\]/gc;
        $$text =~ /\G[ \t\r\n]*,/gc && _count($marks) or die "an array that does not end\n";
    }
}

sub _object ($text, $depth, $marks) {
    die "nested too deep\n" if _count($marks) && $depth > MAX_DEPTH;
    my %found;
    return \%found if $$text =~ /\G[ \t\r\n]*\}/gc;
    while (1) {
        $$text =~ /\G[ \t\r\n]*/gc;
        my $name = _string($text);
        die "a name twice\n" if exists $found{$name};
        $$text =~ /\G[ \t\r\n]*:/gc or die "a name without a value\n";
        $found{$name} = _value($text, $depth, $marks);
        return \%found if $$text =~ /\G[ \t\r\n]*\}/gc;
        $$text =~ /\G[ \t\r\n]*,/gc && _count($marks) or die "an object that does not end\n";
    }
}

# canonical BYTES: the value, if it is written in canonical form.
sub canonical ($bytes) {
    my $value = Json::read($bytes);
    die "not canonical JSON\n" unless _write($value) eq $bytes;
    return $value;
}

sub _write ($value) {
    return 'null' unless defined $value;
    my $kind = ref $value;
    return '[' . join(',', map { _write($_) } @$value) . ']' if $kind eq 'ARRAY';
    return '{' . join(',', map { _text($_) . ':' . _write($value->{$_}) } sort keys %$value) . '}' if $kind eq 'HASH';
    return _text($value) if $kind eq '';
    die "a number with a point or an exponent\n" if $kind eq 'Json::Fraction';
    return $$value;
}

sub _text ($text) {
    die "a text that is not printable ASCII\n" unless $text =~ /\A[ -~]*\z/;
    return '"' . $text =~ s/(["\\])/\\$1/gr . '"';
}

# fits VALUE SCHEMA: dies where the value is not of the form.  A word that is not known here dies, too.
my %IGNORED = map { $_ => 1 } qw($schema $id $defs description default);

sub fits ($value, $schema, $where = '', $whole = $schema) {
    if (my $ref = $schema->{'$ref'}) {
        my ($name) = $ref =~ m{\A#/\$defs/(\w+)\z} or die "schema: $ref\n";
        return fits($value, $whole->{'$defs'}{$name}, $where, $whole);
    }
    my $wrong = sub ($what) { die "$where: $what\n" };
    # Other words rely on the type.
    for my $word (sort { ($b eq 'type') <=> ($a eq 'type') } grep { !$IGNORED{$_} } sort keys %$schema) {
        my $has = $schema->{$word};
        my $check = __PACKAGE__->can("_$word") // die "schema: the word $word is not known\n";
        $check->($value, $has, $schema, $where, $whole) or $wrong->($word);
    }
    return;
}

sub _type ($value, $has, @) {
    my %is = (ARRAY => 'array', HASH => 'object', 'Json::Boolean' => 'boolean', '' => 'string');
    my $kind = ref $value;
    my $type = !defined $value ? 'null' : $is{$kind} // ($kind eq 'Json::Integer' ? 'integer' : 'number');
    return $type eq $has || $type eq 'integer' && $has eq 'number';
}

sub _plain ($value) { ref $value ? $$value : $value }
sub _const ($value, $has, @) { defined $value && _plain($value) eq $has }
sub _enum ($value, $has, @) { defined $value && grep { _plain($value) eq $_ } @$has }
sub _minimum ($value, $has, @) { $$value >= $has }
sub _maximum ($value, $has, @) { $$value <= $has }
sub _exclusiveMinimum ($value, $has, @) { $$value > $has }
sub _exclusiveMaximum ($value, $has, @) { $$value < $has }
sub _minLength ($value, $has, @) { length $value >= $has }
sub _maxLength ($value, $has, @) { length $value <= $has }
sub _minItems ($value, $has, @) { @$value >= $has }
sub _maxItems ($value, $has, @) { @$value <= $has }
sub _minProperties ($value, $has, @) { keys %$value >= $has }
sub _maxProperties ($value, $has, @) { keys %$value <= $has }

sub _uniqueItems ($value, @) {
    my %seen;
    return !grep { $seen{$_}++ } @$value;
}

sub _pattern ($value, $has, @) {
    my $pattern = $has =~ s/\$(?=\z|\))/\\z/gr; # in ECMA-262 "$" is the end and not before a newline
    return $value =~ /$pattern/;
}

sub _required ($value, $has, @) { !grep { !exists $value->{$_} } @$has }

sub _items ($value, $has, $, $where, $whole) {
    fits($value->[$_], $has, "$where/$_", $whole) for 0 .. $#$value;
    return 1;
}

sub _prefixItems ($value, $has, $, $where, $whole) {
    fits($value->[$_], $has->[$_], "$where/$_", $whole) for 0 .. ($#$value < $#$has ? $#$value : $#$has);
    return 1;
}

sub _properties ($value, $has, $, $where, $whole) {
    fits($value->{$_}, $has->{$_}, "$where/$_", $whole) for grep { exists $value->{$_} } sort keys %$has;
    return 1;
}

sub _propertyNames ($value, $has, $, $where, $whole) {
    fits($_, $has, "$where/", $whole) for sort keys %$value;
    return 1;
}

sub _additionalProperties ($value, $has, $schema, $where, $whole) {
    my @others = grep { !exists $schema->{properties}{$_} } sort keys %$value;
    return !@others unless ref $has eq 'HASH';
    fits($value->{$_}, $has, "$where/$_", $whole) for @others;
    return 1;
}

sub _anyOf ($value, $has, $, $where, $whole) {
    return scalar grep { my $schema = $_; eval { fits($value, $schema, $where, $whole); 1 } } @$has;
}

# schema FILE: a schema to give to fits.
sub schema ($file) {
    open my $handle, '<:raw', $file or die "$file: $!\n";
    local $/ = undef;
    return _bare(Json::read(<$handle>));
}

sub _bare ($value) {
    my $kind = ref $value;
    return {map { $_ => _bare($value->{$_}) } keys %$value} if $kind eq 'HASH';
    return [map { _bare($_) } @$value] if $kind eq 'ARRAY';
    return $$value eq 'true' if $kind eq 'Json::Boolean';
    return _plain($value);
}

1;
