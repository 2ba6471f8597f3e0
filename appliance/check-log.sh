#!/bin/sh
# Checks the log of a site with jq and GNU coreutils, and signatures of heads with openssl.
#
#   sh check-log.sh LOG [--key site.pub.pem --head FILE ...]
#
# LOG is log/log.jsonl of the site's directory, or a copy of it.  A FILE is a head that
# `appliance log head` exported, or a receipt, signed by the site's key: the log has to hold
# the line that it names, so a log that was cut or written anew shows.  Bring this script, the
# key and the heads yourself, from a time before that which you ask about.
#
# It has checked the log when it prints a line that begins with "the chain holds:" and ends with 0.
# As verify.sh, it runs itself again in an empty environment, and calls programs of
# /usr/local/bin, /usr/bin and /bin alone, and of --tools DIR before them; call it with env -i.
#
# Exit codes: 0 the chain holds, 1 failed, 2 usage or missing tools, 3 not trusted.
#
# shellcheck disable=SC2015,SC2016,SC2059  # A && B || refuse: refuse does not return; $x in '' is jq's
POSIXLY_CORRECT=1 # bash finds its own exec from here on, and not a function that was exported
case ${1-} in
    --in-an-empty-environment) shift ;;
    *) exec /usr/bin/env -i "TMPDIR=${TMPDIR-}" PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C \
        /bin/sh -- "$0" --in-an-empty-environment "$@" ;;
esac
set -eu
umask 077
# Whatever is opened next would take the place of what is closed.
(: 9>&2) || exec 2>/dev/null
(: 9<&0) 2>/dev/null || exec </dev/null

# tell FORMAT [WORD...]: to people; whoever cannot hear it gets the verdict all the same
tell() { printf "$@" >&2 || :; }
fail() { tell 'error: %s\n' "$1"; exit 2; }
# refuse WHAT [WHERE]
refuse() {
    tell 'NOT TRUSTED: %s\n' "$1"
    [ $# -lt 2 ] || tell '  where:    %s\n' "$(printf '%s' "$2" | jq --raw-input --ascii-output --slurp .)"
    exit 3
}

usage='usage: sh check-log.sh LOG [--key site.pub.pem --head FILE ...] [--tools DIR]'
(: 9>&1) 2>/dev/null || fail 'standard output is closed: there is nowhere to print the verdict'
work='' log='' key='' heads=0
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' HUP INT TERM
# mktemp ends before it is interrupted, or its directory would stay.
work=$(trap '' HUP INT TERM && mktemp -d) || fail 'there is no place for temporary files; set TMPDIR'
HOME=$work # jq would read definitions from ~/.jq
export HOME
while [ $# -gt 0 ]; do
    case $1 in
        --key) [ $# -ge 2 ] || fail "no file after --key; $usage"; key=$2; shift ;;
        --head)
            [ $# -ge 2 ] || fail "no file after --head; $usage"
            heads=$((heads + 1))
            head -c 262145 <"$2" >"$work/head.$heads" || fail "cannot read $2"
            printf '%s' "$2" >"$work/name.$heads"
            shift ;;
        --tools)
            case ${2-} in /*) PATH=$2:$PATH ;; *) fail "--tools takes the absolute path of a directory; $usage" ;; esac
            shift ;;
        -h | --help) printf '%s\n' "$usage"; exit 0 ;;
        -*) fail "unknown option $1; $usage" ;;
        *) [ -z "$log" ] || fail "one argument too many: $1; $usage"; log=$1 ;;
    esac
    shift
done
[ -n "$log" ] || fail "no log given; $usage"
for tool in jq sha256sum split; do command -v "$tool" >/dev/null || fail "$tool is not installed in $PATH"; done
[ "$heads" -eq 0 ] || [ -n "$key" ] || fail "a head proves nothing without the key that signed it; $usage"
[ -f "$log" ] && cat <"$log" >"$work/all" || fail "cannot read the log $log"

# 1. The lines: canonical JSON with the fields of an entry and no others ------------------
lines=$(wc -l <"$work/all")
head -n "$lines" <"$work/all" >"$work/log"
torn=$(($(wc -c <"$work/all") - $(wc -c <"$work/log")))
[ "$torn" -eq 0 ] || tell 'note: the last %d bytes are not a whole line: it was never finished\n' "$torn"
[ "$(tr -d '\n -~' <"$work/log" | wc -c)" -eq 0 ] || refuse 'there is more than printable ASCII in it' "$log"
jq --compact-output --sort-keys . "$work/log" >"$work/canonical" 2>/dev/null &&
    cmp -s "$work/log" "$work/canonical" || refuse 'a line is not canonical JSON' "$log"
jq --raw-output '
    def text($pattern): type == "string" and test("\\A(" + $pattern + ")\\z");
    def time: text("(20[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
        + "|02-(0[1-9]|1[0-9]|2[0-8]))|20([02468][048]|[13579][26])-02-29)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z");
    if type == "object" and keys == ["details", "event", "previous", "schema", "seq", "time"]
        and .schema == "appliance.log/v1" and (.details | type == "object") and (.event | text("[a-z][a-z-]{0,30}"))
        and (.time | time)
        and (.previous | text("[0-9a-f]{64}")) and (.seq | type == "number" and (tojson | test("\\A[1-9][0-9]*\\z")))
        and all(.details | .. | numbers; tojson | test("\\A-?[0-9]+\\z"))
    then "\(.seq) \(.previous)" else "form -" end' "$work/log" >"$work/said" || refuse 'it cannot be read' "$log"

# 2. The chain: each line has the number and the SHA-256 that follow from the one before --
mkdir "$work/lines"
[ "$lines" -eq 0 ] || split --lines 1 --numeric-suffixes --suffix-length 9 "$work/log" "$work/lines/"
{
    printf '%064d\n' 0
    (cd -- "$work/lines" && find . -type f -print0 | sort --zero-terminated | xargs --null --no-run-if-empty sha256sum)
} | cut --bytes -64 >"$work/hashes"
number=0
while read -r previous && read -r said <&3; do
    number=$((number + 1))
    [ "$said" = "$number $previous" ] || refuse "line $number does not follow the line before it" "$log"
done <"$work/hashes" 3<"$work/said"
[ "$number" -eq "$lines" ] || refuse "it can be read up to line $number of $lines" "$log"
last=$(tail -n 1 "$work/hashes")

# 3. The heads: signed by the site, and of this log ---------------------------------------
TYPE='application/vnd.in-toto+json'
# form PAYLOAD SIGNATURE: the one form of a signed document, by files that hold the two
form() {
    printf '{"dsseEnvelope":{"payload":"%s","payloadType":"%s","signatures":[{"sig":"%s"}]},' \
        "$(base64 --wrap 0 <"$1")" "$TYPE" "$(base64 --wrap 0 <"$2")"
    printf '"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":%s}' \
        "{\"publicKey\":{\"hint\":\"$keyid\"},\"tlogEntries\":[]}"
}
if [ "$heads" -gt 0 ]; then
    openssl pkey -pubin -in "$key" -outform DER -out "$work/key.der" 2>/dev/null || fail "no public key: $key"
    keyid=$(sha256sum <"$work/key.der") keyid=${keyid%  -}
fi
while [ "$heads" -gt 0 ]; do
    head=$work/head.$heads name=$(cat "$work/name.$heads") heads=$((heads - 1))
    jq --join-output '.dsseEnvelope.payload' "$head" 2>/dev/null | base64 --decode >"$work/payload" 2>/dev/null &&
        jq --join-output '.dsseEnvelope.signatures[0].sig' "$head" 2>/dev/null |
        base64 --decode >"$work/signature" 2>/dev/null &&
        form "$work/payload" "$work/signature" | cmp -s - "$head" || refuse "it is not a signature file of $key" "$name"
    { printf 'DSSEv1 28 %s %d ' "$TYPE" "$(wc -c <"$work/payload")"; cat "$work/payload"; } >"$work/pae"
    [ "$(wc -c <"$work/signature")" -le 72 ] &&
        openssl dgst -sha256 -verify "$key" -signature "$work/signature" "$work/pae" >/dev/null 2>&1 ||
        refuse "its signature by $key is not valid" "$name"
    wanted=$(jq --raw-output 'select(.predicateType == "urn:appliance:log-head:v1" or
        .predicateType == "urn:appliance:receipt:v1") | .predicate.log | select(. != null) | "\(.seq) \(.sha256)"' \
        "$work/payload" 2>/dev/null) && [ -n "$wanted" ] || refuse 'it does not name a line of a log' "$name"
    line=${wanted% *}
    case $line in *[!0-9]* | '') refuse 'it does not name a line of a log' "$name" ;; esac
    [ "$line" -le "$lines" ] || refuse "the log ends with line $lines, but had line $line when this was signed" "$name"
    [ "$(tail -n "+$((line + 1))" "$work/hashes" | head -n 1)" = "${wanted#* }" ] ||
        refuse "line $line is not the line that it was when this was signed" "$name"
    tell 'holds what was signed: line %d, %s\n' "$line" "$name"
done
printf 'the chain holds: %d lines, the last has the SHA-256 %s\n' "$lines" "$last"
