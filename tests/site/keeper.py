"""Holds one site, and clears up behind it.

Runs apart from whoever wants the site: in a session of its own, so that Ctrl-C does not
reach it, and in a mount namespace of its own (``unshare --mount``), where it sees the
cgroups.  It ends the site when its standard input ends, which is when the other side
closes it or dies, in whatever way, and on SIGTERM.  When it is killed itself, the kernel
ends the site's processes with it, and the next keeper removes what files they left.

Prints one line when the hosts are starting: the number of the site's first process.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

from tests.site.command import in_cgroup
from tests.site.plan import CGROUPS, Plan, cgroup_of, first_process

_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PATIENCE = 30.0  # seconds
_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup")


def main() -> int:
    plan = Plan.from_json(sys.argv[1])
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    # Orphans become children of this process, so that their end can be awaited.
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)
    # Unmounted here alone; how the machine has its cgroups is then of no matter.
    subprocess.run(["umount", "--recursive", str(CGROUPS)], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["mount", "--types", "cgroup2", "cgroup2", str(CGROUPS)], check=True)
    plan.scratch.parent.mkdir(parents=True, exist_ok=True)
    with _locked(plan.scratch.parent):
        _sweep(plan.scratch.parent)
        claim = _claim(plan.scratch)
    with claim:
        try:
            return _keep(plan)
        finally:
            _remove(plan.scratch)


def _keep(plan: Plan) -> int:
    plan.cgroup.mkdir()
    # In the cgroup first: a cgroup namespace begins where its first process is.
    unshare = [
        *("setpriv", "--pdeathsig", "KILL", "unshare"),
        *(*_NAMESPACES, "--propagation", "private", "--fork", "--kill-child", "--mount-proc"),
        *(sys.executable, "-m", "tests.site.supervisor", plan.to_json()),
    ]
    command = in_cgroup(plan.cgroup, unshare)
    site = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert site.stdout is not None
    try:
        readable, _, _ = select.select([sys.stdin, site.stdout], [], [])
        if sys.stdin not in readable and site.stdout.readline():
            process = first_process(plan.cgroup)
            values = {"plan": plan.to_json(), "supervisor": process, "keeper": os.getpid()}
            (plan.scratch / "site.json").write_text(json.dumps(values))
            print(process, flush=True)
            readable, _, _ = select.select([sys.stdin, site.stdout], [], [])
        return 0 if sys.stdin in readable else 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        site.kill()  # should it not be in its cgroup yet
        _end(plan.cgroup)


def _end(cgroup: Path) -> None:
    """Kill all that is in ``cgroup``, and remove it."""
    (cgroup / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + _PATIENCE
    while "populated 1" in (cgroup / "cgroup.events").read_text():
        if time.monotonic() > deadline:
            raise SystemExit(f"processes in {cgroup} do not end: {(cgroup / 'cgroup.procs').read_text().split()}")
        time.sleep(0.01)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    for folder, _, _ in os.walk(cgroup, topdown=False):
        Path(folder).rmdir()


def _locked(sites: Path) -> TextIO:
    """One keeper at a time may claim and sweep."""
    lock = (sites / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _claim(scratch: Path) -> TextIO:
    """Lock the directory of a site for as long as its keeper lives."""
    scratch.mkdir(exist_ok=True)
    lock = (scratch / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise SystemExit(f"a site of the name {scratch.name} is up") from None
    return lock


def _sweep(sites: Path) -> None:
    """Remove what keepers that were killed left behind."""
    for lock in sites.glob("*/lock"):
        try:
            with _claim(lock.parent):
                _remove(lock.parent)
        except SystemExit:
            continue


def _remove(scratch: Path) -> None:
    cgroup = cgroup_of(scratch.name)
    if cgroup.exists():
        _end(cgroup)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    sys.exit(main())
