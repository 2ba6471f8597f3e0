"""Weights from a directory beside the definition.

The directory has to hold exactly the files that were locked, each time it is fetched.
"""

import hashlib
import os
import stat
from pathlib import Path

from appliance.artifacts.base import Context
from appliance.artifacts.weights_gate import Gate
from appliance.artifacts.weights_source import Resolved
from appliance.errors import BadInput, Stale
from appliance.model.files import Content
from appliance.model.limits import MAX_WEIGHTS_FILES
from appliance.model.lock import LockedArtifact, LockedFile
from appliance.model.weights import DirectoryOrigin


class Directory:
    """The source ``directory``."""

    leave_out = "move it out of the directory"

    def resolve(self, source: str, gate: Gate, context: Context) -> Resolved:
        """Hash and keep every file of the directory."""
        root = _open(context.base, source)
        sizes, others = _listing(root)
        if not sizes:
            raise BadInput("weights-empty", "the directory holds no file", where=str(root))
        gate.check_names(sorted(sizes), others)
        files = []
        with context.progress.task(f"Reading {source}", sum(sizes.values())) as task:
            for path in sorted(sizes):
                content = context.sink.copy_in(root / path)
                files.append(LockedFile(path=path, sha256=content.sha256, size=content.size))
                task.advance(content.size)
        return Resolved(DirectoryOrigin(directory=source), tuple(files))

    def fetch(self, origin: DirectoryOrigin, artifact: LockedArtifact, context: Context) -> None:
        """Compare the directory with the lock, and keep what is not kept yet.  Raises Stale."""
        root = _open(context.base, origin.directory)
        sizes, others = _listing(root)
        locked = {file.path: file for file in artifact.files}
        for path in sorted({*sizes, *others, *locked}):
            if path not in locked:
                raise _stale(artifact, root / path, "has been added")
            if path not in sizes:
                raise _stale(artifact, root / path, "has become a link" if path in others else "has disappeared")
        with context.progress.task(f"Checking {origin.directory}", sum(sizes.values())) as task:
            for path, file in sorted(locked.items()):
                if sizes[path] != file.size or _found(root / path, file, context).sha256 != file.sha256:
                    raise _stale(artifact, root / path, "has changed")
                task.advance(file.size)


def _open(base: Path, directory: str) -> Path:
    root = base
    for component in directory.split("/"):
        root /= component
        if root.is_symlink():
            raise BadInput("weights-directory-link", "the directory is behind a symbolic link", where=str(root))
    if not root.is_dir():
        raise BadInput(
            "weights-directory-missing",
            "there is no such directory",
            where=str(root),
            hint="it is looked for beside the definition",
        )
    return root


def _listing(root: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Sizes of all files, and the entries that are neither file nor directory."""
    sizes: dict[str, int] = {}
    others: list[str] = []
    for folder, names, files in os.walk(root, onerror=_unreadable):
        for name in (*names, *files):
            entry = Path(folder, name)
            status = entry.lstat()
            if stat.S_ISREG(status.st_mode):
                sizes[entry.relative_to(root).as_posix()] = status.st_size
            elif not stat.S_ISDIR(status.st_mode):
                others.append(entry.relative_to(root).as_posix())
        if len(sizes) > MAX_WEIGHTS_FILES:
            what = f"there are more than {MAX_WEIGHTS_FILES} files"
            raise BadInput("weights-directory-oversized", what, where=str(root))
    return sizes, tuple(others)


def _unreadable(error: OSError) -> None:
    raise BadInput("weights-directory-unreadable", f"cannot be read: {error.strerror}", where=str(error.filename))


def _found(path: Path, locked: Content, context: Context) -> Content:
    if not context.sink.holds(locked):
        return context.sink.copy_in(path)
    with path.open("rb") as file:
        return Content(sha256=hashlib.file_digest(file, "sha256").hexdigest(), size=locked.size)


def _stale(artifact: LockedArtifact, path: Path, happened: str) -> Stale:
    return Stale(f"{path.name} {happened} since it was locked", artifact=artifact.id, where=str(path))
