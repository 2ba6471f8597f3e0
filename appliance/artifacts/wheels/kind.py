"""The kind ``wheels``: Python wheels for a target that is not this host.

In the bundle ``wheels/<name>/`` holds the files and a ``requirements.txt`` for pip's
``--no-index --require-hashes``.  It lists all that is needed; where something was
excluded pip also needs ``--no-deps``.
"""

from collections.abc import Sequence
from typing import ClassVar

from appliance.artifacts.base import Context, Layout, Resolved, below
from appliance.artifacts.wheels.details import WheelsDetails
from appliance.artifacts.wheels.parts import wheel_set
from appliance.artifacts.wheels.requirements import requirements_text
from appliance.artifacts.wheels.section import WheelsSection
from appliance.artifacts.wheels.sources import check_projects, fetch_wheels, resolve_wheels
from appliance.model.documents.lock import LockedArtifact
from appliance.model.documents.wheel_set import write_record
from appliance.model.files import BundleFile
from appliance.model.parts import Part

_REQUIREMENTS = "requirements.txt"


class Wheels:
    """Registered in KINDS."""

    name: ClassVar[str] = WheelsDetails.kind
    section: ClassVar[type[WheelsSection]] = WheelsSection

    def resolve(self, name: str, section: WheelsSection, context: Context) -> Resolved:
        """See ``Kind.resolve``."""
        resolved = resolve_wheels(section, context, f"{self.name}/{name}")
        return Resolved(
            source=write_record(section),
            files=resolved.files,
            warnings=resolved.warnings,
            upstream=resolved.upstream,
            evidence=resolved.evidence,
        )

    def check_local(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``Kind.check_local`` and ``check_projects``."""
        check_projects(artifact.files, artifact.source, context, artifact.id)

    def fetch(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``Kind.fetch``."""
        fetch_wheels(artifact.files, artifact.source, context, artifact.id)

    def lay_out(
        self, artifacts: Sequence[LockedArtifact], context: Context
    ) -> tuple[tuple[Layout, ...], tuple[BundleFile, ...]]:
        """See ``Kind.lay_out``."""
        return tuple(_lay_out(artifact, context) for artifact in artifacts), ()

    def describe(self, layout: Layout, context: Context) -> Part:
        """See ``Kind.describe`` and ``wheel_set``."""
        return wheel_set(layout, context)


def _lay_out(artifact: LockedArtifact, context: Context) -> Layout:
    folder = f"{artifact.kind}/{artifact.name}"
    requirements = context.sink.put(requirements_text(artifact.files))
    contents = [(file.path, file) for file in artifact.files] + [(_REQUIREMENTS, requirements)]
    files = below(folder, sorted(contents, key=lambda entry: entry[0]))
    told = {key: artifact.source.get(f"wheels-{key}") for key in WheelsDetails.model_fields}
    return Layout(artifact, files, WheelsDetails(**told))
