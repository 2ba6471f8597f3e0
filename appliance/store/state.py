"""A site's state on its disk: the old one or the new one, never a mix, and never an older one taken for new.

``state.json`` lies in a directory that only its owner may enter.  Whoever changes it has the
directory's lock, writes ``state.json.next``, brings it to the disk and renames it.  Where
there is a counter that nothing can set back (a TPM's), the state names the counter's value,
and the counter is raised between writing and renaming: of the two files, the one with the
counter's value is the state.  So an older copy that is put back does not pass, and a run
that is killed at any moment leaves one file that does.  docs/adr/0012-site-state.md.

What the state means is for trust/ratchet.py to say.
"""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import BadInput, NotTrusted
from appliance.model.counter import Counter
from appliance.model.documents.state import SiteState
from appliance.model.limits import MAX_STATE
from appliance.store.disk import sync

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_REBUILD = "then rebuild it from the bundles that the site holds: appliance state rebuild --root ROOT.json"


class StateFile:
    """The state in ``folder``, which is made when there is something to remember.

    ``counter`` is None where there is none.  With ``untied`` a state that names a counter's
    value is taken without one, and written without.
    """

    def __init__(self, folder: Path, counter: Counter | None = None, *, untied: bool = False) -> None:
        self.folder = folder
        self._file = folder / "state.json"
        self._next = folder / "state.json.next"
        self._counter = counter
        self._untied = untied

    def load(self) -> SiteState | None:
        """The state; None where nothing was ever accepted.

        Raises NotTrusted: ``state-malformed``, ``state-unsafe``, ``state-rolled-back``,
        ``tpm-missing``.
        """
        if not os.path.lexists(self.folder):
            return self._choose(None, None)
        with self._locked(fcntl.LOCK_SH):
            return self._choose(self._read(self._file), self._read_next())

    def update(self, change: Callable[[SiteState | None], SiteState]) -> SiteState:
        """Replace the state by what ``change`` makes of it; when that raises, it stays as it is.

        Raises as ``load`` does.
        """
        with self._made(), self._locked(fcntl.LOCK_EX):
            old = self._settle()
            new = change(old)
            if new != old or not self._is_tied(old):
                self._pass_over(old)
                self._write(new)
            return new

    def replace(self, state: SiteState) -> None:
        """Write ``state`` whatever is there, which somebody has decided who may."""
        with self._made(), self._locked(fcntl.LOCK_EX):
            self._pass_over(None)
            self._write(state)

    def remains(self) -> SiteState | None:
        """What ``state.json`` says, be it the state or not; None where that cannot be read."""
        try:
            return self._read(self._file)
        except NotTrusted:
            return None

    def _choose(self, state: SiteState | None, following: SiteState | None) -> SiteState | None:
        """Which of ``state.json`` and ``state.json.next`` is the state."""
        reading = self._counter.read() if self._counter else None
        if reading is None:
            if state and state.counter is not None and not self._untied:
                raise NotTrusted(
                    "tpm-missing",
                    "the state is tied to a TPM's counter that is not there",
                    where=str(self._file),
                    hint=f"the TPM was cleared, replaced or switched off: find out why, {_REBUILD}",
                )
            return state
        for candidate in (following, state):
            if candidate and candidate.counter == reading.value:
                return candidate
        if not reading.binding and (state is None or state.counter is None):
            return state  # the run that was to tie it was killed
        raise NotTrusted(
            "state-rolled-back",
            "this is not the state that the site had last: an older copy was put back, or it was deleted",
            where=str(self._file),
            expected=f"a state with the TPM's counter at {reading.value}",
            found=_described(state),
            hint=f"with it, old bundles would pass as new ones: find out who restored what, {_REBUILD}",
        )

    def _settle(self) -> SiteState | None:
        """The state, after what a killed run has left is finished."""
        following = self._read_next()
        state = self._choose(self._read(self._file), following)
        if following and state is following:
            self._next.rename(self._file)
            sync(self.folder)
        return state

    def _is_tied(self, state: SiteState | None) -> bool:
        """Whether the state names what the counter shows, or nothing where there is none."""
        reading = self._counter.read() if self._counter else None
        if reading is None:
            return self._counter is None and (state is None or state.counter is None)
        return reading.binding and state is not None and state.counter == reading.value

    def _pass_over(self, old: SiteState | None) -> None:
        """Use up the counter's value that a killed run has written a next state for.

        Somebody may have a copy of that, and it would pass beside the one that is written now.
        """
        if self._counter is None or not os.path.lexists(self._next):
            return
        if old is not None:
            self._write(old)
        elif self._counter.read():
            self._counter.increment()

    def _write(self, state: SiteState) -> None:
        count = None
        if self._counter:
            reading = self._counter.read()
            count = (reading.value if reading else self._counter.start()) + 1
        self._write_next(state.model_copy(update={"counter": count}).to_bytes())
        if self._counter:
            self._counter.increment()
        self._next.rename(self._file)
        sync(self.folder)
        if self._counter:
            self._counter.bind()

    def _write_next(self, data: bytes) -> None:
        if len(data) > MAX_STATE:
            raise BadInput(
                "state-oversized", f"the state would be larger than {MAX_STATE} bytes", where=str(self._file)
            )
        self._next.unlink(missing_ok=True)  # what a killed run has left, and the counter has not made the state
        try:
            with os.fdopen(_open(self._next, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            sync(self.folder)
        except BaseException:
            self._next.unlink(missing_ok=True)
            raise

    def _read_next(self) -> SiteState | None:
        try:
            return self._read(self._next) if self._counter else None
        except NotTrusted:
            return None  # cut off before the counter was raised: it never was the state

    def _read(self, path: Path) -> SiteState | None:
        try:
            with os.fdopen(_open(path, os.O_RDONLY), "rb") as file:
                _check_private(os.fstat(file.fileno()), path)
                return SiteState.from_bytes(file.read(MAX_STATE + 1))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise NotTrusted(
                "state-malformed",
                f"the state cannot be read: {error.strerror if isinstance(error, OSError) else error}",
                where=str(path),
                hint=f"find out what happened to it, {_REBUILD}",
            ) from None

    @contextmanager
    def _made(self) -> Iterator[None]:
        """Have the directory; it goes again when nothing was written."""
        try:
            self.folder.mkdir(mode=FOLDER_MODE)
        except FileExistsError:
            yield
            return
        self.folder.chmod(FOLDER_MODE)
        try:
            yield
        finally:
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        descriptor = _open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _check_private(os.fstat(descriptor), self.folder)
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)


def _check_private(status: os.stat_result, path: Path) -> None:
    if status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o077:
        return
    raise NotTrusted(
        "state-unsafe",
        "somebody else could have written the state",
        where=str(path),
        expected="owned by the user who runs this, and closed to everybody else",
        found=f"owner {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}",
        hint="find out who changed owner or mode, then correct them: chown root, chmod go=",
    )


def _described(state: SiteState | None) -> str:
    if state is None:
        return "no state"
    return "a state without a counter" if state.counter is None else f"a state with {state.counter}"
