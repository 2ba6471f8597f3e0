"""A directory tree that cannot be left.

Every file is opened below the tree's own descriptor, one component after the other, and
never through a link; what is hashed is what was opened.  A tree that changes meanwhile
can be refused, but not lead outside.  Whoever wants the bytes that are hashed gets them
from the same read, by a tap.
"""

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Literal

from appliance.errors import BadInput, NotTrusted
from appliance.model.files import Entry
from appliance.model.limits import MAX_PATH_DEPTH, MAX_TREE_ENTRIES
from appliance.model.progress import Progress

CHUNK = 1024 * 1024
# How far the kernel is asked to read ahead; measured in docs/benchmarks.md.
_WINDOW = 64 * 1024 * 1024
# A file is hashed by one thread.  With no more threads than cores, five equal files on two
# cores leave one core idle for a sixth of the time; with a thread each, they end together.
_LEAST_THREADS = 16
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a fifo that an attacker left would wait for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# Opened for each path that is hashed, in the thread that hashes it; takes every block, which
# is valid during the call only.  Left by an exception when the file was not read to its end.
Tap = Callable[[str], AbstractContextManager[Callable[[memoryview], None]]]


class Tree:
    """An open directory; use it as a context."""

    def __init__(self, root: Path, progress: Progress) -> None:
        self.root = root
        self._progress = progress
        self._stop = threading.Event()
        try:
            self._descriptor = _open_top(root)
        except OSError as error:
            raise BadInput(
                "directory-unreadable", f"not a readable directory: {error.strerror}", where=str(root)
            ) from None

    def __enter__(self) -> "Tree":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def listing(self) -> dict[str, Entry]:
        """Everything below the tree by path.  Raises NotTrusted beyond any sane size."""
        found: dict[str, Entry] = {}
        pending = [""]
        while pending:
            folder = pending.pop()
            descriptor = self._open(folder, _DIRECTORY)
            try:
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        path = f"{folder}/{entry.name}" if folder else entry.name
                        status = entry.stat(follow_symlinks=False)
                        found[path] = Entry(_kind(status.st_mode), status.st_size)
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(path)
            except OSError as error:
                raise _unreadable(folder or ".", error) from None
            finally:
                os.close(descriptor)
            if len(found) > MAX_TREE_ENTRIES or folder.count("/") > MAX_PATH_DEPTH:
                raise NotTrusted("tree-oversized", "more or deeper entries than any bundle has", where=folder)
        return found

    def read(self, path: str, limit: int) -> bytes:
        """The whole of a file.  Raises NotTrusted for none, another type, or too much."""
        descriptor = self._open_file(path)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            parts = []
            length = 0
            try:
                while chunk := file.read(min(CHUNK, limit + 1 - length)):
                    parts.append(chunk)
                    length += len(chunk)
                    if length > limit:
                        raise NotTrusted("file-oversized", f"the file is larger than {limit} bytes", where=path)
            except OSError as error:
                raise _unreadable(path, error) from None
        return b"".join(parts)

    def digests(self, paths: Sequence[str], tap: Tap | None = None) -> Iterator[tuple[str, str]]:
        """Path and SHA-256 of every file, several read at once.

        ``tap`` gets the bytes of each file while they are hashed.
        """
        sizes = {path: self._size(path) for path in paths}
        largest_first = sorted(paths, key=lambda path: -sizes[path])
        self._stop.clear()
        workers = max(_LEAST_THREADS, len(os.sched_getaffinity(0)))
        with (
            self._progress.task("Copying files" if tap else "Verifying files", sum(sizes.values())) as task,
            ThreadPoolExecutor(workers) as pool,
        ):
            try:
                yield from pool.map(
                    lambda path: (path, self._digest(path, tap or _no_tap, task.advance)), largest_first
                )
            finally:
                # Ctrl-C: the threads end at their next block, not at the end of their file.
                self._stop.set()
                pool.shutdown(cancel_futures=True)

    def _digest(self, path: str, tap: Tap, advance: Callable[[int], None]) -> str:
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(CHUNK))
        position = 0
        with os.fdopen(self._open_file(path), "rb", buffering=0) as file, tap(path) as take:
            while length := _read_block(file, buffer, position, path):
                if self._stop.is_set():
                    raise _Stopped
                block = buffer[:length]
                digest.update(block)
                take(block)
                position += length
                advance(length)
        return digest.hexdigest()

    def _size(self, path: str) -> int:
        descriptor = self._open_file(path)
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def _open_file(self, path: str) -> int:
        descriptor = self._open(path, _FILE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotTrusted("file-type", "not an ordinary file", where=path)
        return descriptor

    def _open(self, path: str, flags: int) -> int:
        components = path.split("/") if path else ["."]
        descriptor = os.dup(self._descriptor)
        for number, component in enumerate(components, start=1):
            last = number == len(components)
            try:
                below = os.open(component, flags if last else _DIRECTORY, dir_fd=descriptor)
            except FileNotFoundError:
                raise NotTrusted("file-missing", "the file is missing", where=path, found="no file") from None
            except OSError as error:
                raise NotTrusted("file-type", f"the file cannot be opened: {error.strerror}", where=path) from None
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor


class _Stopped(Exception):
    """Ends a thread whose result nobody waits for any more."""


def _no_tap(path: str) -> AbstractContextManager[Callable[[memoryview], None]]:
    return nullcontext(lambda block: None)


def _read_block(file: FileIO, buffer: memoryview, position: int, path: str) -> int:
    try:
        if position % _WINDOW == 0:
            os.posix_fadvise(file.fileno(), position + CHUNK, _WINDOW, os.POSIX_FADV_WILLNEED)
        return file.readinto(buffer) or 0
    except OSError as error:
        raise _unreadable(path, error) from None


def _open_top(root: Path) -> int:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.stat(".", dir_fd=descriptor)  # a directory that can be listed and not entered fails here
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unreadable(path: str, error: OSError) -> NotTrusted:
    # A dying medium: what cannot be read is not what was signed.
    return NotTrusted("file-unreadable", f"it cannot be read: {error.strerror}", where=path)


def _kind(mode: int) -> Literal["file", "directory", "link", "special"]:
    if stat.S_ISREG(mode):
        # Modes are not signed, and no file of a bundle has a reason to give its owner's rights away.
        return "special" if mode & (stat.S_ISUID | stat.S_ISGID) else "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "special"
