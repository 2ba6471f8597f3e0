"""A directory tree that cannot be left.

Every file is opened below the tree's own descriptor and never through a link; what is
hashed is what was opened.  What is no ordinary file is not opened at all, because opening
a device has effects.  A tree that changes meanwhile can be refused, but not lead outside.
Whoever wants the bytes that are hashed gets them from the same read, by a tap.
"""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType

from appliance.errors import BadInput, NotTrusted
from appliance.model.files import TreeEntry
from appliance.model.limits import MAX_PATH_DEPTH, MAX_TREE_ENTRIES
from appliance.model.progress import Progress
from appliance.model.taps import Tap
from appliance.store.beneath import Neighbours, open_beneath
from appliance.store.hashing import CHUNK, Hashing, unreadable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
# Without O_NONBLOCK, opening a fifo that took a file's place a moment ago would wait for ever.
_FILE = os.O_RDONLY | os.O_NONBLOCK


class Tree:
    """An open directory; use it as a context.

    With ``below`` it is the directory of that path under ``root``, where no link leads.
    """

    def __init__(self, root: Path, progress: Progress, below: str = ".") -> None:
        self.root = root
        self._progress = progress
        self._stop = threading.Event()
        self._entries: Mapping[str, TreeEntry] = {}
        try:
            self._descriptor = _open_top(root, below)
        except OSError as error:
            raise BadInput(
                "directory-unreadable", f"not a readable directory: {_reason(error)}", where=str(root / below)
            ) from None

    def __enter__(self) -> "Tree":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def listing(self) -> Mapping[str, TreeEntry]:
        """Everything below the tree by path.  Raises NotTrusted beyond any sane size."""
        found: dict[str, TreeEntry] = {}
        pending = [""]
        while pending:
            folder = pending.pop()
            if folder.count("/") >= MAX_PATH_DEPTH:
                raise NotTrusted("tree-oversized", "a directory deeper than in any bundle", where=folder)
            for name, entry in self._list(folder or ".", MAX_TREE_ENTRIES - len(found)):
                path = f"{folder}/{name}" if folder else name
                found[path] = entry
                if entry.kind == "directory":
                    pending.append(path)
        self._entries = found
        return found

    def holds(self, path: str) -> bool:
        """Whether something has this path, whatever it is."""
        try:
            self._look(path)
        except NotTrusted as error:
            if error.reference == "file-missing":
                return False
            raise
        return True

    def read(self, path: str, limit: int) -> bytes:
        """The whole of a file.  Raises NotTrusted for none, another type, or too much."""
        size = self._size(path)
        with self._opening() as open_file:
            descriptor = open_file(path)
            try:
                data = os.read(descriptor, min(size, limit) + 1)
                while len(data) <= limit and (more := os.read(descriptor, min(CHUNK, limit + 1 - len(data)))):
                    data += more
            except OSError as error:
                raise unreadable(path, error) from None
            finally:
                os.close(descriptor)
        if len(data) > limit:
            raise NotTrusted("file-oversized", f"the file is larger than {limit} bytes", where=path)
        return data

    def digests(self, paths: Sequence[str], tap: Tap | None = None, label: str = "") -> Iterator[tuple[str, str]]:
        """Path and SHA-256 of every file, several read at once.

        ``tap`` gets the bytes of each file while they are hashed; ``label`` says to people what is done.
        """
        sizes = {path: self._size(path) for path in paths}
        self._stop.clear()
        with self._progress.task(label or ("Copying files" if tap else "Verifying files"), sum(sizes.values())) as task:
            yield from Hashing(self._opening, task.advance, tap, self._stop).digests(sizes)

    @contextmanager
    def _opening(self) -> Iterator[Callable[[str], int]]:
        """Opens files whose sizes are known; the directory of the last one stays open for its neighbours."""
        with Neighbours(self._descriptor) as neighbours:
            yield partial(_open_file, neighbours)

    def _size(self, path: str) -> int:
        """Size of what has to be an ordinary file; it is not opened."""
        entry = self._entries.get(path) or self._look(path)
        if entry.kind != "file":
            raise _not_a_file(path)
        return entry.size

    def _look(self, path: str) -> TreeEntry:
        folder, _, name = path.rpartition("/")
        descriptor = self._open(folder or ".", _DIRECTORY)
        try:
            return _entry(os.stat(name, dir_fd=descriptor, follow_symlinks=False))
        except OSError as error:
            raise _unopened(path, error) from None
        finally:
            os.close(descriptor)

    def _list(self, folder: str, most: int) -> list[tuple[str, TreeEntry]]:
        found: list[tuple[str, TreeEntry]] = []
        descriptor = self._open(folder, _DIRECTORY)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if len(found) == most:
                        raise NotTrusted("tree-oversized", "more entries than any bundle has", where=folder)
                    found.append((entry.name, _entry(entry.stat(follow_symlinks=False))))
        except OSError as error:
            raise unreadable(folder, error) from None
        finally:
            os.close(descriptor)
        return found

    def _open(self, path: str, flags: int) -> int:
        try:
            return open_beneath(self._descriptor, path, flags)
        except OSError as error:
            raise _unopened(path, error) from None


def _open_top(root: Path, below: str) -> int:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if below != ".":
        above = descriptor
        try:
            descriptor = open_beneath(above, below, _DIRECTORY)
        finally:
            os.close(above)
    try:
        os.stat(".", dir_fd=descriptor)  # a directory that can be listed and not entered fails here
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_file(neighbours: Neighbours, path: str) -> int:
    try:
        descriptor = neighbours.open(path, _FILE)
    except OSError as error:
        raise _unopened(path, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_file(path)
    return descriptor


def _unopened(path: str, error: OSError) -> NotTrusted:
    if isinstance(error, FileNotFoundError):
        return NotTrusted("file-missing", "the file is missing", where=path, found="no file")
    return NotTrusted("file-type", f"the file cannot be opened: {_reason(error)}", where=path)


def _reason(error: OSError) -> str:
    return "it is a link, or is behind one" if error.errno == errno.ELOOP else str(error.strerror)


def _not_a_file(path: str) -> NotTrusted:
    return NotTrusted("file-type", "not an ordinary file", where=path)


def _entry(status: os.stat_result) -> TreeEntry:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        # Modes are not signed, and no file of a bundle has a reason to give its owner's rights away.
        return TreeEntry("special" if mode & (stat.S_ISUID | stat.S_ISGID) else "file", status.st_size)
    if stat.S_ISDIR(mode):
        return TreeEntry("directory", status.st_size)
    return TreeEntry("link" if stat.S_ISLNK(mode) else "special", status.st_size)
