"""A site's log on the disk: ``log/log.jsonl``, only ever appended to.

An entry is written by one call and synced before ``append`` returns; several processes
take turns.  A last line without a newline is what a killed append has left: nobody was
told that it was written, and the next append cuts it off.  Readers take no lock, or anyone
who may read could hold up a site.  The chain itself: ``model/documents/log.py``.
"""

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import JsonValue

from appliance.errors import BadInput, Failed, NotTrusted
from appliance.model.documents.log import NO_HEAD, Event, Head, Line, follow, format_line, read_line
from appliance.model.limits import MAX_LOG_LINE
from appliance.store.disk import sync

Details = dict[str, JsonValue]
_BLOCK = 1024 * 1024
_FOLDER_MODE = 0o750
_FILE_MODE = 0o640  # whoever audits can be given the group; what runs on each host is not for everybody
_OPENED = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class Log:
    """The log of the site in the directory ``site``; made by the first append."""

    def __init__(self, site: Path) -> None:
        self.path = site / "log" / "log.jsonl"

    def append(self, event: Event, details: Details, *, time: str) -> Head:
        """Append an entry; returns how far the log goes then.

        Raises BadInput (``disk-full``), and NotTrusted (``log-broken``) when the last line
        is none that could be followed.
        """
        with self._locked() as descriptor:
            return self._append(descriptor, event, details, time)

    def append_made(self, event: Event, make: Callable[[Iterator[Line]], Details | None], *, time: str) -> Head | None:
        """The same, with details that ``make`` makes of the log while nobody else can write to it.

        None from ``make`` is None in the end: nothing is written.
        """
        with self._locked() as descriptor:
            self._cut(descriptor)
            details = make(self.lines())
            return None if details is None else self._append(descriptor, event, details, time)

    def lines(self) -> Iterator[Line]:
        """Every line from the first on, each checked to follow the one before.

        A torn last line is left out.  Raises NotTrusted (``log-broken``) at the first line
        that is wrong; no log is an empty one.
        """
        head, end = NO_HEAD, 0
        try:
            file = os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        except FileNotFoundError:
            return
        with file:
            while (line := file.readline(MAX_LOG_LINE + 1)).endswith(b"\n") or len(line) > MAX_LOG_LINE:
                try:
                    entry, head = follow(head, line)
                except ValueError as error:
                    raise self._broken(f"line {head.seq + 1} {error}", f":{head.seq + 1}") from None
                end += len(line)
                yield Line(entry, head, end)

    def check_end(self) -> None:
        """Raise NotTrusted (``log-broken``) when an append would: before work, not after it."""
        if self.path.exists():
            with self._locked() as descriptor:
                self._last(descriptor, self._cut(descriptor))

    def size(self) -> int:
        """Bytes of the log, those of a torn last line too."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def sha256(self, end: int) -> str:
        """Of the first ``end`` bytes."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(min(end, _BLOCK)):
                digest.update(block)
                end -= len(block)
        return digest.hexdigest()

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            while not _is_at(descriptor, self.path):  # somebody has put it away meanwhile
                os.close(descriptor)
                descriptor = self._open()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self._broken("it is not an ordinary file")
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self.path, _OPENED)
        except FileNotFoundError:
            return self._make()

    def _make(self) -> int:
        folder = self.path.parent
        try:
            folder.mkdir()
        except FileExistsError:
            pass
        else:
            folder.chmod(_FOLDER_MODE)
            sync(folder.parent)
        descriptor = os.open(self.path, _OPENED | os.O_CREAT, _FILE_MODE)
        os.fchmod(descriptor, _FILE_MODE)
        sync(folder)
        return descriptor

    def _append(self, descriptor: int, event: Event, details: Details, time: str) -> Head:
        end = self._cut(descriptor)
        try:
            line = format_line(self._last(descriptor, end), event, details, time=time)
        except ValueError as error:
            raise BadInput("log-entry", f"this cannot be written to a log: it {error}", where=event) from None
        self._write(descriptor, end, line)
        return read_line(line)[1]

    def _cut(self, descriptor: int) -> int:
        """Cut off what a killed append has left; returns the size that the log has then."""
        size = os.fstat(descriptor).st_size
        start = max(0, size - MAX_LOG_LINE)
        end = start + os.pread(descriptor, size - start, start).rfind(b"\n") + 1
        if end == start > 0:
            raise self._broken(f"it ends with more than {MAX_LOG_LINE} bytes that are not a line")
        if end < size:
            os.ftruncate(descriptor, end)
        return end

    def _last(self, descriptor: int, end: int) -> Head:
        if end == 0:
            return NO_HEAD
        start = max(0, end - MAX_LOG_LINE)
        tail = os.pread(descriptor, end - start, start)
        try:
            return read_line(tail[tail.rfind(b"\n", 0, -1) + 1 :])[1]
        except ValueError as error:
            raise self._broken(f"its last line {error}") from None

    def _write(self, descriptor: int, end: int, line: bytes) -> None:
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, end)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise Failed("log-not-written", f"cannot write: {error.strerror}", where=str(self.path)) from None
            raise BadInput(
                "disk-full",
                "the disk is full; the log is unchanged",
                where=str(self.path),
                hint="free some space",
            ) from None

    def _broken(self, problem: str, where: str = "") -> NotTrusted:
        return NotTrusted(
            "log-broken",
            f"the site's log is not as it was written: {problem}",
            where=f"{self.path}{where}",
            hint="rename the file and keep it for whoever audits the site; the next entry then begins a new log",
        )


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
