"""Entries of a lock, made without a definition."""

from appliance.artifacts.base import ArtifactSection, Context, Kind
from appliance.model.documents.lock import LockedArtifact
from appliance.steps.lock import locked


def lock_one(kind: Kind, name: str, section: ArtifactSection, context: Context) -> LockedArtifact:
    """What the lock step makes of a section."""
    return locked(kind, name, section, "0" * 64, context)
