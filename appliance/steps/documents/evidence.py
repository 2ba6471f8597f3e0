"""What upstream has signed and publishes at no address that lasts: it lies beside the lock, by SHA-256.

``x.upstream/`` beside ``x.lock.yaml`` travels with the lock.  Its files are taken by digest, like all others: whoever
changes one has gained nothing.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from appliance.errors import BadInput, NotTrusted, Stale
from appliance.model.documents.lock import Lock, LockedArtifact, LockedFile
from appliance.model.sink import Sink
from appliance.steps.documents.lock import lock_path
from appliance.store.disk import read_bounded
from appliance.store.whole import write_whole

_OURS = re.compile(r"[0-9a-f]{64}")


def evidence_path(definition: Path) -> Path:
    """Where it lies for the lock of a definition: ``x.yaml`` has ``x.upstream`` beside it."""
    lock = lock_path(definition)
    return lock.with_name(f"{lock.name.removesuffix('.lock.yaml')}.upstream")


def keep_evidence(folder: Path, lock: Lock, sink: Sink) -> None:
    """Write into ``folder`` what ``lock`` names and is not there yet.

    What the sink lacks is left out: a build says that the entry is stale.
    """
    wanted = {file.sha256: file for artifact in lock.artifacts for file in _beside(artifact)}
    missing = {content.sha256 for content in sink.missing(wanted.values())}
    for digest in sorted(wanted.keys() - missing):
        target = folder / digest
        if not target.exists():
            _make(folder)
            write_whole(target, sink.path(wanted[digest]).read_bytes(), mode=0o644)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput("not-writable", f"cannot write: {error.strerror}", where=str(folder)) from None


def drop_evidence(folder: Path, lock: Lock) -> None:
    """Remove from ``folder`` what no entry of ``lock`` names."""
    if not folder.exists():
        return
    wanted = {file.sha256 for artifact in lock.artifacts for file in _beside(artifact)}
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in wanted:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def take_evidence(folder: Path, artifacts: Iterable[LockedArtifact], sink: Sink) -> None:
    """Bring what lies in ``folder`` for ``artifacts`` into the sink.

    Raises NotTrusted (``content-mismatch``) for a file that is another one than the lock names, whatever the sink
    holds: it is the same on every host.
    """
    for content in {file.sha256: file for artifact in artifacts for file in _beside(artifact)}.values():
        path = folder / content.sha256
        if not path.exists():
            continue
        data = read_bounded(path, content.size, "content-mismatch")
        found = hashlib.sha256(data).hexdigest()
        if found != content.sha256:
            raise NotTrusted(
                "content-mismatch",
                "what upstream has signed is other bytes than the lock names",
                where=str(path),
                expected=content.sha256,
                found=found,
                hint="take it from whoever has made the lock, or remove it and resolve the entry again",
            )
        sink.put(data)


def check_evidence(folder: Path, artifact: LockedArtifact) -> None:
    """Raise Stale where something is missing that lies beside the lock and nowhere else, but in this host's sink."""
    for file in _beside(artifact):
        if not (folder / file.sha256).exists():
            what = f"what upstream has signed is not beside the lock: {file.path}"
            raise Stale(what, artifact=artifact.id, where=str(folder / file.sha256))


def _beside(artifact: LockedArtifact) -> tuple[LockedFile, ...]:
    return tuple(file for file in artifact.evidence if file.url is None)
