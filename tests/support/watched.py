"""A whole file system below one directory, before and after."""

import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# Larger ones are sparse here: size, inode and times have to do.
_LARGEST = 16 * 1024 * 1024


@dataclass(frozen=True)
class Entry:
    """One name: type and mode, owner, inode, links, size, times, and what it holds or leads to."""

    mode: str
    owner: tuple[int, int]
    inode: int
    links: int
    size: int
    modified: int
    content: str


Snapshot = Mapping[str, Entry]


def snapshot(root: Path, *, leave_out: Collection[Path] = ()) -> Snapshot:
    """Everything below ``root`` and itself, by path, without ``leave_out``.  Nothing is followed."""
    return dict(_entries(root, leave_out))


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What is not as it was, one line each."""
    return [
        f"{path}: {before.get(path)} -> {after.get(path)}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]


def _entries(path: Path, leave_out: Collection[Path]) -> Iterator[tuple[str, Entry]]:
    status = path.lstat()
    yield os.fspath(path), _entry(path, status)
    if stat.S_ISDIR(status.st_mode):
        try:
            names = sorted(os.listdir(path))  # noqa: PTH208 - names only
        except PermissionError:
            return  # a directory of mode 000, which is what a test is about
        for name in names:
            if path / name not in leave_out:
                yield from _entries(path / name, leave_out)


def _entry(path: Path, status: os.stat_result) -> Entry:
    content = ""
    if stat.S_ISLNK(status.st_mode):
        content = os.fspath(path.readlink())
    elif stat.S_ISREG(status.st_mode) and status.st_size <= _LARGEST:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    directory = stat.S_ISDIR(status.st_mode)
    return Entry(
        stat.filemode(status.st_mode),
        (status.st_uid, status.st_gid),
        status.st_ino,
        status.st_nlink,
        0 if directory else status.st_size,  # some file systems never shrink a directory
        status.st_mtime_ns,
        content,
    )
