"""What a kind of artifact is.

A kind turns its section of a definition into locked files, fetches them into a sink, and
says where they lie in the bundle and what is in them.  It never writes to the bundle
itself, never sees a key, and never decides whether bytes are right: the sink does, by digest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field, ValidationError

from appliance.artifacts.details import Details
from appliance.errors import BadInput
from appliance.model.base import Strict
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.documents.upstream import UpstreamFinding
from appliance.model.files import BundleFile, Content
from appliance.model.findings import Review
from appliance.model.parts import Part
from appliance.model.progress import Progress
from appliance.model.serving.adapters import AdapterFacts
from appliance.model.serving.facts import ModelFacts
from appliance.model.sink import Sink
from appliance.model.value_problem import first_problem
from appliance.model.visible import shown


@dataclass(frozen=True)
class Context:
    """What a kind works with.

    ``base`` is the directory of the definition: local sources are relative to it.
    ``weights`` is another one, where directories of weights are looked for first.
    ``replaced`` is the entry that a resolution replaces; ``held`` is the same, whose releases
    stay where they can, and None where what is newest is asked for.
    """

    base: Path
    sink: Sink
    progress: Progress
    weights: Path | None = None
    held: LockedArtifact | None = None
    replaced: LockedArtifact | None = None


def lock_source(artifact: str, error: ValueError | str) -> BadInput:
    """The error for an entry of a lock that is of no use for fetching; ``artifact`` is ``kind/name``."""
    problem = first_problem(error) if isinstance(error, ValidationError) else str(error)
    return BadInput(
        "lock-source",
        f"the lock has no valid source: {problem}",
        where=artifact,
        hint=f"resolve it again: appliance lock DEFINITION --only {artifact}",
    )


def yanked_warning(release: str, reason: str) -> str:
    """What a lock says of a release that its publisher has taken back (PEP 592)."""
    return f"{release} was yanked by its publisher: {shown(reason) or 'no reason given'}"


def below(folder: str, contents: Iterable[tuple[str, Content]]) -> tuple[BundleFile, ...]:
    """Files of a bundle: each content at its path below ``folder``."""
    return tuple(BundleFile(path=f"{folder}/{path}", sha256=file.sha256, size=file.size) for path, file in contents)


@dataclass(frozen=True)
class Layout:
    """Where one artifact lies in the bundle.

    ``files`` all are in the sink; two artifacts may share one (a blob of two images).
    ``details`` go to ``bundle.json``.
    """

    artifact: LockedArtifact
    files: tuple[BundleFile, ...]
    details: Details


class ArtifactSection(Strict):
    """One entry of a kind's section of a definition; ``licence`` as its publisher writes it, or in words.

    With ``upstream: required``, what upstream has not signed, or nobody has checked, is not locked.
    """

    licence: str
    # Not written where it is not given, so that locks from before stay as they are
    upstream: Literal["required"] | None = Field(default=None, exclude_if=lambda value: value is None)


@dataclass(frozen=True)
class Resolved:
    """What an entry of a section comes to: everything of its entry in the lock that its kind finds out.

    ``model`` is what the files of a model say of it, if they are one's, ``adapter`` what those of an adapter say, and
    ``review`` what there is to say of them.
    ``upstream`` is what upstream has signed of it, ``evidence`` what is kept of that: all of it is in the sink.
    """

    source: dict[str, str]
    files: tuple[LockedFile, ...] = ()
    inputs: tuple[LockedFile, ...] = ()
    warnings: tuple[str, ...] = ()
    model: ModelFacts | None = None
    adapter: AdapterFacts | None = None
    review: Review | None = None
    upstream: tuple[UpstreamFinding, ...] = ()
    evidence: tuple[LockedFile, ...] = ()


class Kind(Protocol):
    """One kind of artifact."""

    @property
    def name(self) -> str:
        """The key of the kind's section in a definition."""

    @property
    def section(self) -> type[ArtifactSection]:
        """The type of one entry of the section."""

    def resolve(self, name: str, section: Any, context: Context) -> Resolved:
        """Online: replace every reference of ``section`` by digests and sizes.

        Raises BadInput for what does not exist, NotTrusted for what fails a check.
        """

    def check_local(self, artifact: LockedArtifact, context: Context) -> None:
        """Offline: raise Stale when a source on this host has changed since ``artifact`` was locked."""

    def fetch(self, artifact: LockedArtifact, context: Context) -> None:
        """Bring every input and file of ``artifact`` into the sink.

        Raises Stale when a source no longer offers what the lock names, and when a local
        source has changed.
        """

    def lay_out(
        self, artifacts: Sequence[LockedArtifact], context: Context
    ) -> tuple[tuple[Layout, ...], tuple[BundleFile, ...]]:
        """Offline: where all fetched artifacts of this kind lie.

        Returns one Layout for each artifact, and the files that belong to the kind as a
        whole (an OCI layout's index); the same artifacts give the same files on every
        machine.
        """

    def describe(self, layout: Layout, context: Context) -> Part:
        """Offline: what the artifact of ``layout`` holds, read from its bytes in the sink.

        The same artifact gives the same part on every machine.  What cannot be read is told as a gap.
        """
