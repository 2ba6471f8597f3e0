#!/bin/sh
# Judges a bundle as docs/auditing.md tells auditors to by hand, with one tool for signatures.
#
#   sh auditor.sh openssl|cosign DIR
#
# DIR has the bundle, signers/<keyid>.pem and co-signers/<keyid>.pem as their owners gave them,
# and `threshold`, how many of the signers have to sign.  Exit codes: 0 good, 3 not.
# Root documents, expiry and forms are not judged: who may sign is known already.
set -eu
tool=$1
cd -- "$2/bundle"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

refuse() { printf 'not good: %s\n' "$1"; exit 3; }

by_openssl() {
    jq --join-output '.dsseEnvelope.signatures[0].sig' "$1" | base64 --decode >"$work/sig"
    { printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c <statement.json)"; cat statement.json; } >"$work/pae"
    if openssl pkey -pubin -in "$2" -noout -text | grep --quiet --ignore-case ml-dsa; then
        openssl pkeyutl -verify -pubin -inkey "$2" -rawin -in "$work/pae" -sigfile "$work/sig"
    else
        openssl dgst -sha256 -verify "$2" -signature "$work/sig" "$work/pae"
    fi
}
by_cosign() {
    printf '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}' >"$work/empty.json"
    cosign verify-blob-attestation --key "$2" --bundle "$1" --new-bundle-format --insecure-ignore-tlog=true \
        --trusted-root "$work/empty.json" --type urn:appliance:bundle:v1 SHA256SUMS
}
# reads KEY.pem: whether the tool knows such keys; cosign is for P-256, openssl before 3.5 for all but ML-DSA
reads() {
    openssl pkey -pubin -in "$1" -noout -text 2>/dev/null >"$work/key" || return 1
    [ "$tool" = openssl ] || grep --quiet prime256v1 "$work/key"
}
# holds KEY.pem: the key's owner has signed this statement
holds() {
    signature=sigs/$(basename "$1" .pem).sigstore.json
    [ -f "$signature" ] || return 1
    jq --join-output .dsseEnvelope.payload "$signature" | base64 --decode | cmp --silent - statement.json || return 1
    "by_$tool" "$signature" "$1" >/dev/null 2>&1
}

# First of all, because sha256sum would wait at a pipe for ever.
[ -z "$(find . ! -type d ! -type f)" ] || refuse 'links or special files'
[ -f statement.json ] || refuse 'no statement'
[ -f SHA256SUMS ] || refuse 'no list'
count=0
for key in ../signers/*.pem; do
    if holds "$key"; then count=$((count + 1)); fi
done
[ "$count" -ge "$(cat ../threshold)" ] || refuse "$count have signed"
for key in ../co-signers/*.pem; do
    [ -f "sigs/$(basename "$key" .pem).sigstore.json" ] || continue
    reads "$key" || continue
    holds "$key" || refuse 'a co-signature does not hold'
done
for algorithm in sha256 sha384; do
    digest=$(jq --raw-output ".subject[0].digest.$algorithm" statement.json)
    echo "$digest  SHA256SUMS" | "${algorithm}sum" --check --status || refuse 'another list'
done
sha256sum --check --strict --status SHA256SUMS 2>/dev/null || refuse 'other files'
find . ! -type d ! -path './sigs/*' ! -path './trust/*' ! -path ./SHA256SUMS ! -path ./statement.json |
    cut --characters 3- | LC_ALL=C sort >"$work/there"
cut --bytes 67- SHA256SUMS | cmp --silent - "$work/there" || refuse 'more files'
