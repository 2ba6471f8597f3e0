"""Images of a bundle as CNCF Distribution keeps them on disk, without copying them.

Distribution's file system driver (registry/storage/paths.go of 2.x and 3.x) stores each
blob once as ``blobs/sha256/<2 digits>/<digest>/data`` and names it from repositories by
small link files.  The bundle's OCI layout holds the very same blobs, so each becomes a
hard link: no byte is copied, nothing needs a registry that can be written to, and
digests cannot change on the way.
"""

from collections.abc import Iterator
from pathlib import Path

from appliance.model.bundle import BundleArtifact, BundleIndex
from appliance.model.jsonform import strict_json
from appliance_site.converge import Converge

_ROOT = Path("docker/registry/v2")
_LARGEST_MANIFEST = 4 * 1024 * 1024


def fill(converge: Converge, index: BundleIndex, bundle: Path, registry: Path) -> None:
    """Bring every image of ``bundle`` into the storage below ``registry``.

    The tag is the bundle's version.  What other bundles brought stays.  Raises ValueError
    when an image does not tell its manifest, OSError when a file system is full or
    ``registry`` is on another one than ``bundle``.
    """
    for image in index.artifacts:
        if image.kind == "images":
            _fill_one(converge, image, bundle, registry / _ROOT, index.version)


def _fill_one(converge: Converge, image: BundleArtifact, bundle: Path, top: Path, tag: str) -> None:
    digest = image.details.get("manifest_digest", "").removeprefix("sha256:")
    blobs = {file.sha256: bundle / file.path for file in image.files if "/blobs/sha256/" in file.path}
    if digest not in blobs:
        raise ValueError(f"image {image.name} does not hold its manifest {digest or '(none named)'}")
    for name, source in blobs.items():
        folder = top / "blobs" / "sha256" / name[:2] / name
        converge.directory(folder)
        converge.hard_link(folder / "data", source)
    repository = top / "repositories" / image.name
    for manifest in _manifests(digest, blobs):
        _link(converge, repository / "_manifests" / "revisions" / "sha256" / manifest, manifest)
    for name in blobs:
        _link(converge, repository / "_layers" / "sha256" / name, name)
    tags = repository / "_manifests" / "tags" / tag
    _link(converge, tags / "index" / "sha256" / digest, digest)
    _link(converge, tags / "current", digest)


def _manifests(digest: str, blobs: dict[str, Path]) -> Iterator[str]:
    """``digest`` and, when it is an index of platforms, those of its manifests that are there."""
    yield digest
    document = strict_json(blobs[digest].read_bytes(), limit=_LARGEST_MANIFEST)
    for child in document.get("manifests", ()):
        name = str(child["digest"]).removeprefix("sha256:")
        if name in blobs:
            yield from _manifests(name, blobs)


def _link(converge: Converge, folder: Path, digest: str) -> None:
    converge.directory(folder)
    converge.file(folder / "link", f"sha256:{digest}".encode())
