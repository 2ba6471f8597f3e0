"""Small files, written whole or not at all."""

import ctypes
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import BadInput
from appliance.store.disk import sync

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NO_REPLACE = 1  # RENAME_NOREPLACE of <linux/fs.h>
_HERE = -100  # AT_FDCWD of <fcntl.h>
_RENAME = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # glibc 2.28 and later


def write_whole(path: Path, data: bytes, *, mode: int, replace: bool = True) -> None:
    """Write beside the target, sync, rename.

    Raises BadInput: ``not-writable``, ``file-exists`` when ``replace`` is False, or
    ``not-private`` where the file system would show others what is for its owner alone.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            _check_private(descriptor, mode, path)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        if replace:
            Path(temporary).rename(path)
        else:
            _place(temporary, path)
        sync(path.parent)
    except FileExistsError:
        raise BadInput("file-exists", "the file exists and is not overwritten", where=str(path)) from None
    except OSError as error:
        raise BadInput("not-writable", f"cannot write: {error.strerror}", where=str(path)) from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def changing(folder: Path, leftovers: str) -> Iterator[None]:
    """Wait for others who change files of ``folder``, and clear away what a killed one has left.

    ``leftovers`` is the pattern of the files' names that ``write_whole`` may have left parts of.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for part in folder.glob(f".{leftovers}.????????"):
            part.unlink()
        yield
    finally:
        os.close(descriptor)


def _check_private(descriptor: int, mode: int, path: Path) -> None:
    if not mode & _OTHERS and os.fstat(descriptor).st_mode & _OTHERS:
        raise BadInput(
            "not-private",
            "the file system cannot keep a file from other users: FAT and exFAT have no modes",
            where=str(path.parent),
            hint="write it to a Linux file system, such as ext4",
        )


def _place(temporary: str, path: Path) -> None:
    """Give the file its name, never to another's loss, and never two names at once: it may be a key."""
    if _RENAME and _RENAME(_HERE, os.fsencode(temporary), _HERE, os.fsencode(path), _NO_REPLACE) == 0:
        return
    number = ctypes.get_errno() if _RENAME else errno.ENOSYS
    if number not in (errno.EINVAL, errno.ENOSYS, errno.EPERM):
        raise OSError(number, os.strerror(number), str(path))
    try:
        os.link(temporary, path)  # an older libc, or a file system such as NFS
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP):
            raise
        # No links either: whoever makes the name first has it.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        Path(temporary).rename(path)
