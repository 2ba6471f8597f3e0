#!/bin/sh
# What `make bundle` does.  BUNDLE, OUT, KEY and ROOT come from the environment.
# The last line on standard output is the bundle's directory.  What is signed enough is verified first.
set -eu

appliance=.venv/bin/appliance
renew=''

case $KEY in
    # Everybody signs elsewhere, with the statement.
    '') exec "$appliance" build "$BUNDLE" --out "$OUT" ${ROOT:+--root "$ROOT"} ;;
    pkcs11:*) root=${ROOT:-} ;; # nothing lies beside a key on a token; `build` says that ROOT is missing
    *) root=${ROOT:-${KEY%.pem}.root.json} ;;
esac

if [ "$BUNDLE" = bundles/demo.yaml ]; then
    # The demo has to work on any day, so its stale lock entries are resolved again.
    renew=--renew
    .venv/bin/python bundles/tiny-chat/make.py bundles/tiny-chat/model >&2
fi
if [ "$KEY" = keys/demo.pem ] && [ ! -e "$KEY" ]; then
    mkdir -p keys
    "$appliance" keys new "$KEY" --no-passphrase >/dev/null
    "$appliance" root new "$root" --key "$KEY" --demo >/dev/null
    printf 'made a DEMO key, %s: for trying things out, not for production\n' "$KEY" >&2
fi
if [ -n "$root" ] && [ ! -e "$root" ]; then
    printf 'no root document %s: making one that trusts only %s\n' "$root" "$KEY" >&2
    "$appliance" root new "$root" --key "$KEY" >/dev/null
fi
built=$("$appliance" build "$BUNDLE" --out "$OUT" --key "$KEY" ${root:+--root "$root"} $renew)
# With others still to sign there is nothing yet that a site would take; the build has said so.
signed=$("$appliance" inspect "$built" --json)
if printf '%s\n' "$signed" | jq --exit-status .complete >/dev/null; then
    [ ! -d "$root" ] || root=$root/1.root.json
    "$appliance" verify "$built" --root "$root" >&2
fi
printf '%s\n' "$built"
