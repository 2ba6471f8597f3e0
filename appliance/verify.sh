#!/bin/sh
# Verifies a bundle with openssl, jq and coreutils alone.
#
#   sh verify.sh DIR --root ROOT.json
#
# DIR is the bundle (default: the directory of this script), ROOT.json the root document
# that you trust.  Use your own copies of this script and of the root document: a bundle
# that was tampered with brings a tampered script.
#
# Order: root chain, expiry, signatures over statement.json, SHA256SUMS by the statement,
# the set of files, every file by SHA256SUMS.
# Exit codes: 0 verified, 1 failed, 2 usage or missing tools, 3 not trusted.

set -eu
LC_ALL=C
export LC_ALL
umask 077

ROOT_TYPE='application/vnd.appliance.root.v1+json'
STATEMENT_TYPE='application/vnd.in-toto+json'

usage() { printf 'error: %s\nusage: sh verify.sh DIR --root ROOT.json\n' "$1" >&2; exit 2; }
refuse() { printf 'NOT TRUSTED: %s\n' "$1" >&2; exit 3; }

bundle='' root=''
while [ $# -gt 0 ]; do
    case $1 in
        --root) [ $# -ge 2 ] || usage 'no file after --root'; root=$2; shift ;;
        --root=*) root=${1#--root=} ;;
        -h | --help) printf 'usage: sh verify.sh DIR --root ROOT.json\n'; exit 0 ;;
        -*) usage "unknown option $1" ;;
        *)
            if [ -z "$bundle" ]; then bundle=$1
            elif [ -z "$root" ]; then root=$1
            else usage "one argument too many: $1"; fi ;;
    esac
    shift
done
[ -n "$bundle" ] || bundle=$(dirname -- "$0")
[ -n "$root" ] || usage 'no root document given'
[ -f "$root" ] && [ -r "$root" ] || usage "cannot read the root document $root"
[ -d "$bundle" ] || usage "not a directory: $bundle"
for tool in openssl jq sha256sum sha384sum base64 cmp cut sort mktemp; do
    command -v "$tool" >/dev/null || {
        # cmp is in diffutils, which every Debian has; the rest is coreutils
        printf 'error: %s is not installed\n' "$tool" >&2; exit 2; }
done

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' INT TERM
cat -- "$root" >"$work/trusted.json"
cd -- "$bundle"

# plain FILE LIMIT: an ordinary file of at most LIMIT bytes, copied, so that what is
# checked is what is read
plain() {
    [ ! -L "$1" ] && [ -f "$1" ] || refuse "$1 is missing or not an ordinary file"
    head -c "$(($2 + 1))" -- "$1" >"$work/${1##*/}" || refuse "$1 cannot be read"
    [ "$(wc -c <"$work/${1##*/}")" -le "$2" ] || refuse "$1 is larger than $2 bytes"
}
# canonical FILE NAME: JSON in the one form that is accepted (sorted keys, no white space)
canonical() { jq -cjS . "$1" 2>/dev/null | cmp -s - "$1" || refuse "$2 is not canonical JSON"; }
# pae TYPE FILE: the bytes that a DSSE signature is made over
pae() { printf 'DSSEv1 %d %s %d ' "${#1}" "$1" "$(wc -c <"$2")"; cat -- "$2"; }
# decode TEXT: base64 in its canonical form
decode() {
    printf '%s' "$1" | base64 -d >"$work/decoded" 2>/dev/null && [ "$(base64 -w 0 "$work/decoded")" = "$1" ] ||
        refuse "$2: base64 is malformed"
    cat "$work/decoded"
}
# holds DOCUMENT KEYID SIGNATURE MESSAGE: whether a key of a root document made a signature
holds() {
    decode "$(jq -j --arg id "$2" '.keys[$id].spki' "$1")" "key $2" >"$work/key.der"
    [ "$(sha256sum <"$work/key.der" | cut -c 1-64)" = "$2" ] || refuse "key $2 is not the SHA-256 of its key"
    openssl dgst -sha256 -keyform DER -verify "$work/key.der" -signature "$3" "$4" >/dev/null 2>&1
}

# 1. Root chain -------------------------------------------------------------------------
[ -d trust ] && [ ! -L trust ] || refuse 'trust/ is missing'
newest=0
while [ -e "trust/$((newest + 1)).root.json" ]; do newest=$((newest + 1)); done
[ "$newest" -ge 1 ] && [ "$newest" -le 1000 ] || refuse 'trust/ holds no root chain'

# endorsed VERSION BY: the threshold of BY's root role has signed document VERSION
endorsed() {
    count=0
    for id in $(jq -r '.signatures[].keyid' "$work/$1.root.json"); do
        jq -e --arg id "$id" '.roles.root.keyids | index($id) != null' "$work/root.$2" >/dev/null || continue
        decode "$(jq -j --arg id "$id" '.signatures[] | select(.keyid == $id).sig' "$work/$1.root.json")" "trust/$1.root.json" >"$work/sig"
        holds "$work/root.$2" "$id" "$work/sig" "$work/message" || refuse "trust/$1.root.json: the signature of key $id does not hold"
        count=$((count + 1))
    done
    [ "$count" -ge "$(jq '.roles.root.threshold' "$work/root.$2")" ] || refuse "trust/$1.root.json: too few keys of the root role have signed"
}

number=0
while [ "$number" -lt "$newest" ]; do
    before=$number number=$((number + 1)) name=trust/$number.root.json
    plain "$name" 1048576
    canonical "$work/$number.root.json" "$name"
    jq -e --arg type "$ROOT_TYPE" 'keys == ["payload", "payloadType", "signatures"] and .payloadType == $type
        and (.signatures | length >= 1 and length <= 64)
        and ([.signatures[].keyid] | . == unique and all(test("^[0-9a-f]{64}$")))' "$work/$number.root.json" >/dev/null 2>&1 ||
        refuse "$name is no root document"
    decode "$(jq -j .payload "$work/$number.root.json")" "$name" >"$work/root.$number"
    canonical "$work/root.$number" "$name"
    jq -e --argjson n "$number" '.schema == "appliance.root/v1" and .version == $n
        and (.keys | keys | all(test("^[0-9a-f]{64}$")))
        and all(.roles.root, .roles.release; (.keyids | . == unique or length == (unique | length)) and .threshold >= 1)
        and ((.roles.root.keyids + .roles.release.keyids) - (.keys | keys) == [])
        and ((.revoked - (.roles.root.keyids + .roles.release.keyids)) == .revoked)' "$work/root.$number" >/dev/null 2>&1 ||
        refuse "$name is no root document of version $number"
    pae "$ROOT_TYPE" "$work/root.$number" >"$work/message"
    endorsed "$number" "$number"
    [ "$before" -eq 0 ] || endorsed "$number" "$before"
done
matched=''
for number in $(seq "$newest"); do cmp -s "$work/trusted.json" "$work/$number.root.json" && matched=$number; done
[ -n "$matched" ] || refuse "the bundle's root chain does not hold the root document that you trust"
anchor=$work/root.$newest

# 2. Policy -----------------------------------------------------------------------------
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
jq -e --arg now "$now" '$now < .expires' "$anchor" >/dev/null || refuse "the root document has expired: $(jq -r .expires "$anchor")"

# 3. Signatures over the statement ------------------------------------------------------
plain statement.json 65536
canonical "$work/statement.json" statement.json
pae "$STATEMENT_TYPE" "$work/statement.json" >"$work/message"
signers=0
if [ -d sigs ] && [ ! -L sigs ]; then
    for file in sigs/* sigs/.[!.]* sigs/..?*; do
        [ -e "$file" ] || [ -L "$file" ] || continue
        plain "$file" 262144
        copy=$work/${file##*/}
        canonical "$copy" "$file"
        id=$(jq -r '.verificationMaterial.publicKey.hint' "$copy")
        [ "$file" = "sigs/$id.sigstore.json" ] || refuse "$file names another key than its file name"
        jq -e --arg type "$STATEMENT_TYPE" 'keys == ["dsseEnvelope", "mediaType", "verificationMaterial"]
            and .mediaType == "application/vnd.dev.sigstore.bundle.v0.3+json"
            and (.verificationMaterial | keys == ["publicKey", "tlogEntries"] and .tlogEntries == [] and (.publicKey | keys == ["hint"]))
            and (.dsseEnvelope | keys == ["payload", "payloadType", "signatures"] and .payloadType == $type
                and (.signatures | length == 1) and (.signatures[0] | keys == ["sig"]))' "$copy" >/dev/null 2>&1 ||
            refuse "$file is no signature file"
        jq -e --arg id "$id" '(.roles.release.keyids | index($id) != null) and (.revoked | index($id) == null)' "$anchor" >/dev/null ||
            refuse "$file: its key may not sign bundles"
        decode "$(jq -j .dsseEnvelope.payload "$copy")" "$file" >"$work/payload"
        cmp -s "$work/payload" "$work/statement.json" || refuse "$file signs another statement"
        decode "$(jq -j '.dsseEnvelope.signatures[0].sig' "$copy")" "$file" >"$work/sig"
        holds "$anchor" "$id" "$work/sig" "$work/message" || refuse "$file: the signature does not hold"
        printf 'signed by %s  %s\n' "$id" "$(jq -r --arg id "$id" '.keys[$id].label' "$anchor")"
        signers=$((signers + 1))
    done
fi
needed=$(jq .roles.release.threshold "$anchor")
[ "$signers" -ge "$needed" ] || refuse "$signers of $needed needed signatures"
jq -e '._type == "https://in-toto.io/Statement/v1" and .predicateType == "urn:appliance:bundle:v1"
    and (.subject | length == 1) and .subject[0].name == "SHA256SUMS"' "$work/statement.json" >/dev/null 2>&1 ||
    refuse 'statement.json is no statement that this script knows'
jq -e --arg now "$now" '$now < .predicate.expires' "$work/statement.json" >/dev/null ||
    refuse "the bundle has expired: $(jq -r .predicate.expires "$work/statement.json")"
jq -e --argjson n "$newest" '.predicate.minimum_root_version <= $n' "$work/statement.json" >/dev/null ||
    refuse 'the bundle demands a newer root than its chain leads to'

# 4. SHA256SUMS by the statement --------------------------------------------------------
plain SHA256SUMS 268435456
for bits in 256 384; do
    expected=$(jq -r ".subject[0].digest.sha$bits" "$work/statement.json")
    [ "$("sha${bits}sum" <"$work/SHA256SUMS" | cut -d ' ' -f 1)" = "$expected" ] ||
        refuse "SHA256SUMS is not the list that was signed (sha$bits, expected $expected)"
done
jq -e -R -n '[inputs] | length > 0 and all(test("^[0-9a-f]{64}  [^/\\\\-][^\\\\]*$")
    and (.[66:] | split("/") | all(. != "" and . != "." and . != ".." and (startswith("-") | not))))' "$work/SHA256SUMS" >/dev/null ||
    refuse 'SHA256SUMS has a malformed line'
cut -c 67- "$work/SHA256SUMS" >"$work/listed"
sort -c -u "$work/listed" 2>/dev/null || refuse 'SHA256SUMS is not sorted, or a path is there twice'
[ "$(wc -l <"$work/listed")" -eq "$(jq .predicate.files "$work/statement.json")" ] || refuse 'SHA256SUMS lists another number of files than the statement'

# 5. The files that are there, and nothing beside them ----------------------------------
# walk DIRECTORY: writes every file and checks that there is nothing but files and
# directories; an empty directory is not listed by anything, so it is refused
walk() {
    [ -r "$1" ] && [ -x "$1" ] || refuse "cannot read the directory $1"
    # shellcheck disable=SC2167
    for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        [ ! -L "$entry" ] || refuse "${entry#./} is a link"
        if [ -d "$entry" ]; then
            # shellcheck disable=SC2046
            set -- "$1" "$entry"
            walk "$entry"
            entry=$2
            printf '%s\n' "${entry#./}" >>"$work/directories"
        elif [ -f "$entry" ]; then printf '%s\n' "${entry#./}" >>"$work/present"
        elif [ -e "$entry" ]; then refuse "${entry#./} is neither a file nor a directory"
        fi
    done
}
: >"$work/present"
: >"$work/directories"
walk .
jq -R -r -n 'inputs | select(. != "SHA256SUMS" and . != "statement.json"
    and (test("^(sigs|trust)/") | not))' "$work/present" | sort >"$work/found"
cmp -s "$work/found" "$work/listed" || {
    comm -13 "$work/found" "$work/listed" | head -n 5 | while read -r path; do printf 'missing: %s\n' "$path" >&2; done
    comm -23 "$work/found" "$work/listed" | head -n 5 | while read -r path; do printf 'not listed: %s\n' "$path" >&2; done
    refuse 'the files are not the listed ones'
}
[ "$(jq -R -n '[inputs | select(test("^trust/"))] | length' "$work/present")" -eq "$newest" ] || refuse 'trust/ holds more than the root chain'
jq -R -r -n '[inputs | split("/")[:-1] | . as $parts | range(1; length + 1) | $parts[:.] | join("/")] | unique[]' "$work/present" | sort >"$work/parents"
sort "$work/directories" | comm -23 - "$work/parents" >"$work/empty"
jq -R -r -n 'inputs | select(. != "sigs")' "$work/empty" >"$work/stray"
[ ! -s "$work/stray" ] || refuse "a directory that is not listed: $(head -n 1 "$work/stray")"

# 6. Every file -------------------------------------------------------------------------
sha256sum --check --strict --quiet "$work/SHA256SUMS" >&2 || refuse 'the files above are not the ones that were signed'

if jq -e '[.keys[].use] | index("demo") != null' "$anchor" >/dev/null; then
    printf 'This is a DEMO key: anybody may have made this bundle.\n' >&2
fi
jq -r '"verified: \(.predicate.name) \(.predicate.version), \(.predicate.files) files, created \(.predicate.created), expires \(.predicate.expires)"' "$work/statement.json"
