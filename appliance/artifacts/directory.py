"""A directory of this host as the source of an artifact.

It is looked for in the directories that are given; the lock knows only its path from there.  It
has to hold exactly the files that were locked, each time it is fetched.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.artifacts.base import Context
from appliance.errors import BadInput, Stale
from appliance.model.base import Strict
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.limits import MAX_SOURCE_FILES
from appliance.model.names import BundlePath
from appliance.model.sink import LocalTree

LEAVE_OUT = "move it out of the directory"
_NO_FILE = {
    "link": "is a link: only files are carried",
    "special": "is a FIFO, a socket, a device or set-id: only ordinary files are carried",
}
_BECOME = {"link": "has become a link", "special": "has become a special file"}

# Given the paths of all files, and of other entries with what they are, it raises for those that may not be carried.
Check = Callable[[Sequence[str], Mapping[str, str]], None]


class DirectoryOrigin(Strict):
    """What a lock keeps of it; ``directory`` is relative to the definition."""

    type: Literal["directory"] = "directory"
    directory: BundlePath


@dataclass(frozen=True)
class LocalDirectory:
    """One directory, for an artifact of ``kind``, below the first of ``bases`` that has it.

    ``missing`` tells a person what to do where none has.
    """

    kind: str
    path: str
    bases: Sequence[Path]
    missing: str

    def lock(self, check: Check, context: Context) -> tuple[LockedFile, ...]:
        """Hash and keep every file.  Raises BadInput (``<kind>-empty``), and what ``check`` raises."""
        with self._opened(context) as tree:
            sizes, others = self._listing(tree)
            if not sizes and not others:
                raise BadInput(f"{self.kind}-empty", "the directory holds no file", where=str(tree.root))
            check(sorted(sizes), {path: _NO_FILE[kind] for path, kind in others.items()})
            read = dict(tree.contents(sorted(sizes), f"Reading {self.path}", keep=sizes))
        return tuple(LockedFile(path=path, sha256=read[path].sha256, size=read[path].size) for path in sorted(read))

    def compare(self, artifact: LockedArtifact, context: Context, *, keep: bool) -> None:
        """Compare it with the lock, and ``keep`` what is not kept yet.  Raises Stale."""
        locked = {file.path: file for file in artifact.files}
        with self._opened(context) as tree:
            sizes, others = self._listing(tree)
            for path in sorted({*sizes, *others, *locked}):
                if path not in locked:
                    raise _stale(artifact, tree, path, "has been added")
                if path not in sizes:
                    raise _stale(artifact, tree, path, _BECOME[others[path]] if path in others else "has disappeared")
                if sizes[path] != locked[path].size:
                    raise _stale(artifact, tree, path, "has changed")
            wanted = {content.sha256 for content in context.sink.missing(artifact.files)} if keep else set()
            missing = {path for path, file in locked.items() if file.sha256 in wanted}
            for path, content in tree.contents(sorted(locked), f"Checking {self.path}", keep=missing):
                if content.sha256 != locked[path].sha256:
                    raise _stale(artifact, tree, path, "has changed")

    @contextmanager
    def _opened(self, context: Context) -> Iterator[LocalTree]:
        with context.sink.open_local(self._base(), context.progress, self.path) as tree:
            yield tree

    def _base(self) -> Path:
        """Where it lies below.  This names a link on the way; that there is none is made sure of when it is opened."""
        for base in self.bases:
            root = base
            for component in self.path.split("/"):
                root /= component
                if root.is_symlink():
                    what = "the directory is behind a symbolic link"
                    raise BadInput(f"{self.kind}-directory-link", what, where=str(root), hint=self.missing)
            if root.is_dir():
                return base
        looked = " or ".join(str(base.absolute()) for base in self.bases)
        what = f"there is no directory {self.path} in {looked}"
        raise BadInput(f"{self.kind}-directory-missing", what, where=self.path, hint=self.missing)

    def _listing(self, tree: LocalTree) -> tuple[dict[str, int], Mapping[str, str]]:
        """Sizes of all files; and the kinds of the entries that are neither file nor directory."""
        entries = tree.listing()
        sizes = {path: entry.size for path, entry in entries.items() if entry.kind == "file"}
        if len(sizes) > MAX_SOURCE_FILES:
            what = f"there are more than {MAX_SOURCE_FILES} files"
            raise BadInput(f"{self.kind}-directory-oversized", what, where=str(tree.root))
        return sizes, {path: entry.kind for path, entry in entries.items() if entry.kind in _NO_FILE}


def _stale(artifact: LockedArtifact, tree: LocalTree, path: str, happened: str) -> Stale:
    return Stale(f"{Path(path).name} {happened} since it was locked", artifact=artifact.id, where=str(tree.root / path))
