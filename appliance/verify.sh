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
# Files are hashed on all cores if there is an xargs that has -P, and on one if not; the verdict is the same.
#
# It has verified the bundle when it prints a line that begins with "verified:" and ends with 0.
# Nothing of the caller's environment decides but TMPDIR, where its temporary files lie: it runs
# itself again with no other variable, by /bin/sh, and calls programs of /usr/local/bin,
# /usr/bin and /bin alone; --tools DIR names a place that comes before them, such as that of a
# newer openssl.  What it cannot undo is done before its first line: bash runs BASH_ENV, and
# with SHELLOPTS=noexec does nothing and ends with 0.  So call it with env -i, or by dash.
#
# Exit codes: 0 verified, 1 failed, 2 usage or missing tools, 3 not trusted.
#
# What `appliance verify` checks beyond this: what the serving profiles in bundle.json say.  Let
# nobody write to the bundle meanwhile: a shell opens a file by its name each time it looks.
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
(: 9>&1) 2>/dev/null || fail 'standard output is closed: there is nowhere to print the verdict'

usage='usage: sh verify.sh DIR --root ROOT.json [--profile cnsa-2.0] [--tools DIR]'
bundle='' trusted='' profile=false
while [ $# -gt 0 ]; do
    case $1 in
        --root) [ $# -ge 2 ] || fail "no file after --root; $usage"; trusted=$2; shift ;;
        --root=*) trusted=${1#--root=} ;;
        --profile) [ "${2-}" = cnsa-2.0 ] || fail "the profile is cnsa-2.0; $usage"; profile=true; shift ;;
        --profile=cnsa-2.0) profile=true ;;
        --tools)
            case ${2-} in /*) PATH=$2:$PATH ;; *) fail "--tools takes the absolute path of a directory; $usage" ;; esac
            shift ;;
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
for tool in openssl jq sha256sum sha384sum du grep sed; do
    command -v "$tool" >/dev/null || fail "$tool is not installed in $PATH"
done

# A relative DIR gets ./ in front, so that '-' is a name.
case $bundle in /*) ;; *) bundle=./$bundle ;; esac
[ -d "$bundle" ] && [ -r "$bundle" ] && [ -x "$bundle" ] || fail "not a readable directory: $bundle"
work=''
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' HUP INT TERM
# mktemp ends before it is interrupted, or its directory would stay.
work=$(trap '' HUP INT TERM && mktemp -d) || fail 'there is no place for temporary files; set TMPDIR'
case $work in /*) ;; *) work=$PWD/$work ;; esac
HOME=$work # jq would read definitions from ~/.jq
export HOME
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
# A moment that there is, in UTC.
def time: text("(20[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    + "|02-(0[1-9]|1[0-9]|2[0-8]))|20([02468][048]|[13579][26])-02-29)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z");
def lasting: all(.created, .expires; time) and .created < .expires;
def name: text("[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
    and (contains("..") or test("\\A(con|prn|aux|nul|(com|lpt)[0-9])([.]|\\z)") | not);
# Base64 in the only way that its bytes may be written.
def base64: type == "string" and length % 4 == 0 and test("\\A[A-Za-z0-9+/]*(|[AQgw]==|[AEIMQUYcgkosw048]=)\\z");
def version: text("(0|[1-9][0-9]{0,8})(\\.(0|[1-9][0-9]{0,8})){1,3}(-[0-9a-z]+(\\.[0-9a-z]+)*)?") and length <= 64;

def root_envelope($media): fields("payload payloadType signatures")
    and .payloadType == $media and (.payload | base64 and (@base64d | test("\\A[ -~]+\\z")))
    and (.signatures | type == "array" and length <= 64 and (map(.keyid) | . == unique)
        and all(.[]; fields("keyid sig") and (.keyid | id) and (.sig | base64)));
# Keys, in the one form of their SPKI DER: uncompressed P-256, and ML-DSA-87.
def p256: text("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{85}[AQgw]==");
def mldsa: text("MIIKMjALBglghkgBZQMEAxMDggohA[A-Za-z0-9+/]{3456}[AQgw]==");
def role: fields("keyids threshold") and (.threshold | number(1; 64)) and .threshold <= (.keyids | length)
    and (.keyids | list(64) and all(.[]; id) and length == (unique | length));
def root: fields("created expires keys revoked roles schema version")
    and .schema == "appliance.root/v1" and (.version | number(1; 1000000)) and lasting
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
# The first document of a chain that breaks a rule, and which: "0" for none.  $anchor is the number of the
# one that is trusted: who trusts it asks no older ones for co-signatures.
def broken($envelopes; $anchor; $latest; $profile): . as $roots | [range(length)
    | . as $at | $roots[$at] as $root | $envelopes[$at] as $envelope
    | (if $root.version != $at + 1 then "it has a different version than its name"
       elif $root | follows($roots[[$at - 1, 0] | max]; $envelope) | not then
           "too few keys of the root role have signed, or another key, or a key is no longer revoked"
       elif $root.created > $latest then "it says that it was made in the future"
       elif $profile and $anchor > 0 and $at + 1 >= $anchor
           and ($root | co_signed($roots[[$at - 1, $anchor - 1] | max]; $envelope) | not) then
           "too few keys of ML-DSA-87 have co-signed, which the profile demands"
       else empty end) | "\($at + 1) \(.)"][0] // "0";

def signature_file($signer; $media): fields("dsseEnvelope mediaType verificationMaterial")
    and .mediaType == "application/vnd.dev.sigstore.bundle.v0.3+json"
    and .verificationMaterial == {publicKey: {hint: $signer}, tlogEntries: []}
    and (.dsseEnvelope | fields("payload payloadType signatures")
        and .payloadType == $media and (.payload | base64)
        and (.signatures | list(1) and (.[0] | fields("sig") and (.sig | base64))));

def statement: fields("_type predicate predicateType subject")
    and ._type == "https://in-toto.io/Statement/v1" and .predicateType == "urn:appliance:bundle:v1"
    and (.subject | list(1) and (.[0] | fields("digest name") and .name == "SHA256SUMS"
        and (.digest | fields("sha256 sha384") and (.sha256 | id) and (.sha384 | text("[0-9a-f]{96}")))))
    and (.predicate | fields("bytes created expires files minimum_root_version name previous version")
        and (.name | name) and (.version | version) and (.previous | . == null or version) and lasting
        and (.minimum_root_version | number(1; 1000000))
        and (.files | number(1; 1000000)) and (.bytes | number(0; 9007199254740991)));

# What a path may hold beside ASCII: letters that are one code point in every normal form.
def letters: test("\\A[ -~\u00c0-\u00d6\u00d8-\u00de\u00e0-\u00f6\u00f8-\u012f\u0134-\u0137\u0139-\u013e\u0141-\u0148"
    + "\u014a-\u017e\u01a0-\u01a1\u01af-\u01b0\u0218-\u021b\u1ea0-\u1ef9\u0391-\u03a1\u03a3-\u03a9\u03b1-\u03c1"
    + "\u03c3-\u03c9\u0400-\u045f\u0490-\u0491\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf"
    + "\u4e00-\u9fff\uac00-\ud7a3]*\\z");
# Two paths with one key are one file where case is ignored; of ASCII, that is the path in small letters.
def key: explode | map(
        if (. >= 65 and . <= 90) or (. >= 192 and . <= 222) or (. >= 913 and . <= 937) or (. >= 1040 and . <= 1071)
        then . + 32 elif . >= 1024 and . <= 1039 then . + 80 elif . == 376 then 255
        elif (. >= 313 and . <= 318) or (. >= 321 and . <= 328) or (. >= 377 and . <= 382) or . == 431
        then . + . % 2
        elif (. >= 256 and . <= 375) or . == 416 or (. >= 536 and . <= 539) or . == 1168 or (. >= 7840 and . <= 7929)
        then . + 1 - . % 2 else . end) | implode;

def texts: type == "object" and all(.[]; type == "string");
def some($must; $may): type == "object" and (keys | $must - . == [] and . - $must - $may == []);
def optional($key; form): (has($key) | not) or (.[$key] | form);
def file: fields("path sha256 size"); # whose values are compared with SHA256SUMS and with the file
def artifact: some(["files", "kind", "licence", "name", "source"]; ["details"]) and all(.kind, .name; name)
    and (.licence | type == "string") and (.source | texts) and optional("details"; texts)
    and (.files | type == "array" and all(.[]; file))
    and ([.files[].path] as $paths | all(.details // {} | .path, .repository | values; "\(.)/" as $folder
        | ($paths | length) > 0 and all($paths[]; startswith($folder))));
def plain: type | IN("string", "number", "boolean");
def float($low; $high): type == "number" and . >= $low and . <= $high;
def layers: some(["head_dim", "kv_heads", "layers"]; ["value_head_dim", "window"])
    and all(.layers, .kv_heads; number(1; 1024)) and (.head_dim | number(1; 65536))
    and optional("value_head_dim"; . == null or number(0; 65536))
    and optional("window"; . == null or number(1; 16777216));
def attention: type == "array" and length <= 64 and all(.[]; layers); # none in an encoder
def guesses: some(["vocabulary"]; ["attention", "weights_bytes"]) and (.vocabulary | number(1; 16777216))
    and optional("weights_bytes"; number(0; 9007199254740991)) and optional("attention"; attention);
def memory: some(["attention", "gpu_gib", "overhead_gib", "weights_bytes"]; ["adapter_bytes", "guesses"])
    and (.gpu_gib | float(0; 4096) and . > 0) and (.overhead_gib | float(0; 512) and . > 0)
    and (.weights_bytes | number(1; 9007199254740991)) and (.attention | attention)
    and optional("adapter_bytes"; number(0; 9007199254740991)) and optional("guesses"; . == null or guesses);
def speculation: some(["method", "num_speculative_tokens"]; ["prompt_lookup_max", "prompt_lookup_min", "weights"])
    and (.num_speculative_tokens | number(1; 32))
    and all(.prompt_lookup_max, .prompt_lookup_min; . == null or number(1; 64))
    and if .method == "ngram" then .weights == null and .prompt_lookup_max != null
            and (.prompt_lookup_min // 1) <= .prompt_lookup_max
        else (.method | IN("draft_model", "eagle", "eagle3")) and (.weights | name)
            and .prompt_lookup_max == null and .prompt_lookup_min == null end;
def objectives: some([]; ["error_ratio", "inter_token_p95_seconds", "kv_cache_ratio", "queue_depth",
        "requests_per_second", "ttft_p50_seconds", "ttft_p99_seconds"])
    and all(.ttft_p50_seconds, .ttft_p99_seconds, .inter_token_p95_seconds; . == null or (float(0; 86400) and . > 0))
    and all(.error_ratio, .kv_cache_ratio; . == null or (float(0; 1) and . > 0 and . < 1))
    and (.queue_depth | . == null or number(1; 100000))
    and (.requests_per_second | . == null or (float(0; 1000000) and . > 0));
# The form of a serving profile; appliance verify also knows which of them nobody could serve.
def serving: some(["enable_chunked_prefill", "enable_prefix_caching", "gpus", "image", "max_model_len",
        "max_num_queued_reqs", "max_num_seqs", "task", "weights"];
        ["adapters", "dtype", "engine", "gpu", "gpu_memory_utilization", "kv_cache_dtype", "lora_target_modules",
        "max_lora_rank", "max_loras", "max_num_batched_tokens", "memory", "objectives", "options",
        "pipeline_parallel_size", "quantization", "speculative_config", "tensor_parallel_size"])
    and all(.image, .weights; name) and (.task | IN("chat", "embedding", "rerank")) and (.gpus | number(0; 64))
    and optional("engine"; IN("vllm"))
    and optional("gpu"; . == null or (type == "string" and length >= 1 and length <= 200))
    and optional("tensor_parallel_size"; number(1; 64)) and optional("pipeline_parallel_size"; number(1; 16))
    and (.max_model_len | number(16; 16777216)) and optional("gpu_memory_utilization"; . == null or float(0.1; 0.99))
    and optional("dtype"; IN("auto", "bfloat16", "float16", "float32"))
    and optional("quantization"; IN(null, "awq", "awq_marlin", "gptq", "gptq_marlin", "fp8", "compressed-tensors"))
    and optional("kv_cache_dtype"; IN("auto", "fp8", "fp8_e4m3", "fp8_e5m2"))
    and all(.enable_chunked_prefill, .enable_prefix_caching; type == "boolean")
    and (.max_num_seqs | number(1; 4096)) and (.max_num_queued_reqs | number(1; 100000))
    and optional("max_num_batched_tokens"; . == null or number(16; 1048576)) and optional("memory"; . == null or memory)
    and optional("objectives"; . == null or objectives)
    and optional("speculative_config"; . == null or speculation)
    and optional("adapters"; type == "object" and length <= 64 and all(keys[], .[]; name))
    and optional("max_loras"; . == null or number(1; 9007199254740991))
    and optional("max_lora_rank"; IN(null, 1, 8, 16, 32, 64, 128, 256, 320, 512))
    and optional("lora_target_modules"; type == "array" and length <= 64 and all(.[]; text("[A-Za-z0-9_]{1,64}")))
    and ([(.adapters | length > 0), .max_loras != null, .max_lora_rank != null, (.lora_target_modules | length > 0)]
        | unique | length == 1)
    and optional("options"; type == "object" and all(keys[]; text("[a-z][a-z0-9]*(-[a-z0-9]+)*")) and all(.[]; plain));
def index: some(["artifacts", "description", "name", "schema", "serving", "version"]; ["shared"])
    and .schema == "appliance.bundle/v1" and (.name | name) and (.version | version)
    and (.description | type == "string") and (.serving | type == "object" and all(keys[]; name) and all(.[]; serving))
    and (.artifacts | type == "array" and all(.[]; artifact))
    and optional("shared"; type == "array" and all(.[]; file))
    and all(.serving | .. | numbers; . <= 9007199254740991 and . >= -9007199254740991);
'

# refuse WHAT [FILE [EXPECTED FOUND]]
refuse() {
    tell 'NOT TRUSTED: %s\n' "$1"
    [ $# -lt 2 ] || tell '  file:     %s\n' "$(printf '%s' "$2" | quoted --slurp)"
    [ $# -lt 4 ] || tell '  expected: %s\n  found:    %s\n' "$3" "$4"
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
    length=$(wc -c <"$3")
    [ "$length" -le "$2" ] || refuse "larger than $2 bytes" "$1"
}
# canonical FILE FORM VALUES [JQ OPTION...]: lines of JSON, each one value of a form in the only way that it
# may be written; the lines that the jq expression VALUES makes of their list go to "$work/lines"
canonical() {
    file=$1 form=$2 values=$3 count=$(wc -l <"$1")
    shift 3
    jq --slurp --sort-keys --compact-output --raw-output --argjson count "$count" "$@" \
        "$FORMS if length == \$count and all(.[]; $form) then .[], ($values) else error(\"form\") end" \
        "$file" >"$work/read" 2>/dev/null && head -n "$count" "$work/read" >"$work/canonical" &&
        same "$file" "$work/canonical" || return 1
    tail -n "+$((count + 1))" "$work/read" >"$work/lines"
}
strange='not canonical JSON of the form that is expected here'
# one FILE NAME FORM VALUES [JQ OPTION...]: the same of a file that is one value and no line
one() {
    name=$2
    { cat "$1" && echo; } >"$work/one"
    shift 2
    [ "$(wc -l <"$work/one")" -eq 1 ] && canonical "$work/one" "$@" || refuse "$strange" "$name"
}
# roots FILE FORM VALUES [JQ OPTION...]: the same of all root documents, each a line
roots() {
    [ "$(wc -l <"$1")" -eq "$newest" ] && canonical "$@" && return
    split --lines 1 --numeric-suffixes=1 --suffix-length 4 "$1" "$work/part."
    form=$2 number=0
    shift 3
    for part in "$work"/part.*; do
        number=$((number + 1))
        canonical "$part" "$form" empty "$@" || refuse "$strange" "trust/$number.root.json"
    done
    refuse "$strange" trust/
}
# decode TEXT TO: base64, whose form was checked
decode() { printf '%s' "$1" | base64 --decode >"$2" 2>/dev/null || refuse 'malformed base64'; }
# pae TYPE FILE: the bytes that a DSSE signature is made over
pae() { printf 'DSSEv1 %d %s %d ' "${#1}" "$1" "$(wc -c <"$2")"; cat -- "$2"; }
# holds KEYID SIGNATURE NAME: the key has signed the message, or cannot be read by this openssl
holds() {
    if [ -e "$work/$1.unreadable" ]; then
        unchecked=$((unchecked + 1))
        return
    fi
    # The longest in base64: openssl dgst overlooks what follows the 72 bytes that a P-256 signature may have.
    longest=96
    [ ! -e "$work/$1.mldsa" ] || longest=6172
    [ "${#2}" -le "$longest" ] || refuse "the signature of key $1 is too long" "$3"
    decode "$2" "$work/signature"
    if [ -e "$work/$1.mldsa" ]; then
        openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/$1.der" -rawin -in "$work/message" \
            -sigfile "$work/signature" >/dev/null 2>&1
    else
        openssl dgst -sha256 -keyform DER -verify "$work/$1.der" -signature "$work/signature" "$work/message" \
            >/dev/null 2>&1
    fi || refuse "the signature of key $1 is not valid" "$3"
}
# unreadable KEYID: whether the key is of a type that this openssl does not know
unreadable() {
    [ -e "$work/$1.mldsa" ] || return 1
    : >"$work/$1.unreadable"
    ! "$profile" || fail 'this openssl cannot read ML-DSA-87, which the profile demands; 3.5 or newer can'
}
# before TIME: whether it is to come
before() { [ "$(date --utc +%Y%m%d%H%M%S)" -lt "$(printf '%s' "$1" | tr -cd 0-9)" ]; }
# say WHAT: what takes its time
say() { tell '%s\n' "$1"; }
# at_once COMMAND...: runs it with each word of standard input, on all cores where xargs has -P
at_once() {
    if printf '1\n' | xargs -P 2 -n 1 true 2>/dev/null; then
        cores=$(nproc) && [ "$cores" -ge 1 ] || cores=1
        [ "$cores" -le 64 ] || cores=64
        xargs -P "$cores" -n 1 "$@"
    else
        while read -r word; do "$@" "$word"; done
    fi
}
# deal CLASS LINES: what is on standard input, after its first column, into parts of so many lines
deal() {
    cut --delimiter ' ' --fields 2- |
        split --lines "$2" --numeric-suffixes --suffix-length 7 - "$work/parts/$1."
}
# every TOOL LIST: whether each file has the digest that the list has for it; the names of others are in "$work/failed".
# TOOL checks parts of the list: one file of 10 MB or more, or smaller ones of less than 200 MB in total.  The largest
# come first, or a core could be left alone with one at the end.  What TOOL says of a part goes to files of its own, so
# that no two processes write to one.  A file is right only if TOOL says OK of it: exit codes and silence prove nothing.
every() {
    mkdir "$work/parts"
    paste --delimiters ' ' "$work/lengths" "$2" >"$work/measured"
    grep --extended-regexp '^[0-9]{8,} ' "$work/measured" | sort --numeric-sort --reverse | deal 1 1
    grep --extended-regexp '^[0-9]{7} ' "$work/measured" | deal 2 20
    grep --extended-regexp '^[0-9]{6} ' "$work/measured" | deal 3 200
    grep --extended-regexp '^[0-9]{1,5} ' "$work/measured" | deal 4 2000
    (cd -- "$work/parts" && printf '%s\n' *) >"$work/numbers"
    at_once /bin/sh -c '"$1" --check --strict "$2/$3" >"$2/$3.said" 2>"$2/$3.errors"' sh "$1" "$work/parts" \
        <"$work/numbers" || :
    cat "$work"/parts/*.errors >&2 || :
    cat "$work"/parts/*.said | sed -n 's/: OK$//p' | sort >"$work/right"
    rm -r -- "$work/parts"
    comm -23 "$work/files" "$work/right" >"$work/failed"
    same "$work/files" "$work/right"
}

# 1. The root chain: N+1 is signed by the thresholds of N and of N+1 ---------------------
# A document is known by what it says: others may have signed a copy of it since.
one "$work/trusted" 'the root document that you trust' 'root_envelope($media)' '.[0].payload | @base64d' \
    --arg media "$ROOT_TYPE"
cat "$work/lines" >"$work/trusted.root"
newest=0 bytes=0 unchecked=0 signers=''
# What was made by a clock that is a day ahead, or more, would take the time of a site along.
latest=$(date --utc --date '24 hours' +%Y-%m-%dT%H:%M:%SZ)
: >"$work/envelopes"
while name=trust/$((newest + 1)).root.json && [ -e "$name" ]; do
    newest=$((newest + 1))
    [ "$newest" -le 1000 ] || refuse 'the root chain is longer than 1000 documents' "$name"
    copy "$name" 1048576 "$work/file"
    bytes=$((bytes + length))
    [ "$bytes" -le 67108864 ] || refuse 'the root documents have more than 67108864 bytes in total' "$name"
    { cat "$work/file" && echo; } >>"$work/envelopes"
done
[ "$newest" -ge 1 ] || refuse 'there is no root document' trust/
[ "$newest" -le 20 ] || say "reading $newest root documents"
roots "$work/envelopes" 'root_envelope($media)' '(.[] | .payload | @base64d), (to_entries[] | (.key + 1) as $number
    | (.value.payload | @base64d | length) as $length | .value.signatures[]
    | "\($number) \("000\($number)"[-4:]) \($length) \(.keyid) \(.sig)")' --arg media "$ROOT_TYPE"
head -n "$newest" "$work/lines" >"$work/roots"
tail -n "+$((newest + 1))" "$work/lines" >"$work/signatures"
roots "$work/roots" root '(index($trusted[0]) // -1 | . + 1) as $anchor
    | broken($envelopes; $anchor; $latest; $profile), $anchor, (last | .expires,
        (.roles | .release, (.release_post_quantum // {threshold: 0, keyids: []})
            | "\(.threshold) \(.keyids | join(" "))"),
        (.keys | to_entries[] | "use \(.key) \(.value.use) \(.value.label)")),
    ([.[].keys | to_entries[] | "key \(.key) \(.value.spki)"] | unique[])' --slurpfile trusted "$work/trusted.root" \
    --slurpfile envelopes "$work/envelopes" --arg latest "$latest" --argjson profile "$profile"
{
    read -r number problem && read -r anchor && read -r expires && read -r threshold releasers &&
        read -r co_threshold co_signers
} <"$work/lines"
[ "$number" -eq 0 ] || refuse "$problem" "trust/$number.root.json"
[ "$anchor" -ge 1 ] ||
    refuse 'the root chain is too old for the root document that you trust, or does not hold it' trust/
sed -n 's/^use //p' "$work/lines" >"$work/labels"
sed -n 's/^key //p' "$work/lines" >"$work/keys"
[ "$(wc -l <"$work/keys")" -le 2048 ] || refuse 'the root documents have more than 2048 keys in total' trust/
[ "$(wc -l <"$work/signatures")" -le 8192 ] ||
    refuse 'the root documents have more than 8192 signatures in total' trust/
while read -r id spki; do
    decode "$spki" "$work/$id.der"
    [ "${#spki}" -le 124 ] || : >"$work/$id.mldsa" # longer than P-256
    openssl pkey -pubin -inform DER -in "$work/$id.der" -noout 2>/dev/null ||
        unreadable "$id" || refuse "key $id is not a key" trust/
done <"$work/keys"
(cd -- "$work" && sha256sum -- *.der) | sed 's/\.der$//' | grep --invert-match --line-regexp '\([0-9a-f]*\)  \1' \
    >"$work/misnamed" || :
[ ! -s "$work/misnamed" ] || refuse "a key does not match its id: $(head -n 1 "$work/misnamed")" trust/
split --lines 1 --numeric-suffixes=1 --suffix-length 4 "$work/roots" "$work/root."
last=0
while read -r number padded length id signature; do
    if [ "$number" -ne "$last" ]; then
        last=$number
        [ $((number % 100)) -ne 0 ] || say "signatures of $number of $newest root documents are valid"
        { printf 'DSSEv1 %d %s %d ' "${#ROOT_TYPE}" "$ROOT_TYPE" "$length" &&
            head -c "$length" "$work/root.$padded"; } >"$work/message"
    fi
    holds "$id" "$signature" "trust/$number.root.json"
done <"$work/signatures"

# 2. Policy: the newest root document is in force ----------------------------------------
name=trust/$newest.root.json
before "$expires" || refuse 'the root document has expired' "$name" "a time before $expires" "$(date --utc)"

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
    one "$work/file" "$name" 'signature_file($signer; $media)' \
        '.[0].dsseEnvelope | .payload, .signatures[0].sig' --arg signer "$id" --arg media "$STATEMENT_TYPE"
    { read -r payload && read -r signature; } <"$work/lines"
    decode "$payload" "$work/payload"
    same "$work/payload" "$statement" || refuse 'it signs a different statement than statement.json' "$name"
    holds "$id" "$signature" "$name"
    printf '%s\n' "$name" >>"$work/signed"
    [ -e "$work/$id.unreadable" ] || signers="$signers $id"
done
[ "$released" -ge "$threshold" ] ||
    refuse 'too few signers of the release role have signed the bundle' sigs/ "$threshold signatures" "$released"
! "$profile" || { [ "$co_threshold" -ge 1 ] && [ "$co_released" -ge "$co_threshold" ]; } ||
    refuse 'too few keys of ML-DSA-87 have co-signed the bundle, which the profile demands' sigs/ \
        "$co_threshold signatures, at least 1" "$co_released"
one "$statement" statement.json statement '.[0] | .subject[0].digest as $digest | .predicate
    | "\(.name) \(.version) \(.created) \(.expires) \(.minimum_root_version) \(.files) \(.bytes) " +
    "\($digest.sha256) \($digest.sha384)"'
read -r bundle_name version created expires minimum files bytes sha256 sha384 <"$work/lines"
[ "$newest" -ge "$minimum" ] ||
    refuse 'the bundle demands a newer root than its chain holds' trust/ "version $minimum or higher" "$newest"
[ "$(printf '%s' "$created" | tr -cd 0-9)" -le "$(printf '%s' "$latest" | tr -cd 0-9)" ] ||
    refuse 'the bundle says that it was made in the future' statement.json "a time before $latest" "$created"
before "$expires" || refuse 'the bundle has expired' statement.json "a time before $expires" "$(date -u)"

# 4. SHA256SUMS by the statement ---------------------------------------------------------
sums=$work/sums
copy SHA256SUMS 268435456 "$sums"
found=$(sha256sum <"$sums")
[ "$found" = "$sha256  -" ] || refuse 'it is not the list that was signed' SHA256SUMS "$sha256" "${found%  -}"
found=$(sha384sum <"$sums")
[ "$found" = "$sha384  -" ] || refuse 'it is not the list that was signed' SHA256SUMS "$sha384" "${found%  -}"
# Lines that are not 64 digits, two spaces and a path that means the same file everywhere: for their form; for a
# component, a character or the depth; for a reserved name; for other letters; for their length.
lines() { grep --text --extended-regexp "$@" "$sums" || [ $? -eq 1 ]; }
{
    lines --invert-match '^[0-9a-f]{64}  [^/]'
    lines '//|/$|(^.{66}|/)([ -]|[^/]{256})|[. ](/|$)|[\\:*?"<>|[:cntrl:]]|(/.*){32}'
    lines --ignore-case '^.{66}(sha256sums|statement\.json|sigs|trust)(/|$)'
    lines --ignore-case '(^.{66}|/)(con(in[$]|out[$])?|prn|aux|nul|(com|lpt)[0-9]) *([./]|$)'
    lines '[^ -~]' >"$work/wide"
    jq --raw-input --raw-output "$FORMS select(letters | not)" "$work/wide"
    cut --bytes 1091- "$sums" >"$work/long"
    grep --text . "$work/long" || [ $? -eq 1 ]
} >"$work/bad"
[ ! -s "$work/bad" ] && [ -z "$(tail --bytes 1 "$sums")" ] ||
    refuse "not UTF-8 text, or a line that is not allowed: $(head -n 1 "$work/bad" | quoted)" SHA256SUMS
cut --bytes 67- "$sums" >"$work/files"
sed -n ':up; s,/[^/]*$,,p; t up' "$work/files" | sort --unique >"$work/folders"
sort --check=quiet --unique "$work/files" || refuse 'it is not sorted, or a path appears twice' SHA256SUMS
cat "$work/files" "$work/folders" >"$work/both"
grep --text --invert-match '[^ -~]' "$work/both" | tr '[:upper:]' '[:lower:]' >"$work/plain"
grep --text '[^ -~]' "$work/both" | jq --raw-input --raw-output "$FORMS key" | sort - "$work/plain" >"$work/caseless"
[ "$(uniq "$work/caseless" | wc -l)" -eq "$(wc -l <"$work/both")" ] ||
    refuse "paths that some file systems take for one: $(uniq --repeated "$work/caseless" | quoted)" SHA256SUMS

# 5. The files that are there, and nothing beside them -----------------------------------
# A line break in a name becomes a control character, which no listed name has.
du --all --bytes --count-links --null . >"$work/walk" || refuse 'it cannot be read completely' .
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
    head -n 100 "$work/problems" | quoted >&2 || :
    refuse "the files are not the listed ones: $(wc -l <"$work/problems") problems, the first of them above" .
}
cat "$work/sizes" "$sums" | jq --raw-input --null-input --compact-output --raw-output '[inputs]
    | (map(select(contains("\t")) | split("\t") | {key: .[1][2:], value: .[0] | tonumber}) | from_entries) as $sizes
    | map(select(contains("\t") | not) | {path: .[66:], sha256: .[:64], size: $sizes[.[66:]]})
    | "\(length) \(map(.size) | add)", .[], .[].size' >"$work/lines"
read -r listed size <"$work/lines"
sed -n "2,$((listed + 1))p" "$work/lines" | sort >"$work/facts"
tail -n "+$((listed + 2))" "$work/lines" >"$work/lengths"
[ "$listed" -eq "$files" ] ||
    refuse 'it lists a different number of files than the statement' SHA256SUMS "$files" "$listed"
# A file that was blown up is not worth reading to its end; one that only grew is named below.
[ "$size" -le $((2 * bytes)) ] || refuse 'there are far more bytes than were signed' . "$bytes" "$size"
[ "$size" -lt 1000000000 ] || say "reading $listed files, $size bytes"

# 6. Every file --------------------------------------------------------------------------
every sha256sum "$sums" || {
    head -n 20 "$work/failed" | while IFS= read -r name; do
        expected=$(jq --raw-input --raw-output --arg name "$name" 'select(.[66:] == $name)[:64]' "$sums")
        found=$(sha256sum <"$name") || found=unreadable
        [ "$found" != "$expected  -" ] || found='the same now, but it was not read to its end before'
        (refuse 'the file is not the one that was signed' "$name" "$expected" "${found%  -}") || :
    done
    refuse "files that are not the ones that were signed: $(wc -l <"$work/failed")" .
}
[ "$size" -eq "$bytes" ] || refuse 'there is a different number of bytes than was signed' . "$bytes" "$size"

# The profile: a list of SHA-384, whose own SHA-384 is in its name, which was signed with SHA256SUMS.
grep --extended-regexp --line-regexp 'evidence/SHA384SUMS\.[0-9a-f]{96}' "$work/files" >"$work/lists" || :
if "$profile"; then
    [ "$(wc -l <"$work/lists")" -eq 1 ] ||
        refuse 'there is not exactly one SHA-384 list, which the profile demands' 'evidence/SHA384SUMS.*'
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
        [ -n "$(tail --bytes 1 "$work/sha384")" ] && refuse 'it has a line that is not allowed' "$list"
    # With a line for itself it has the lines of SHA256SUMS.
    { cat "$work/sha384" && printf '%s  %s\n' "${list#evidence/SHA384SUMS.}" "$list"; } | sort --key 2 >"$work/whole"
    every sha384sum "$work/whole" || {
        head -n 20 "$work/failed" | quoted >&2 || :
        refuse "files that do not have the SHA-384 that was signed: $(wc -l <"$work/failed")" .
    }
fi

# 7. bundle.json, of which nothing was read until now: it explains every file -------------
index=$work/index
[ ! -e bundle.json ] || copy bundle.json 268435456 "$index"
# Nothing has to explain one list of SHA-384: it holds the digest of bundle.json.
[ "$(wc -l <"$work/lists")" -eq 1 ] || : >"$work/lists"
# What JSON leaves open, readers read differently: all is ASCII, a number has one form, and half of a surrogate
# pair is no text.  Strings are taken out, or the escapes of backslashes and of pairs.
[ -s "$index" ] && [ "$(tr -d '\t\n\r -~' <"$index" | wc -c)" -eq 0 ] ||
    refuse 'it is missing, empty, or has more than printable ASCII in it' bundle.json
sed --regexp-extended 's/"([^"\\]|\\.)*"//g' "$index" >"$work/bare"
[ "$(tr -cd '[{,' <"$work/bare" | wc -c)" -le 8000000 ] || refuse 'it has more than 8000000 values' bundle.json
fraction='-?(0|[1-9][0-9]{0,15})\.[0-9]{0,20}[1-9]|-?[1-9](\.[0-9]{0,20}[1-9])?e-(0[1-9]|[1-9][0-9])'
tr -s '][}{,: \t\r' '\n' <"$work/bare" | sort --unique | grep --quiet --invert-match --line-regexp --extended-regexp \
    "|true|false|null|0|-?[1-9][0-9]{0,15}|$fraction" &&
    refuse 'it has a number that readers read differently, or is not JSON' bundle.json
sed 's/\\\\//g; s/\\u[dD][89abAB]..\\u[dD][c-fC-F]..//g' "$index" | grep --quiet '\\u[dD][89a-fA-F]' &&
    refuse 'it has half of a surrogate pair in it' bundle.json
# Each key has a colon, and one that is there twice is read once.
[ "$(jq --slurp '[.. | objects | length] | add' "$index" 2>/dev/null)" = "$(tr -cd : <"$work/bare" | wc -c)" ] ||
    refuse 'it is not JSON, or has a key twice' bundle.json
grep --quiet --line-regexp "$(sha256sum <"$index" | cut --bytes -64)  bundle[.]json" "$sums" ||
    refuse 'it changed while it was verified' bundle.json
problem=$(jq --slurp --raw-output --slurpfile statement "$statement" "$FORMS"'
    if length != 1 or (.[0] | index | not) then "it is of no form that this script knows"
    elif [.[0] | .name, .version] != [$statement[0].predicate | .name, .version] then "it names another bundle"
    elif [.[0].artifacts[] | [.kind, .name]] | length != (unique | length)
    then "two artifacts have the same kind and name" else empty end' "$index" 2>/dev/null) ||
    refuse 'it is not of a form that this script knows' bundle.json
[ -z "$problem" ] || refuse "$problem" bundle.json
grep --fixed-strings --regexp '{"path":"bundle.json",' --regexp '{"path":"verify.sh",' \
    --regexp "{\"path\":\"$(cat "$work/lists")\"," "$work/facts" >"$work/ours"
jq --sort-keys --compact-output '.artifacts[].files[], .shared[]?' "$index" | sort --unique - "$work/ours" >"$work/told"
same "$work/facts" "$work/told" ||
    refuse "it does not explain a file: $(comm -3 "$work/facts" "$work/told" | head -n 1 | quoted)" bundle.json

# The verdict ----------------------------------------------------------------------------
[ "$unchecked" -eq 0 ] ||
    tell 'note: this openssl cannot read ML-DSA-87: %d co-signatures count as absent\n' "$unchecked"
while read -r id use label; do
    case " $signers " in *" $id "*) ;; *) continue ;; esac
    tell 'signed by %s  %s\n' "$id" "$label"
    [ "$use" != demo ] || tell 'this is a DEMO key: anybody may have made this bundle\n'
done <"$work/labels"
! "$profile" || tell 'the profile cnsa-2.0 is met\n'
printf 'verified: %s %s, %d files, %d bytes, root version %d, expires %s\n' \
    "$bundle_name" "$version" "$files" "$bytes" "$newest" "$expires"
