"""Weights from a directory of this host.

It is looked for in the directory that ``--weights`` names, then beside the definition; the lock
knows only its path from there.  It has to hold exactly the files that were locked, each time it
is fetched.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from appliance.artifacts.base import Context
from appliance.artifacts.weights.gate import Gate
from appliance.artifacts.weights.section import DirectoryOrigin
from appliance.artifacts.weights.source import ResolvedWeights
from appliance.errors import BadInput, Stale
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.limits import MAX_WEIGHTS_FILES
from appliance.model.sink import LocalTree

_NO_FILE = {
    "link": "is a link: only files are carried",
    "special": "is a FIFO, a socket, a device or set-id: only ordinary files are carried",
}
_BECOME = {"link": "has become a link", "special": "has become a special file"}
_ELSEWHERE = "if it lies elsewhere on this host, name the directory that holds it: --weights DIRECTORY"


class Directory:
    """The source ``directory``."""

    leave_out = "move it out of the directory"

    def resolve(self, source: str, gate: Gate, context: Context) -> ResolvedWeights:
        """Hash and keep every file of the directory."""
        with _opened(source, context) as tree:
            sizes, others = _listing(tree)
            if not sizes and not others:
                raise BadInput("weights-empty", "the directory holds no file", where=str(tree.root))
            gate.check_names(sorted(sizes), {path: _NO_FILE[kind] for path, kind in others.items()})
            read = dict(tree.contents(sorted(sizes), f"Reading {source}", keep=sizes))
        files = (LockedFile(path=path, sha256=read[path].sha256, size=read[path].size) for path in sorted(read))
        return ResolvedWeights(DirectoryOrigin(directory=source), tuple(files))

    def check_local(self, origin: DirectoryOrigin, artifact: LockedArtifact, context: Context) -> None:
        """Compare the directory with the lock.  Raises Stale."""
        _compare(origin, artifact, context, keep=False)

    def fetch(self, origin: DirectoryOrigin, artifact: LockedArtifact, context: Context) -> None:
        """Compare the directory with the lock, and keep what is not kept yet.  Raises Stale."""
        _compare(origin, artifact, context, keep=True)


def _compare(origin: DirectoryOrigin, artifact: LockedArtifact, context: Context, *, keep: bool) -> None:
    locked = {file.path: file for file in artifact.files}
    with _opened(origin.directory, context) as tree:
        sizes, others = _listing(tree)
        for path in sorted({*sizes, *others, *locked}):
            if path not in locked:
                raise _stale(artifact, tree, path, "has been added")
            if path not in sizes:
                raise _stale(artifact, tree, path, _BECOME[others[path]] if path in others else "has disappeared")
            if sizes[path] != locked[path].size:
                raise _stale(artifact, tree, path, "has changed")
        wanted = {content.sha256 for content in context.sink.missing(artifact.files)} if keep else set()
        missing = {path for path, file in locked.items() if file.sha256 in wanted}
        for path, content in tree.contents(sorted(locked), f"Checking {origin.directory}", keep=missing):
            if content.sha256 != locked[path].sha256:
                raise _stale(artifact, tree, path, "has changed")


@contextmanager
def _opened(directory: str, context: Context) -> Iterator[LocalTree]:
    base = _base(directory, context)
    with context.sink.open_local(base, context.progress, directory) as tree:
        yield tree


def _base(directory: str, context: Context) -> Path:
    """Where it lies below.  This says what is wrong; that no link is on the way is made sure of when it is opened."""
    bases = [context.base] if context.weights is None else [context.weights, context.base]
    for base in bases:
        root = base
        for component in directory.split("/"):
            root /= component
            if root.is_symlink():
                what = "the directory is behind a symbolic link"
                raise BadInput("weights-directory-link", what, where=str(root), hint=_ELSEWHERE)
        if root.is_dir():
            return base
    looked = " or ".join(str(base.absolute()) for base in bases)
    raise BadInput(
        "weights-directory-missing", f"there is no directory {directory} in {looked}", where=directory, hint=_ELSEWHERE
    )


def _listing(tree: LocalTree) -> tuple[dict[str, int], Mapping[str, str]]:
    """Sizes of all files; and the kinds of the entries that are neither file nor directory."""
    entries = tree.listing()
    sizes = {path: entry.size for path, entry in entries.items() if entry.kind == "file"}
    if len(sizes) > MAX_WEIGHTS_FILES:
        what = f"there are more than {MAX_WEIGHTS_FILES} files"
        raise BadInput("weights-directory-oversized", what, where=str(tree.root))
    return sizes, {path: entry.kind for path, entry in entries.items() if entry.kind in _NO_FILE}


def _stale(artifact: LockedArtifact, tree: LocalTree, path: str, happened: str) -> Stale:
    return Stale(f"{Path(path).name} {happened} since it was locked", artifact=artifact.id, where=str(tree.root / path))
