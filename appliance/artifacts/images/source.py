"""What every source of container images gives to the kind ``images``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from appliance.artifacts.base import Context, Resolved
from appliance.artifacts.images.details import ImageDetails
from appliance.artifacts.images.section import ImagesSection
from appliance.formats.oci import Descriptor
from appliance.model.documents.lock import LockedArtifact
from appliance.model.files import Content

BLOBS = "blobs/sha256"


@dataclass(frozen=True)
class ImageBlobs:
    """One fetched image, as the layout needs it.

    ``manifest`` is an OCI manifest, with its platform; ``blobs`` are the manifest, the
    configuration and the layers.  ``evidence`` are documents by name that tell where the
    image comes from, and ``evidence_blobs`` these documents with everything they name and
    that is there.  All contents are in the sink.
    """

    manifest: Descriptor
    blobs: tuple[Content, ...]
    details: ImageDetails
    evidence: Mapping[str, Descriptor] = field(default_factory=dict)
    evidence_blobs: tuple[Content, ...] = ()


class ImageSource(Protocol):
    """One way to have an image.  ``type`` is its key in the section and in ``LockedArtifact.source``."""

    type: ClassVar[str]

    def resolve(self, name: str, section: ImagesSection, context: Context) -> Resolved:
        """See ``Kind.resolve``."""

    def check_local(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``Kind.check_local``."""

    def fetch(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``Kind.fetch``."""

    def blobs(self, artifact: LockedArtifact, context: Context) -> ImageBlobs:
        """Offline, after ``fetch``: what lies in the sink.

        Raises BadInput (``lock-inconsistent``) when the lock's files are not exactly
        those that the manifest names.
        """
