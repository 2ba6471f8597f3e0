#!/bin/sh
# Installs the Debian packages that are missing, when it may; otherwise says how.
# Arguments: PACKAGE:SIGN, where SIGN is a command, a file, or "venv" for Python's module.
# APT_LOCK_WAIT: how long to wait for another program that holds a lock of apt, in seconds.
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
    printf 'error: these packages are missing:%s\n  do: install them with your distribution; these are the Debian names\n' "$missing" >&2
    exit 2
fi
if [ "$(id -u)" -ne 0 ]; then
    printf 'error: these packages are missing:%s\n  do: sudo %s\n' "$missing" "$command" >&2
    exit 2
fi

# A fresh machine updates itself in its first minutes.  Of its locks apt-get waits for dpkg's
# alone (DPkg::Lock::Timeout), and not for those of its lists and archives.
patience=${APT_LOCK_WAIT:-300}
exec 3>&2
patiently() {
    waited=0
    until said=$(LC_ALL=C "$@" --quiet=2 </dev/null 2>&1 >&3); do
        lock=$(printf '%s\n' "$said" | sed -n 's/^E: Could not get lock //p')
        if [ -z "$lock" ]; then
            printf '%s\n' "$said" >&2
            exit 2
        fi
        if [ "$waited" -ge "$patience" ]; then
            printf 'error: another program has held a lock of apt for %s s\n  where: %s\n' "$patience" "$lock" >&2
            printf '  do: wait until that program has ended, then run this again\n' >&2
            exit 2
        fi
        [ "$waited" -gt 0 ] || printf '> waiting up to %s s for a lock of apt: %s\n' "$patience" "$lock" >&2
        sleep 1
        waited=$((waited + 1))
    done
    [ -z "$said" ] || printf '%s\n' "$said" >&2
}

printf '> installing%s\n' "$missing" >&2
export DEBIAN_FRONTEND=noninteractive
patiently apt-get update
# shellcheck disable=SC2086 # a list of words
patiently $command
