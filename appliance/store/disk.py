"""What is done to files and directories everywhere: read within a bound, made for all to read, removed, synced."""

import ctypes
import os
import shutil
from contextlib import suppress
from pathlib import Path

from appliance.errors import BadInput
from appliance.tools import namespace

FOLDER_MODE = 0o755
SMALL = 1024 * 1024  # bytes: files of less are brought to the disk together, others as soon as they are written
_syncfs = ctypes.CDLL(None, use_errno=True).syncfs


def read_bounded(path: Path, limit: int, reference: str, what: str = "the file", hint: str = "") -> bytes:
    """A whole small file; of one with more than ``limit`` bytes, one byte more than that, for its parser to refuse.

    Raises BadInput (``reference``) when ``what`` cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise BadInput(reference, f"{what} cannot be read: {error.strerror}", where=str(path), hint=hint) from None


def make_directory(folder: Path) -> None:
    """Make a directory that everybody may read, whatever the umask; it may be there."""
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        folder.chmod(FOLDER_MODE)


def make_directories(folder: Path) -> list[Path]:
    """``make_directory`` for it and what is missing above it; returns what was made, outermost first."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    missing.reverse()
    for path in missing:
        make_directory(path)
    return missing


def sync(folder: Path) -> None:
    """Bring a directory's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Bring everything to the disk that the file system of ``folder`` has: one wait, however many files there are.

    Raises OSError for what could not be written; Linux before 5.8 does not tell.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def remove_tree(folder: Path) -> None:
    """Remove a directory, also one with directories that its owner may not write.

    What an image's build leaves when it is killed may belong to a subordinate id.
    """
    opened_up = False
    while os.path.lexists(folder):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue  # another process clears the same directory
        except PermissionError:
            if opened_up and os.geteuid() == 0:
                raise
            if opened_up:
                namespace.remove(folder)
                continue
            with suppress(PermissionError):
                _open_up(folder)
            opened_up = True


def _open_up(folder: Path) -> None:
    folder.chmod(0o700)
    for name, children, _ in os.walk(folder):
        for child in children:
            path = Path(name, child)
            if not path.is_symlink():
                path.chmod(0o700)  # before the walk goes there
