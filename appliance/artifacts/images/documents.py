"""The documents of one image as a registry has them, and what follows from them.

Nothing here reads a file or asks a registry: ``registry`` does, and hands in bytes
whose digest it has compared.  What follows is the form in which the image is carried,
the files of the lock, and which documents are kept as evidence.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from appliance.artifacts.images.section import ImageReference
from appliance.artifacts.images.source import BLOBS
from appliance.errors import BadInput, NotTrusted
from appliance.formats.oci import DOCKER_MANIFEST, Descriptor, Index, Manifest, Platform, parse_document
from appliance.model.documents.lock import LockedFile
from appliance.model.files import Content


@dataclass(frozen=True)
class Document:
    """An index or a manifest, byte for byte, and what it says."""

    data: bytes
    value: Index | Manifest

    @classmethod
    def read(cls, data: bytes, where: str) -> "Document":
        """Raises NotTrusted (``image-refused``), or BadInput (``registry-page``) for a page of a web site."""
        if data.lstrip()[:1] == b"<":
            raise BadInput(
                "registry-page",
                "the answer is a web page, not a manifest",
                where=where,
                found=data.strip()[:80].decode("utf-8", "replace"),
                hint="check that this is a registry and that no proxy or login page answers in its place (https_proxy)",
            )
        try:
            return cls(data, parse_document(data))
        except ValueError as error:
            raise refused(str(error), where) from None

    @property
    def digest(self) -> str:
        """``sha256:...`` of the bytes."""
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    @property
    def descriptor(self) -> Descriptor:
        """How an index names it."""
        return Descriptor(self.value.media_type, self.digest, len(self.data))

    @property
    def closure(self) -> tuple[Content, ...]:
        """This document and the blobs that it names; of an index, itself alone."""
        blobs = self.value.blobs if isinstance(self.value, Manifest) else ()
        return (self.descriptor.content, *blobs)

    def image(self, where: str) -> Manifest:
        """The manifest of an image that can be carried.  Raises NotTrusted (``image-refused``)."""
        if isinstance(self.value, Index):
            raise refused("it is an index inside an index", where)
        try:
            self.value.check_is_image()
        except ValueError as error:
            raise refused(str(error), where) from None
        return self.value


@dataclass(frozen=True)
class Upstream:
    """All documents of one image as the registry has them; ``attached`` by name."""

    index: Document | None
    manifest: Document
    attached: Mapping[str, Document]

    @property
    def carried(self) -> Document:
        """The manifest that the bundle's layout has."""
        if self.manifest.value.media_type != DOCKER_MANIFEST:
            return self.manifest
        data = self.manifest.image(self.manifest.digest).as_oci()
        return Document.read(data, self.manifest.digest)

    def evidence(self) -> dict[str, Document]:
        """The documents beside the carried one, by their names in the evidence's layout."""
        named = dict(self.attached)
        if self.index:
            named["index"] = self.index
        if self.carried.digest != self.manifest.digest:
            named["manifest"] = self.manifest
        return named

    def image_contents(self) -> tuple[Content, ...]:
        """The carried manifest, the configuration and the layers."""
        return _unique(self.carried.closure)

    def evidence_contents(self) -> tuple[Content, ...]:
        """Index, upstream manifest, and what is attached with its blobs."""
        alone = [document.descriptor.content for document in self.evidence().values()]
        return _unique([*alone, *(content for document in self.attached.values() for content in document.closure)])

    def files(self) -> tuple[LockedFile, ...]:
        """What the lock lists: the image's blobs, and those of the evidence apart from them."""
        return (
            *_as_files(f"{BLOBS}/", self.image_contents()),
            *_as_files(f"evidence/{BLOBS}/", self.evidence_contents()),
        )


def choose(index: Index, platform: Platform, reference: ImageReference) -> Descriptor:
    """The one entry of ``index`` for ``platform``.  Raises BadInput (``image-platform``)."""
    entries = index.for_platform(platform)
    if len(entries) == 1:
        return entries[0]
    offered = sorted({str(entry.platform) for entry in index.manifests if entry.platform})
    raise BadInput(
        "image-platform",
        "the index has more than one image for the platform" if entries else "the index has no image for the platform",
        where=str(reference),
        expected=str(platform),
        found=", ".join(entry.digest for entry in entries) or ", ".join(offered),
        hint="name one of them: image: repository@sha256:..." if entries else "choose one of the platforms found",
    )


def _as_files(folder: str, contents: Iterable[Content]) -> Iterator[LockedFile]:
    for content in sorted(contents, key=lambda content: content.sha256):
        yield LockedFile(path=f"{folder}{content.sha256}", sha256=content.sha256, size=content.size)


def _unique(contents: Iterable[Content]) -> tuple[Content, ...]:
    return tuple({content.sha256: content for content in contents}.values())


def refused(reason: str, where: str) -> NotTrusted:
    """The error for a document that could mean more than one thing, or nothing that can be carried."""
    return NotTrusted("image-refused", f"the image is refused: {reason}", where=where)
