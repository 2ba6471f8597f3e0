"""Runs in a model's container: prints where its user can write, as JSON, by mount point: bytes and files that fit.

With a directory as its argument it fills that one instead, and prints how many bytes and files went in.
"""

import json
import os
import sys
from pathlib import Path

_KERNEL = ("/proc", "/sys", "/dev/pts")


def main() -> None:
    print(json.dumps(fill(Path(sys.argv[1])) if sys.argv[1:] else writable()))


def writable() -> dict[str, tuple[int, int]]:
    found = {}
    for name, folders, files in os.walk("/"):
        folder = Path(name)
        folders[:] = [below for below in folders if str(folder / below) not in _KERNEL]
        for path in (folder, *(folder / file for file in files)):
            if (path == folder or path.is_file()) and os.access(path, os.W_OK):
                place = next(place for place in (path, *path.parents) if place.is_mount())
                about = os.statvfs(place)
                found[str(place)] = (about.f_blocks * about.f_frsize, about.f_files)
    return found


def fill(folder: Path) -> tuple[int, int]:
    written = files = 0
    try:
        with (folder / "filling").open("wb", buffering=0) as file:
            while True:
                written += file.write(bytes(4096))
    except OSError:
        pass
    try:
        while True:
            (folder / f"filling{files}").touch()
            files += 1
    except OSError:
        pass
    for path in folder.glob("filling*"):
        path.unlink()
    return written, files


main()
