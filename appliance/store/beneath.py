"""Opening what lies below an open directory, never through a link and never outside.

Linux 5.6 has a system call for this, openat2(2).  Older kernels have not, and the filters
that containers run under may refuse it; then the path is walked one component after the
other.  Both ways give the same descriptors and the same errors; the first is three times
as fast.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Callable
from functools import cache

# One number on every architecture but Alpha and MIPS, where a call of this number does not
# exist and the kernel says so.
_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_SPECIAL = {b"", b".", b".."}
_SPECIAL_NAMES = {os.fsdecode(name) for name in _SPECIAL}
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

PATH_MAX = 4096  # bytes, with a NUL at the end: <linux/limits.h>
_PLAIN = PATH_MAX // 4  # characters that are fewer bytes, however they are encoded

Way = Callable[[int, bytes, int], int]


class _OpenHow(ctypes.Structure):
    """``struct open_how`` of <linux/openat2.h>."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t)
_syscall.restype = ctypes.c_long


def open_beneath(directory: int, path: str, flags: int) -> int:
    """Open ``path`` below the descriptor ``directory``; ``"."`` is the directory itself.

    ``flags`` are those of open(2), for reading; close-on-exec is added.  Raises OSError: ELOOP
    for a link at any depth, EXDEV for a path that is absolute or has an empty, ``.`` or
    ``..`` component, EINVAL for one that no file can have, and otherwise what open(2) says.
    """
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        raise _error(errno.EINVAL, path) from None
    if b"\0" in raw:
        raise _error(errno.EINVAL, path)
    if len(raw) >= PATH_MAX:
        raise _error(errno.ENAMETOOLONG, path)
    if raw != b"." and not _SPECIAL.isdisjoint(raw.split(b"/")):
        raise _error(errno.EXDEV, path)
    return _way()(directory, raw, flags | os.O_CLOEXEC)


class Neighbours:
    """``open_beneath`` for many files, one after the other; use it as a context.

    The directory of the last one stays open: for its neighbours one component is left to look
    up, where ``O_NOFOLLOW`` says all that has to be said.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._folder = ""
        self._descriptor = -1

    def __enter__(self) -> "Neighbours":
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def open(self, path: str, flags: int) -> int:
        """Open a file; ``path``, ``flags`` and errors as those of ``open_beneath``."""
        folder, slash, name = path.rpartition("/")
        odd = name in _SPECIAL_NAMES or "\0" in name or (slash and folder in _SPECIAL_NAMES)
        if odd or len(path) >= _PLAIN:
            return open_beneath(self._top, path, flags)
        if self._descriptor < 0 or folder != self._folder:
            self._leave()
            self._descriptor = open_beneath(self._top, folder or ".", _FOLDER)
            self._folder = folder
        try:
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._descriptor)
        except UnicodeEncodeError:
            raise _error(errno.EINVAL, path) from None

    def _leave(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@cache
def _way() -> Way:
    """The way that this kernel, and the filter that this process runs under, allow."""
    root = os.open("/", _FOLDER)
    try:
        os.close(by_kernel(root, b".", _FOLDER))
    except OSError:  # ENOSYS before Linux 5.6; ENOSYS or EPERM from a filter
        return by_component
    finally:
        os.close(root)
    return by_kernel


def by_kernel(directory: int, path: bytes, flags: int) -> int:
    """``open_beneath`` by openat2, for a path that is checked."""
    while (descriptor := _syscall(_OPENAT2, directory, path, _how(flags), ctypes.sizeof(_OpenHow))) < 0:
        if (number := ctypes.get_errno()) != errno.EINTR:
            raise _error(number, path)
    return int(descriptor)


@cache
def _how(flags: int) -> _OpenHow:
    # The kernel counts O_NOFOLLOW as a wish about the last component, and would say ENOTDIR of a link there.
    return _OpenHow(flags & ~os.O_NOFOLLOW, 0, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)


def by_component(directory: int, path: bytes, flags: int) -> int:
    """``open_beneath`` without openat2, for a path that is checked."""
    *folders, last = path.split(b"/")
    above = directory
    try:
        for folder in folders:
            below = _step(above, folder, _FOLDER)
            if above != directory:
                os.close(above)
            above = below
        return _step(above, last, flags | os.O_NOFOLLOW)
    finally:
        if above != directory:
            os.close(above)


def _step(directory: int, component: bytes, flags: int) -> int:
    try:
        return os.open(component, flags, dir_fd=directory)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(component, dir_fd=directory, follow_symlinks=False).st_mode):
            raise _error(errno.ELOOP, component) from None
        raise


def _error(number: int, path: str | bytes) -> OSError:
    return OSError(number, os.strerror(number), path)
