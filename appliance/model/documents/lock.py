"""The lock: a definition with every reference replaced by digests and sizes.

It names no kind and knows nothing of one.  What a kind needs to fetch again stands in
``source``, as text for people and for that kind; it is recorded and never trusted: only
``sha256`` and ``size`` decide what is accepted.
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from appliance.model.base import STRICT, Strict
from appliance.model.documents.definition import DefinitionHead
from appliance.model.documents.upstream import UpstreamFinding
from appliance.model.files import Content
from appliance.model.findings import Review
from appliance.model.names import BundlePath, Name, Sha256
from appliance.model.serving.adapters import AdapterFacts
from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.memory import MemoryFacts
from appliance.model.serving.profile import ServingProfile
from appliance.model.serving.wanted import memory_facts, own_adapters, with_memory
from appliance.model.times import Time

LOCK_SCHEMA: Literal["appliance.lock/v1"] = "appliance.lock/v1"


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class LockedFile(Content):
    """One file of an artifact.

    ``path`` is relative to where its kind lays the artifact out.  ``url`` says where it
    is fetched; without one the kind makes it from inputs, or finds it on this host.
    """

    path: BundlePath
    url: str | None = None


class LockedArtifact(Strict):
    """One artifact of one kind, pinned.

    ``definition`` is the SHA-256 of the canonical JSON of its section in the definition:
    a changed section shows as a stale lock.  ``inputs`` are fetched to make ``files``
    and are not carried; ``files`` are carried.  ``warnings`` are what speaks against it, such
    as that a publisher has taken a release back: in the lock for those who review it.  ``model`` is
    what the files of a model say of it, if they are one's and could be understood, ``adapter`` what those of
    a LoRA adapter say; ``review`` is what was found in them
    that a person should know, and locks from before reviews have none.  ``upstream`` is what upstream has
    signed of it, and ``evidence`` what is carried of that: a file without ``url`` lies beside the lock.
    """

    kind: Name
    name: Name
    definition: Sha256
    licence: str
    source: dict[str, str]
    warnings: tuple[str, ...] = ()
    model: ModelFacts | None = None
    adapter: AdapterFacts | None = None
    review: Review | None = None
    upstream: tuple[UpstreamFinding, ...] = ()
    evidence: tuple[LockedFile, ...] = ()
    inputs: tuple[LockedFile, ...] = ()
    files: tuple[LockedFile, ...] = ()

    @property
    def id(self) -> str:
        """``kind/name``: how messages and options call it."""
        return f"{self.kind}/{self.name}"


class IncludedFile(Strict):
    """A file that the definition includes, byte for byte; ``path`` is relative to the definition."""

    path: BundlePath
    sha256: Sha256


class Lock(Strict):
    """A whole lock file: ``bundle`` is the definition's head, word for word; ``included`` is sorted by path.

    ``locked`` is when the rest of it became what it is; locks from before SBOMs have none.  ``memory`` is what the
    memory plan of each model on GPUs starts from, by the model's name.
    """

    schema_: Literal["appliance.lock/v1"] = Field(alias="schema")
    locked: Time | None = None
    bundle: DefinitionHead
    included: tuple[IncludedFile, ...] = ()
    memory: dict[Name, MemoryFacts] = {}
    artifacts: tuple[LockedArtifact, ...]

    def profile(self, name: str) -> ServingProfile:
        """The profile that is signed for a model.  Raises ValueError where the lock does not know enough for one."""
        wanted = self.bundle.serving[name]
        own = own_adapters(wanted, adapters_of(self.artifacts))
        if not wanted.gpus:
            return with_memory(wanted, None, own)
        return with_memory(wanted, self.memory.get(name) or memory_facts(wanted, None, adapters=own), own)


def adapters_of(artifacts: Iterable[LockedArtifact]) -> dict[str, AdapterFacts]:
    """The adapters among ``artifacts``, by name."""
    return {artifact.name: artifact.adapter for artifact in artifacts if artifact.adapter}
