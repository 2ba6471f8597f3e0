"""Bare Debian systems to run programs in, made by mmdebstrap and kept between test runs.

A root lies below ``$APPLIANCE_TEST_CACHE`` (default ``~/.cache/appliance-tests``) and is
never written to again: programs run in it read-only, or in a copy, with namespaces of
their own for mounts, processes and the network, of which they have none.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

MIRROR = "http://deb.debian.org/debian"
_USER = 1000
# Whoever runs the test is that user there, so what a test wrote under any umask is the user's own.
_AS_USER = f'unshare --user --map-user={_USER} --map-group={_USER} --root="$ROOT" --wd=/'
_AS_ROOT = 'chroot "$ROOT"'

_ENTER = """
set -eu
mount --bind "$ROOT" "$ROOT"
mount -o "remount,bind,$MODE" "$ROOT"
mount --rbind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$ROOT/mnt"
{mounts}
exec {enter} env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp {command}
"""
_MOUNT = """
mkdir -- "$ROOT"/mnt/{name}
mount --bind {source} "$ROOT"/mnt/{name}
mount -o remount,bind,ro "$ROOT"/mnt/{name}
"""


@dataclass(frozen=True)
class DebianRoot:
    """The root directory of a Debian system; what programs change there lasts if it is ``writable``."""

    path: Path
    writable: bool = False

    def copy(self, path: Path) -> "DebianRoot":
        """A system of the test's own at ``path``, which it may change and has to remove."""
        subprocess.run(["cp", "--archive", "--reflink=auto", self.path, path], check=True)
        return DebianRoot(path, writable=True)

    def run(
        self, command: Sequence[str], *, mounts: Mapping[str, Path] | None = None, as_root: bool = False
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``command`` there, offline; each of ``mounts`` is seen read-only as ``/mnt/<name>``.

        It runs as an ordinary user without any capability, or ``as_root``.
        """
        binds = "".join(
            _MOUNT.format(name=shlex.quote(name), source=shlex.quote(str(source)))
            for name, source in (mounts or {}).items()
        )
        enter = _AS_ROOT if as_root else _AS_USER
        return subprocess.run(
            [
                *("unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child"),
                *("sh", "-c", _ENTER.format(mounts=binds, enter=enter, command=shlex.join(command))),
            ],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "ROOT": str(self.path),
                "MODE": "rw" if self.writable else "ro",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=600,
            check=False,
        )


def debian_root(suite: str, *packages: str) -> DebianRoot:
    """The minimal system of ``suite`` with ``packages``; made when it is not there yet.

    Skips the test when this machine cannot make one, saying what it would take.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root: a Debian system is entered with chroot")
    store = Path(os.environ.get("APPLIANCE_TEST_CACHE") or Path.home() / ".cache/appliance-tests")
    store.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256("\n".join(sorted(packages)).encode()).hexdigest()[:12]
    path = store / f"debian-{suite}-{wanted}"
    with (store / f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes want the same one
        if not path.exists():
            _make(path, suite, packages)
    return DebianRoot(path)


def _make(path: Path, suite: str, packages: Sequence[str]) -> None:
    if shutil.which("mmdebstrap") is None:
        pytest.skip("needs mmdebstrap: apt-get install mmdebstrap")
    try:
        httpx2.head(f"{MIRROR}/dists/{suite}/InRelease", timeout=30).raise_for_status()
    except httpx2.HTTPError as error:
        pytest.skip(f"needs {MIRROR}, or {path} made before: {error}")
    building = path.with_name(f"{path.name}.building")
    shutil.rmtree(building, ignore_errors=True)  # of a run that was killed
    made = subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase"),
            *([f"--include={','.join(packages)}"] if packages else []),
            *(suite, str(building), MIRROR),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=600,
        check=False,
        umask=0o022,
    )
    if made.returncode != 0:
        pytest.fail(f"mmdebstrap ended with {made.returncode}:\n{made.stderr}", pytrace=False)
    building.chmod(0o755)
    building.rename(path)
