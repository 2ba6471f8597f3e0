"""Weights from a directory of this host: in the directory that ``--weights`` names, or beside the definition."""

from appliance.artifacts.base import Context
from appliance.artifacts.directory import LEAVE_OUT, DirectoryOrigin, LocalDirectory
from appliance.artifacts.weights.gate import Gate
from appliance.artifacts.weights.source import ResolvedWeights
from appliance.model.documents.lock import LockedArtifact

_ELSEWHERE = "if it is elsewhere on this host, name the directory that holds it: --weights DIRECTORY"


class Directory:
    """The source ``directory``."""

    leave_out = LEAVE_OUT

    def resolve(self, source: str, gate: Gate, context: Context) -> ResolvedWeights:
        """Hash and keep every file of the directory."""
        files = _local(source, context).lock(gate.check_names, context)
        return ResolvedWeights(DirectoryOrigin(directory=source), files)

    def check_local(self, origin: DirectoryOrigin, artifact: LockedArtifact, context: Context) -> None:
        """Compare the directory with the lock.  Raises Stale."""
        _local(origin.directory, context).compare(artifact, context, keep=False)

    def fetch(self, origin: DirectoryOrigin, artifact: LockedArtifact, context: Context) -> None:
        """Compare the directory with the lock, and keep what is not kept yet.  Raises Stale."""
        _local(origin.directory, context).compare(artifact, context, keep=True)


def _local(path: str, context: Context) -> LocalDirectory:
    bases = [context.base] if context.weights is None else [context.weights, context.base]
    return LocalDirectory("weights", path, bases, _ELSEWHERE)
