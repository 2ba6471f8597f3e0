"""What has changed on a host, seen from outside of it.

A host's own files are what its overlay has above the shared root file system.  A file has
changed when its ctime has, which no program can set; a directory when it has other entries
or another mode.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.site.hosts import Host
from tests.site.plan import Plan

# What the base system, and Ansible, write by themselves while a host runs and is logged in to.
_BY_THEMSELVES = (
    "var/log",  # the journal, and who logged in
    "var/lib/systemd",  # when timers ran, the seed of random numbers
    "root/.ansible",  # Ansible's working directory, in the home of whoever it logs in as
)

Files = dict[str, tuple[int, int, int]]


def files_of(host: Host, plan: Plan) -> Files:
    """Inode, mode and ctime of everything on the host's own disks by its path there."""
    scratch = plan.scratch / host.name
    found: Files = {}
    for top, place in ((scratch / "upper", ""), (scratch / "volumes" / "0", "var/lib/containers")):
        for path, status in _walk(top):
            name = str(Path(place, path.relative_to(top)))
            if any(name == part or name.startswith(f"{part}/") for part in _BY_THEMSELVES):
                continue
            if not stat.S_ISDIR(status.st_mode):
                found[name] = (status.st_ino, status.st_mode, status.st_ctime_ns)
            elif status.st_mode != _mode(plan.base / name):  # otherwise it only carries what is in it
                found[name] = (status.st_ino, status.st_mode, 0)
    return found


def changed(before: Files, after: Files) -> list[str]:
    """Paths that are new, gone or other than they were."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _mode(path: Path) -> int | None:
    return path.lstat().st_mode if path.exists() else None


def _walk(top: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = Path(folder, name)
            yield path, path.lstat()
