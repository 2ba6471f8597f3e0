"""Overwrite and remove every file that some patterns name, and all below; say what that was worth, as JSON.

    wipe.py PATTERN...

``files`` and ``bytes`` count what was overwritten: one pass of random bytes by coreutils' shred,
synced before a file is unlinked.  Links are removed and not followed.  ``doubts`` names
where old content may still lie: disks that write elsewhere, and swap.  What is not there is
no error: an interrupted run is run again.  Runs on hosts: their own Python alone.
"""

import glob
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

_SHRED = ("shred", "--force", "--iterations=1", "--remove=unlink", "--")
_AT_ONCE = 500  # files in one command
_IN_PLACE = ("ext2", "ext3", "ext4", "vfat", "xfs")  # as long as nobody has made reflinks or snapshots
_IN_MEMORY = ("ramfs", "tmpfs")
_SYS = Path("/sys/dev/block")


def main() -> None:
    """See above; raises when something is left."""
    places = [path for pattern in sys.argv[1:] for path in sorted(named(pattern))]
    found = [path for place in places for path in files(place)]
    told = {
        "files": len(found),
        "bytes": sum(path.stat().st_size for path in found),
        "doubts": list(dict.fromkeys([*doubts({path.parent for path in found}), *swap()])),
    }
    for begin in range(0, len(found), _AT_ONCE):
        subprocess.run([*_SHRED, *map(str, found[begin : begin + _AT_ONCE])], stdin=subprocess.DEVNULL, check=True)
    for place in places:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    os.sync()
    print(json.dumps(told))


def named(pattern: str) -> Iterator[Path]:
    """What is there of a pattern; a link counts wherever it leads."""
    return map(Path, glob.iglob(pattern, include_hidden=True))  # noqa: PTH207 - Path.glob leaves out links that lead nowhere


def files(place: Path) -> Iterator[Path]:
    """Every regular file below ``place``, or ``place`` itself."""
    if place.is_symlink():
        return
    if place.is_file():
        yield place
    for folder, _, names in os.walk(place):
        paths = (Path(folder, name) for name in names)
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def doubts(folders: Iterable[Path]) -> Iterator[str]:
    """Why old content of files in these may still be somewhere."""
    table = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    mounts = {fields[4].encode().decode("unicode_escape"): fields for fields in table}  # the last one is on top
    for place in sorted({mounted(folder, mounts) for folder in folders}):
        fields = mounts[place]
        kind = fields[fields.index("-") + 1]
        if kind in _IN_MEMORY:
            continue
        if kind not in _IN_PLACE:
            yield f"{place} is {kind}, which does not overwrite old content in place"
        disks = sorted(disk.name for disk in below(_SYS / fields[2]))
        if not disks:
            yield f"{place} is on a device that does not say what it is"
        yield from (
            f"{place} is on {disk}, which is not a magnetic disk and keeps old blocks out of sight"
            for disk in disks
            if Path("/sys/block", disk, "queue/rotational").read_text().strip() != "1"
        )


def mounted(folder: Path, mounts: Container[str]) -> str:
    """The mount that a folder lies on."""
    return next(str(one) for one in (folder, *folder.parents) if str(one) in mounts)


def below(device: Path) -> Iterator[Path]:
    """Whole disks that a device of /sys/dev/block is made of: through partitions, LUKS, LVM and RAID."""
    real = device.resolve()
    slaves = list(real.glob("slaves/*"))
    if slaves:
        for slave in slaves:
            yield from below(slave)
    elif (real / "partition").exists():
        yield real.parent
    elif (real / "queue").exists():
        yield real


def swap() -> Iterator[str]:
    """Where memory was written to."""
    for line in Path("/proc/swaps").read_text().splitlines()[1:]:
        yield f"{line.split()[0]} is swap, and holds what was in memory"


if __name__ == "__main__":
    main()
