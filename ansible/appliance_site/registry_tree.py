"""Images of a bundle as CNCF Distribution keeps them on disk, without copying them.

Distribution's file system driver (registry/storage/paths.go of 2.x and 3.x) stores each
blob once as ``blobs/sha256/<2 digits>/<digest>/data`` and names it from repositories by
small link files.  The bundle's OCI layout holds the very same blobs, so each becomes a
hard link: no byte is copied, nothing needs a registry that can be written to, and
digests cannot change on the way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.artifacts.images.details import ImageDetails
from appliance.model.documents.bundle import BundleArtifact, BundleIndex
from appliance.model.jsonform import strict_json

_ROOT = "docker/registry/v2"
_LARGEST_MANIFEST = 4 * 1024 * 1024


@dataclass
class RegistryTree:
    """Paths below the registry's storage: small files with their data, and blobs with their source."""

    files: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, Path] = field(default_factory=dict)

    def add(self, index: BundleIndex, bundle: Path) -> None:
        """Every image of ``bundle``, under its name, with the tag ``<bundle>-<version>``.

        Raises ValueError when an image does not tell its manifest, OSError when a
        manifest cannot be read.
        """
        for image in index.artifacts:
            if image.kind == ImageDetails.kind:
                self._add_image(image, bundle, f"{index.name}-{index.version}")

    def _add_image(self, image: BundleArtifact, bundle: Path, tag: str) -> None:
        details = ImageDetails.of(image)
        digest = details.manifest_digest.removeprefix("sha256:") if details else ""
        blobs = {file.sha256: bundle / file.path for file in image.files if "/blobs/sha256/" in file.path}
        if digest not in blobs:
            raise ValueError(f"image {image.name} does not hold its manifest {digest or '(none named)'}")
        for name, source in blobs.items():
            self.blobs.setdefault(f"{_ROOT}/blobs/sha256/{name[:2]}/{name}/data", source)
        repository = f"{_ROOT}/repositories/{image.name}"
        for manifest in _manifests(digest, blobs):
            self._link(f"{repository}/_manifests/revisions/sha256/{manifest}", manifest)
        for name in blobs:
            self._link(f"{repository}/_layers/sha256/{name}", name)
        self._link(f"{repository}/_manifests/tags/{tag}/index/sha256/{digest}", digest)
        self._link(f"{repository}/_manifests/tags/{tag}/current", digest)

    def _link(self, folder: str, digest: str) -> None:
        self.files[f"{folder}/link"] = f"sha256:{digest}".encode()


def _manifests(digest: str, blobs: dict[str, Path]) -> Iterator[str]:
    """``digest`` and, when it is an index of platforms, those of its manifests that are there."""
    yield digest
    document = strict_json(blobs[digest].read_bytes(), limit=_LARGEST_MANIFEST)
    for child in document.get("manifests", ()):
        name = str(child["digest"]).removeprefix("sha256:")
        if name in blobs:
            yield from _manifests(name, blobs)
