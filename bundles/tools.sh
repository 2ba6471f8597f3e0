#!/bin/sh
# Installs the Debian packages that are missing, when it may; otherwise says how.
# Arguments: PACKAGE:SIGN, where SIGN is a command, a file, or "venv" for Python's module.
set -eu

missing=''
for pair in "$@"; do
    package=${pair%%:*} sign=${pair#*:}
    case $sign in
        venv) "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing $package" ;;
        /*) [ -e "$sign" ] || missing="$missing $package" ;;
        # Debian keeps some programs out of an ordinary user's PATH.
        *) PATH=$PATH:/usr/sbin:/sbin command -v "$sign" >/dev/null || missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

command="apt-get install --yes --no-install-recommends$missing"
if ! command -v apt-get >/dev/null; then
    printf 'error: these are missing:%s\n  do: install them with your distribution; Debian calls them so\n' "$missing" >&2
    exit 2
fi
if [ "$(id -u)" -ne 0 ]; then
    printf 'error: these packages are missing:%s\n  do: sudo %s\n' "$missing" "$command" >&2
    exit 2
fi
printf '> installing%s\n' "$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2 >&2
$command --quiet=2 </dev/null >&2
