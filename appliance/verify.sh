#!/bin/sh
# Verifies a bundle with openssl, jq and GNU coreutils alone.
#
#   sh verify.sh DIR --root ROOT.json [--profile cnsa-2.0]
#
# DIR is the bundle; without it, the directory of this script.  ROOT.json is the root
# document that you trust.  Bring both this script and the root document yourself: whoever
# can change a bundle can change the copies that lie in it.
#
# Keys of ML-DSA-87 co-sign for those who demand the profile CNSA 2.0, and count for nobody
# else.  OpenSSL before 3.5 cannot read them: then such signatures count as absent, with a
# note, and the profile cannot be demanded.
#
# Exit codes: 0 verified, 1 failed, 2 usage or missing tools, 3 not trusted.
#
# What `appliance verify` checks beyond this: Unicode normal forms and letter case of names
# that are not ASCII, and what bundle.json says about artifacts and serving.  Let nobody
# write to the bundle meanwhile: a shell opens a file by its name each time it looks.
#
# shellcheck disable=SC2015,SC2016  # A && B || refuse: refuse does not return; $x in '' is jq's
set -eu

fail() { printf 'error: %s\n' "$1" >&2; exit 2; }

usage='usage: sh verify.sh DIR --root ROOT.json [--profile cnsa-2.0]'
bundle='' trusted='' profile=false
while [ $# -gt 0 ]; do
    case $1 in
        --root) [ $# -ge 2 ] || fail "no file after --root; $usage"; trusted=$2; shift ;;
        --root=*) trusted=${1#--root=} ;;
        --profile) [ "${2-}" = cnsa-2.0 ] || fail "the profile is cnsa-2.0; $usage"; profile=true; shift ;;
        --profile=cnsa-2.0) profile=true ;;
        -h | --help) printf '%s\n' "$usage"; exit 0 ;;
        -*) fail "unknown option $1; $usage" ;;
        *)
            if [ -z "$bundle" ]; then bundle=$1
            elif [ -z "$trusted" ]; then trusted=$1
            else fail "one argument too many: $1; $usage"; fi ;;
    esac
    shift
done
[ -n "$bundle" ] || bundle=$(dirname -- "$0")
[ -n "$trusted" ] || fail "no root document given; $usage"
for tool in openssl jq sha256sum sha384sum du; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done

# A relative DIR gets ./ in front, so that neither '-' nor CDPATH can change its meaning.
case $bundle in /*) ;; *) bundle=./$bundle ;; esac
[ -d "$bundle" ] && [ -r "$bundle" ] && [ -x "$bundle" ] || fail "not a readable directory: $bundle"
work=''
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' HUP INT TERM
# mktemp ends before it is interrupted, or its directory would stay.
work=$(trap '' HUP INT TERM && mktemp -d) || fail 'there is no place for temporary files; set TMPDIR'
case $work in /*) ;; *) work=$PWD/$work ;; esac
LC_ALL=C HOME=$work # jq would read definitions from ~/.jq
export LC_ALL HOME
head -c 1048577 <"$trusted" >"$work/trusted" || fail "cannot read the root document $trusted"
cd -- "$bundle"

ROOT_TYPE='application/vnd.appliance.root.v1+json'
STATEMENT_TYPE='application/vnd.in-toto+json'

# The forms of all JSON that is read, in jq.
FORMS='
def text($pattern): type == "string" and test("\\A(" + $pattern + ")\\z");
def number($low; $high): type == "number" and (tojson | test("\\A[0-9]+\\z")) and . >= $low and . <= $high;
def list($high): type == "array" and length >= 1 and length <= $high;
def fields($names): type == "object" and keys == ($names | split(" "));
def id: text("[0-9a-f]{64}");
def time: text("20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z");
# Letters in both cases: ignoring case takes jq ten times as long.
def device: test("(\\A|/)([cC][oO][nN]([iI][nN][$]|[oO][uU][tT][$])?|[pP][rR][nN]|[aA][uU][xX]|[nN][uU][lL]"
    + "|([cC][oO][mM]|[lL][pP][tT])[0-9\u00b9\u00b2\u00b3]) *([./]|\\z)");
def version: text("(0|[1-9][0-9]{0,8})(\\.(0|[1-9][0-9]{0,8})){1,3}(-[0-9a-z]+(\\.[0-9a-z]+)*)?") and length <= 64;

def root_envelope($media): fields("payload payloadType signatures")
    and .payloadType == $media and (.payload | type == "string")
    and (.signatures | type == "array" and length <= 64 and (map(.keyid) | . == unique)
        and all(.[]; fields("keyid sig") and (.keyid | id) and (.sig | type == "string")));
# Keys, in the one form of their SPKI DER: uncompressed P-256, and ML-DSA-87.
def p256: text("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==");
def mldsa: text("MIIKMjALBglghkgBZQMEAxMDggohA[A-Za-z0-9+/]{3457}==");
def role: fields("keyids threshold") and (.threshold | number(1; 64)) and .threshold <= (.keyids | length)
    and (.keyids | list(64) and all(.[]; id) and length == (unique | length));
def root($version): fields("created expires keys revoked roles schema version")
    and .schema == "appliance.root/v1" and (.version | number($version; $version)) and all(.created, .expires; time)
    and (.keys | type == "object" and length >= 1 and length <= 128 and all(keys[]; id)
        and all(.[]; fields("label spki use") and (.label | text("[ -~]{1,100}")) and (.use | text("production|demo"))
            and (.spki | p256 or mldsa)))
    and (.revoked | type == "array" and all(.[]; id))
    and (.roles | type == "object" and keys - ["release_post_quantum", "root_post_quantum"] == ["release", "root"]
        and all(.[]; role))
    and ([.roles[].keyids[]] as $used | $used - (.keys | keys) == [] and $used - .revoked == $used)
    and (.keys as $keys | .roles | all(.release, .root; all(.keyids[]; $keys[.].spki | p256))
        and all(.release_post_quantum, .root_post_quantum | values; all(.keyids[]; $keys[.].spki | mldsa)));
# Whether a root document follows the one before it: its signers are enough for both and in their
# root roles, and what was revoked stays revoked.
def met($signers): type == "object" and (.keyids - (.keyids - $signers) | length) >= .threshold;
def follows($previous; $envelope): ($envelope.signatures | map(.keyid)) as $signers
    | $signers - [(., $previous).roles | .root, .root_post_quantum | values | .keyids[]] == []
    and $previous.revoked - .revoked == [] and all((., $previous).roles.root; met($signers));
# Whether it is co-signed, and the one before it would have it so.
def co_signed($previous; $envelope): ($envelope.signatures | map(.keyid)) as $signers
    | all((., $previous).roles.root_post_quantum; met($signers));

def signature_file($signer; $media): fields("dsseEnvelope mediaType verificationMaterial")
    and .mediaType == "application/vnd.dev.sigstore.bundle.v0.3+json"
    and .verificationMaterial == {publicKey: {hint: $signer}, tlogEntries: []}
    and (.dsseEnvelope | fields("payload payloadType signatures")
        and .payloadType == $media and (.payload | type == "string")
        and (.signatures | list(1) and (.[0] | fields("sig") and (.sig | type == "string"))));

def statement: fields("_type predicate predicateType subject")
    and ._type == "https://in-toto.io/Statement/v1" and .predicateType == "urn:appliance:bundle:v1"
    and (.subject | list(1) and (.[0] | fields("digest name") and .name == "SHA256SUMS"
        and (.digest | fields("sha256 sha384") and (.sha256 | id) and (.sha384 | text("[0-9a-f]{96}")))))
    and (.predicate | fields("bytes created expires files minimum_root_version name previous version")
        and (.name | text("[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?") and (contains("..") or device | not))
        and (.version | version) and (.previous | . == null or version) and all(.created, .expires; time)
        and (.minimum_root_version | number(1; 1000000))
        and (.files | number(1; 1000000)) and (.bytes | number(0; 9007199254740991)));

# Characters that steer, separate or are nothing that an eye could see.
def unfit: test("[^ -~]") and test("(?! )\\p{Zs}|[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}\\p{Co}\\p{Cn}\u034f\u115f\u1160"
    + "\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\udb40\udd00-\udb40\uddef]");
# A line of SHA256SUMS: 64 digits, two spaces, a path that means the same file everywhere.
def sums_line: test("\\A[0-9a-f]{64}  [^/]") and (.[66:] | utf8bytelength <= 1024
    and (test("//|/\\z|(\\A|/)[ -]|[. ](/|\\z)|[\\\\:*?\"<>|]") or unfit or device | not)
    and (split("/") | length <= 32 and (.[0] | IN("SHA256SUMS", "statement.json", "sigs", "trust") | not)
        and all(.[]; utf8bytelength <= 255)));
'

# refuse WHAT [FILE [EXPECTED FOUND]]
refuse() {
    printf 'NOT TRUSTED: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  file:     %s\n' "$(printf '%s' "$2" | quoted --slurp)" >&2
    [ $# -lt 4 ] || printf '  expected: %s\n  found:    %s\n' "$3" "$4" >&2
    exit 3
}
# quoted: lines in a form that cannot steer a terminal
quoted() { jq --raw-input --ascii-output "$@" .; }
# same FILE FILE
same() { one=$(sha256sum <"$1") && two=$(sha256sum <"$2") && [ "$one" = "$two" ]; }
# copy NAME LIMIT TO: an ordinary file of at most LIMIT bytes; what is checked is what is used
copy() {
    [ -f "$1" ] && [ ! -L "$1" ] || refuse 'missing, or not an ordinary file' "$1"
    head -c "$(($2 + 1))" <"$1" >"$3" || refuse 'cannot be read' "$1"
    [ "$(wc -c <"$3")" -le "$2" ] || refuse "larger than $2 bytes" "$1"
}
# canonical FILE NAME FORM VALUES [JQ OPTION...]: one JSON value of a form, in the only way that it may
# be written; the lines that the jq expression VALUES makes of it go to "$work/lines"
canonical() {
    file=$1 name=$2 form=$3 values=$4
    shift 4
    jq --slurp --sort-keys --compact-output --raw-output "$@" \
        "$FORMS if length == 1 and (.[0] | $form) then .[0] | ., ($values) else error(\"form\") end" \
        "$file" >"$work/read" 2>/dev/null && head -n 1 "$work/read" | tr -d '\n' >"$work/canonical" &&
        same "$file" "$work/canonical" || refuse 'not canonical JSON of the form that is expected here' "$name"
    tail -n +2 "$work/read" >"$work/lines"
}
# decode TEXT NAME TO: base64 in the only way that its bytes may be written
decode() {
    printf '%s' "$1" | base64 --decode >"$3" 2>/dev/null && [ "$(base64 --wrap 0 <"$3")" = "$1" ] ||
        refuse 'malformed base64' "$2"
}
# pae TYPE FILE: the bytes that a DSSE signature is made over
pae() { printf 'DSSEv1 %d %s %d ' "${#1}" "$1" "$(wc -c <"$2")"; cat -- "$2"; }
# holds KEYID SIGNATURE NAME: the key has signed the message, or cannot be read by this openssl
holds() {
    decode "$2" "$3" "$work/signature"
    length=$(wc -c <"$work/signature")
    if [ -e "$work/$1.unreadable" ]; then
        unchecked=$((unchecked + 1))
    elif [ "$(wc -c <"$work/$1.der")" -gt 91 ]; then # more than P-256 has
        [ "$length" -eq 4627 ] && openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/$1.der" -rawin \
            -in "$work/message" -sigfile "$work/signature" >/dev/null 2>&1 ||
            refuse "the signature of key $1 does not hold" "$3"
    else
        # openssl dgst reads the 72 bytes that a P-256 signature may have, and overlooks what follows.
        [ "$length" -le 72 ] || refuse 'the signature is too long' "$3"
        openssl dgst -sha256 -keyform DER -verify "$work/$1.der" -signature "$work/signature" "$work/message" \
            >/dev/null 2>&1 || refuse "the signature of key $1 does not hold" "$3"
    fi
}
# unreadable KEYID: whether the key is of a type that this openssl does not know
unreadable() {
    [ "$(wc -c <"$work/$1.der")" -gt 91 ] || return 1
    : >"$work/$1.unreadable"
    ! "$profile" || fail 'this openssl cannot read ML-DSA-87, which the profile demands; 3.5 or newer can'
}
# before TIME: whether it is to come
before() { [ "$(date -u +%Y%m%d%H%M%S)" -lt "$(printf '%s' "$1" | tr -cd 0-9)" ]; }

# 1. The root chain: N+1 is signed by the thresholds of N and of N+1 ---------------------
# A document is known by what it says: others may have signed a copy of it since.
canonical "$work/trusted" 'the root document that you trust' 'root_envelope($media)' .payload --arg media "$ROOT_TYPE"
read -r payload <"$work/lines"
decode "$payload" 'the root document that you trust' "$work/trusted.root"
newest=0 anchor='' signers='' unchecked=0
while [ -e "trust/$((newest + 1)).root.json" ]; do
    previous=$newest newest=$((newest + 1))
    name=trust/$newest.root.json envelope=$work/$newest.envelope root=$work/$newest.root
    [ "$newest" -le 1000 ] || refuse 'the root chain is longer than 1000 documents' "$name"
    [ "$previous" -ge 1 ] || previous=1 # the first has nothing before it
    earlier=$previous
    copy "$name" 1048576 "$envelope"
    canonical "$envelope" "$name" 'root_envelope($media)' '.payload, (.signatures[] | "\(.keyid) \(.sig)")' \
        --arg media "$ROOT_TYPE"
    read -r payload <"$work/lines"
    tail -n +2 "$work/lines" >"$work/signatures"
    decode "$payload" "$name" "$root"
    ! same "$root" "$work/trusted.root" || anchor=$newest previous=$newest # who trusts it asks no older ones
    canonical "$root" "$name" 'root($version)' '"\(follows($earlier[0]; $envelope[0])) " +
        "\(co_signed($previous[0]; $envelope[0]))", (.keys | to_entries[] | "\(.key) \(.value.spki)")' \
        --argjson version "$newest" --slurpfile earlier "$work/$earlier.root" \
        --slurpfile previous "$work/$previous.root" --slurpfile envelope "$envelope"
    read -r follows co_signed <"$work/lines"
    [ "$follows" = true ] ||
        refuse 'too few keys of the root role have signed, or another key, or a key is revoked no longer' "$name"
    ! "$profile" || [ -z "$anchor" ] || [ "$co_signed" = true ] ||
        refuse 'too few keys of ML-DSA-87 have co-signed, which the profile demands' "$name"
    tail -n +2 "$work/lines" >"$work/keys"
    while read -r id spki; do
        decode "$spki" "$name" "$work/$id.der"
        [ "$(sha256sum <"$work/$id.der")" = "$id  -" ] || refuse "key $id is not the SHA-256 of its key" "$name"
        openssl pkey -pubin -inform DER -in "$work/$id.der" -noout 2>/dev/null ||
            unreadable "$id" || refuse "key $id is no key" "$name"
    done <"$work/keys"
    pae "$ROOT_TYPE" "$root" >"$work/message"
    while read -r id signature; do holds "$id" "$signature" "$name"; done <"$work/signatures"
done
[ -n "$anchor" ] || refuse 'the root chain is too old for the root document that you trust, or does not hold it' trust/

# 2. Policy: the newest root document is in force ----------------------------------------
jq --raw-output '.expires, (.roles | .release, (.release_post_quantum // {threshold: 0, keyids: []})
    | "\(.threshold) \(.keyids | join(" "))"), (.keys | to_entries[] | "\(.key) \(.value.use) \(.value.label)")' \
    "$root" >"$work/policy"
{ read -r expires && read -r threshold releasers && read -r co_threshold co_signers; } <"$work/policy"
before "$expires" || refuse 'the root document has expired' "$name" "a time before $expires" "$(date -u)"

# 3. Signatures over the statement -------------------------------------------------------
statement=$work/statement
copy statement.json 65536 "$statement"
pae "$STATEMENT_TYPE" "$statement" >"$work/message"
count=0 released=0 co_released=0
: >"$work/signed"
for name in sigs/*; do
    [ "$name" != 'sigs/*' ] || break # there is none
    id=${name#sigs/} id=${id%.sigstore.json} count=$((count + 1))
    [ "$count" -le 64 ] || refuse 'there are more than 64 signature files' sigs/
    [ "$name" = "sigs/$id.sigstore.json" ] || refuse 'not a signature file' "$name"
    case " $releasers " in *" $id "*) released=$((released + 1)) ;; *)
        case " $co_signers " in *" $id "*) co_released=$((co_released + 1)) ;; *)
            refuse 'its key may not sign bundles' "$name" ;; esac ;;
    esac
    copy "$name" 262144 "$work/file"
    canonical "$work/file" "$name" 'signature_file($signer; $media)' \
        '.dsseEnvelope | "\(.payload) \(.signatures[0].sig)"' --arg signer "$id" --arg media "$STATEMENT_TYPE"
    read -r payload signature <"$work/lines"
    decode "$payload" "$name" "$work/payload"
    same "$work/payload" "$statement" || refuse 'it signs another statement than statement.json' "$name"
    holds "$id" "$signature" "$name"
    printf '%s\n' "$name" >>"$work/signed"
    [ -e "$work/$id.unreadable" ] || signers="$signers $id"
done
[ "$released" -ge "$threshold" ] ||
    refuse 'too few signers of the release role have signed the bundle' sigs/ "$threshold signatures" "$released"
! "$profile" || { [ "$co_threshold" -ge 1 ] && [ "$co_released" -ge "$co_threshold" ]; } ||
    refuse 'too few keys of ML-DSA-87 have co-signed the bundle, which the profile demands' sigs/ \
        "$co_threshold signatures, at least 1" "$co_released"
canonical "$statement" statement.json statement '.subject[0].digest as $digest | .predicate
    | "\(.name) \(.version) \(.expires) \(.minimum_root_version) \(.files) \(.bytes) " +
    "\($digest.sha256) \($digest.sha384)"'
read -r bundle_name version expires minimum files bytes sha256 sha384 <"$work/lines"
[ "$newest" -ge "$minimum" ] ||
    refuse 'the bundle demands a newer root than its chain leads to' trust/ "version $minimum or higher" "$newest"
before "$expires" || refuse 'the bundle has expired' statement.json "a time before $expires" "$(date -u)"

# 4. SHA256SUMS by the statement ---------------------------------------------------------
sums=$work/sums
copy SHA256SUMS 268435456 "$sums"
found=$(sha256sum <"$sums")
[ "$found" = "$sha256  -" ] || refuse 'it is not the list that was signed' SHA256SUMS "$sha256" "${found%  -}"
found=$(sha384sum <"$sums")
[ "$found" = "$sha384  -" ] || refuse 'it is not the list that was signed' SHA256SUMS "$sha384" "${found%  -}"
jq --raw-input --raw-output "$FORMS select(sums_line)" "$sums" >"$work/good"
same "$sums" "$work/good" ||
    refuse "no UTF-8 text, or a line that may not be: $(
        jq --raw-input --null-input --ascii-output "$FORMS first(inputs | select(sums_line | not))" "$sums")" SHA256SUMS
cut --bytes 67- "$sums" >"$work/files"
jq --raw-input --raw-output 'split("/") | range(1; length) as $depth | .[:$depth] | join("/")' "$work/files" |
    sort --unique >"$work/folders"
sort --check=quiet --unique "$work/files" || refuse 'it is not sorted, or a path is there twice' SHA256SUMS
sort "$work/files" "$work/folders" | tr '[:upper:]' '[:lower:]' | sort >"$work/caseless"
[ "$(uniq "$work/caseless" | wc -l)" -eq "$(cat "$work/files" "$work/folders" | wc -l)" ] ||
    refuse "paths that some file systems take for one: $(uniq --repeated "$work/caseless" | quoted)" SHA256SUMS

# 5. The files that are there, and nothing beside them -----------------------------------
# A line break in a name becomes a control character, which no listed name has.
du --all --bytes --count-links --null . >"$work/walk" || refuse 'it cannot be read whole' .
tr '\000\n' '\n\001' <"$work/walk" >"$work/sizes"
cut --fields 2- "$work/sizes" | cut --bytes 3- | sort | tail -n +2 >"$work/present"
printf '%s\n' sigs trust | sort - "$work/folders" >"$work/all-folders"
{
    cat "$work/files" "$work/signed"
    printf '%s\n' SHA256SUMS statement.json
    seq --format 'trust/%.0f.root.json' "$newest"
} | sort >"$work/all-files"
sort "$work/all-folders" "$work/all-files" >"$work/all"
# wrong TEST WHAT: of the names on standard input, those that are not what they have to be
wrong() {
    while IFS= read -r name; do
        if [ -L "$name" ]; then printf 'a link: %s\n' "$name"
        elif [ ! -e "$name" ]; then printf 'missing: %s\n' "$name"
        elif ! test "$1" "$name"; then printf 'not %s: %s\n' "$2" "$name"
        elif [ -f "$name" ] && { [ -u "$name" ] || [ -g "$name" ]; }; then printf 'setuid or setgid: %s\n' "$name"; fi
    done
}
{
    wrong -d 'a directory' <"$work/all-folders"
    wrong -f 'an ordinary file' <"$work/all-files"
    comm -13 "$work/all" "$work/present" | while IFS= read -r name; do printf 'not listed: %s\n' "$name"; done
} >"$work/problems"
[ ! -s "$work/problems" ] && same "$work/all" "$work/present" || {
    head -n 100 "$work/problems" | quoted >&2
    refuse "the files are not the listed ones: $(wc -l <"$work/problems") problems, the first of them above" .
}
cat "$work/sizes" "$sums" | jq --raw-input --null-input --compact-output --raw-output '[inputs]
    | (map(select(contains("\t")) | split("\t") | {key: .[1][2:], value: .[0] | tonumber}) | from_entries) as $sizes
    | map(select(contains("\t") | not) | {path: .[66:], sha256: .[:64], size: $sizes[.[66:]]})
    | "\(length) \(map(.size) | add)", .' >"$work/lines"
read -r listed size <"$work/lines"
tail -n +2 "$work/lines" >"$work/facts"
[ "$listed" -eq "$files" ] || refuse 'it lists another number of files than the statement' SHA256SUMS "$files" "$listed"
# A file that was blown up is not worth reading to its end; one that only grew is named below.
[ "$size" -le $((2 * bytes)) ] || refuse 'there are far more bytes than were signed' . "$bytes" "$size"

# 6. Every file --------------------------------------------------------------------------
sha256sum --check --strict --quiet "$sums" >"$work/failed" || {
    head -n 20 "$work/failed" | while IFS= read -r line; do
        name=${line%: FAILED*}
        expected=$(jq --raw-input --raw-output --arg name "$name" 'select(.[66:] == $name)[:64]' "$sums")
        found=$(sha256sum <"$name") || found=unreadable
        (refuse 'the file is not the one that was signed' "$name" "$expected" "${found%  -}") || :
    done
    refuse "files that are not the ones that were signed: $(wc -l <"$work/failed")" .
}
[ "$size" -eq "$bytes" ] || refuse 'there is another number of bytes than was signed' . "$bytes" "$size"

# The profile: a list of SHA-384, whose own SHA-384 is in its name, which was signed with SHA256SUMS.
grep --extended-regexp --line-regexp 'evidence/SHA384SUMS\.[0-9a-f]{96}' "$work/files" >"$work/lists" || :
if "$profile"; then
    [ "$(wc -l <"$work/lists")" -eq 1 ] ||
        refuse 'there is not one list of SHA-384, which the profile demands' 'evidence/SHA384SUMS.*'
    read -r list <"$work/lists"
    copy "$list" 301989888 "$work/sha384"
    found=$(sha384sum <"$work/sha384")
    [ "$found" = "${list#evidence/SHA384SUMS.}  -" ] ||
        refuse 'the file is not the one that was signed' "$list" "${list#evidence/SHA384SUMS.}" "${found%  -}"
    grep --invert-match --line-regexp --fixed-strings "$list" "$work/files" >"$work/expected" || :
    cut --bytes 99- "$work/sha384" >"$work/listed"
    same "$work/expected" "$work/listed" || refuse 'it and SHA256SUMS do not list the same files' "$list"
    cut --bytes -98 "$work/sha384" |
        grep --quiet --text --invert-match --extended-regexp --line-regexp '[0-9a-f]{96}  ' ||
        [ -n "$(tail --bytes 1 "$work/sha384")" ] && refuse 'it has a line that may not be' "$list"
    sha384sum --check --strict --quiet "$work/sha384" >"$work/failed" || {
        head -n 20 "$work/failed" | quoted >&2
        refuse "files that do not have the SHA-384 that was signed: $(wc -l <"$work/failed")" .
    }
fi

# 7. bundle.json, of which nothing was read until now: it explains every file -------------
index=$work/index
[ ! -e bundle.json ] || copy bundle.json 268435456 "$index"
# Nothing has to explain one list of SHA-384: it holds the digest of bundle.json.
[ "$(wc -l <"$work/lists")" -eq 1 ] || : >"$work/lists"
tr -d '\n' <"$work/lists" >"$work/list"
# The two ways to read it differ where a key is there twice.
jq --compact-output --stream 'select(length == 2)[0]' "$index" >"$work/once" 2>/dev/null &&
    jq --compact-output 'tostream | select(length == 2)[0]' "$index" >"$work/again" 2>/dev/null &&
    same "$work/once" "$work/again" || refuse 'it is missing, no JSON, or has a key twice' bundle.json
problem=$(jq --slurp --ascii-output --arg sha256 "$(sha256sum <"$index" | cut --bytes -64)" \
    --slurpfile statement "$statement" --slurpfile facts "$work/facts" --rawfile list "$work/list" '
    ($facts[0] | sort) as $files | ($files | map(select(.path | IN("bundle.json", "verify.sh", $list)))) as $ours
    | if all($ours[]; .path != "bundle.json" or .sha256 != $sha256) then "it changed while it was verified"
    elif length != 1 or .[0].schema != "appliance.bundle/v1" then "it is of no form that this script knows"
    elif [.[0] | .name, .version] != [$statement[0].predicate | .name, .version] then "it names another bundle"
    elif [.[0].artifacts[] | [.kind, .name]] | length != (unique | length)
    then "two artifacts have the same kind and name"
    else ([.[0] | .artifacts[].files[], .shared[]] + $ours | unique) as $told
        | first(range([$told, $files | length] | max) | select($told[.] != $files[.])
        | "it does not explain \([$told[.], $files[.] | .path // empty] | min)") end' "$index" 2>/dev/null) ||
    refuse 'it is of no form that this script knows' bundle.json
[ -z "$problem" ] || refuse "$problem" bundle.json

# The verdict ----------------------------------------------------------------------------
[ "$(tr -d '\n -~' <"$work/files" | wc -c)" -eq 0 ] ||
    printf 'note: there are names that are not ASCII; their Unicode forms were not compared\n' >&2
[ "$unchecked" -eq 0 ] ||
    printf 'note: this openssl cannot read ML-DSA-87: %d co-signatures count as absent\n' "$unchecked" >&2
tail -n +4 "$work/policy" >"$work/keys"
while read -r id use label; do
    case " $signers " in *" $id "*) ;; *) continue ;; esac
    printf 'signed by %s  %s\n' "$id" "$label" >&2
    [ "$use" != demo ] || printf 'this is a DEMO key: anybody may have made this bundle\n' >&2
done <"$work/keys"
! "$profile" || printf 'the profile cnsa-2.0 is met\n' >&2
printf 'verified: %s %s, %d files, %d bytes, root version %d, expires %s\n' \
    "$bundle_name" "$version" "$files" "$bytes" "$newest" "$expires"
