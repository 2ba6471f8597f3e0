"""Let a running nginx read its configuration and certificates again, and say when it did not.

    reload_nginx.py CONFIGURATION MASTER [--within SECONDS]

MASTER is the number of its main process.  ``nginx -t`` looks first, so files that nginx
would refuse leave it as it is.  After SIGHUP nginx tells nobody how that went, so this waits
until workers run that have read the new files and those before them take no new connection.
Exit code 1, and the reason, when that does not come about.

Runs on hosts: their own Python alone.  As the user that nginx runs as, or root.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_NGINX = "/usr/sbin/nginx"
_WORKER = "nginx: worker process"
_LEAVING = "is shutting down"  # what nginx adds to the title of a worker that only ends what it has begun


class NotTaken(Exception):
    """nginx goes on with what it had; the message says why."""


def main() -> int:
    """See above; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("configuration")
    parser.add_argument("master", type=int)
    parser.add_argument("--within", type=float, default=60, metavar="SECONDS")
    options = parser.parse_args()
    try:
        _check(options.configuration)
        _reload(options.master, time.monotonic() + options.within)
    except (NotTaken, OSError) as error:
        print(f"nginx was not reloaded and keeps serving with the files that it had: {error}", file=sys.stderr)
        return 1
    return 0


def _check(configuration: str) -> None:
    command = [_NGINX, "-t", "-q", "-e", "stderr", "-c", configuration]
    if subprocess.run(command, check=False).returncode != 0:
        raise NotTaken(f"nginx refuses {configuration}, or a file that it names, as shown above")


def _reload(master: int, deadline: float) -> None:
    # A master that has only just begun would end by the signal.
    _await(lambda: bool(_taking(master)), deadline, "it has not started yet")
    before = _taking(master)
    os.kill(master, signal.SIGHUP)
    _await(lambda: bool(_taking(master) - before), deadline, "no new worker came")
    _await(lambda: not _taking(master) & before, deadline, "old workers still take connections")


def _await(condition: Callable[[], bool], deadline: float, problem: str) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise NotTaken(problem)
        time.sleep(0.02)


def _taking(master: int) -> set[int]:
    """Workers of ``master`` that take new connections."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
                title = (folder / "cmdline").read_text(errors="replace") if parent == master else ""
            except OSError:  # it has ended
                continue
            if title.startswith(_WORKER) and _LEAVING not in title:
                found.add(int(folder.name))
    return found


if __name__ == "__main__":
    sys.exit(main())
