"""Images of a registry: one manifest, its blobs, and what upstream has attached to it.

Every document is compared with its digest here and every blob in the sink; skopeo only
carries.  A manifest in Docker's form (schema 2) is rewritten in OCI's, because skopeo
does not read the former from an OCI layout.  That changes media types alone and the
upstream manifest is kept as evidence, so the way from a signature of the upstream to the
bytes of the bundle can be checked without this code.

Attached are the documents under cosign's tags (sha256-<digest>.sig, .att, .sbom), the
referrers under OCI's tag (sha256-<digest>), and the attestations that BuildKit puts into
an index.  Of a registry's referrers API nothing is read: skopeo does not speak it.
Where the definition names a signer, ``signatures`` holds what is attached against it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from appliance.artifacts.base import Context, Resolved
from appliance.artifacts.images.details import ImageDetails
from appliance.artifacts.images.documents import Document, Upstream, choose, refused
from appliance.artifacts.images.section import ImageReference, ImagesSection, RegistryOrigin
from appliance.artifacts.images.signatures import SignatureCheck, Signed
from appliance.artifacts.images.source import BLOBS, ImageBlobs
from appliance.errors import BadInput, Failed, NotTrusted, Stale
from appliance.formats.oci import Descriptor, Index, Manifest, Platform, config_platform
from appliance.model.documents.lock import LockedArtifact
from appliance.model.documents.upstream import UpstreamFinding
from appliance.model.files import Content
from appliance.model.limits import MAX_OCI_ATTACHED
from appliance.tools import skopeo

_TAG_SUFFIXES = (".sig", ".att", ".sbom", "")


class RegistryImages:
    """The source ``registry``."""

    type: ClassVar[str] = "registry"

    def resolve(self, name: str, section: ImagesSection, context: Context) -> Resolved:
        """See ``ImageSource.resolve``.

        Raises BadInput (``image-missing``, ``image-platform``, and what ``tools.skopeo``
        names) and NotTrusted (``content-mismatch``, ``image-refused``); where a signer is named, also what
        ``SignatureCheck`` raises.
        """
        if section.registry is None:
            raise ValueError("the section has no source 'registry'")
        reference = ImageReference.parse(section.registry.image)
        platform = Platform.parse(section.registry.platform)
        repository = _Repository(reference, context)
        upstream = repository.upstream(platform)
        signer = section.registry.signed_by
        signed = SignatureCheck(signer, repository.copy_blobs, context).check(upstream, reference) if signer else None
        origin = RegistryOrigin(
            image=section.registry.image,
            platform=section.registry.platform,
            index=upstream.index.digest if upstream.index else None,
            manifest=upstream.manifest.digest,
            attached={name: document.digest for name, document in upstream.attached.items()},
        )
        context.progress.step(f"{reference}: {upstream.manifest.digest}, {len(upstream.attached)} documents attached")
        return Resolved(
            source=origin.as_fields(),
            upstream=_findings(upstream, name, signed),
            evidence=signed.evidence if signed else (),
            files=upstream.files(),
        )

    def check_local(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``ImageSource.check_local``: there is nothing of it on this host."""

    def fetch(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``ImageSource.fetch``.

        Raises Stale when the registry has lost a document or a blob, NotTrusted
        (``content-mismatch``) when it serves other bytes, and BadInput as ``resolve``.
        """
        origin = _read_origin(artifact)
        repository = _Repository(ImageReference.parse(origin.image), context)
        try:
            for digest in _documents(origin):
                if not context.sink.holds(_locked(artifact, digest)):
                    repository.read(digest)
            upstream = _recall(artifact, context)
            context.sink.put(upstream.carried.data)
            for document in (upstream.manifest, *upstream.attached.values()):
                repository.copy_blobs(document)
        except skopeo.Missing as error:
            raise Stale(error.what, artifact=artifact.id, where=error.where) from None

    def blobs(self, artifact: LockedArtifact, context: Context) -> ImageBlobs:
        """See ``ImageSource.blobs``."""
        origin = _read_origin(artifact)
        upstream = _recall(artifact, context)
        carried = upstream.carried.descriptor
        platform = Platform.parse(origin.platform)
        return ImageBlobs(
            manifest=Descriptor(carried.media_type, carried.digest, carried.size, platform),
            blobs=upstream.image_contents(),
            evidence={name: document.descriptor for name, document in upstream.evidence().items()},
            evidence_blobs=upstream.evidence_contents(),
            details=ImageDetails(
                manifest_digest=carried.digest,
                platform=origin.platform,
                upstream_digest=origin.index or origin.manifest,
            ),
        )


def _findings(upstream: Upstream, name: str, signed: Signed | None) -> tuple[UpstreamFinding, ...]:
    """What is attached is carried; it is checked where the definition names a signer: no registry says whose counts."""
    carried = f"carried in evidence/images/{name}"
    if not upstream.attached:
        said = "nothing is attached to the image under a tag that is known"
        return (UpstreamFinding(about=upstream.manifest.digest, state="nothing", said=said),)
    if signed is None:
        said = f"{carried}; no key that may sign it is known"
        return tuple(UpstreamFinding(about=about, state="unchecked", said=said) for about in sorted(upstream.attached))
    kept = tuple(file.path for file in signed.evidence)
    found = []
    for about in sorted(upstream.attached):
        if said := signed.verified.get(about, ""):
            found.append(UpstreamFinding(about=about, state="verified", said=said, evidence=kept))
        else:
            why = signed.refused.get(about, "only signatures of the image are checked")
            found.append(UpstreamFinding(about=about, state="unchecked", said=f"{carried}; {why}"))
    return tuple(found)


class _Repository:
    """The registry's side: reads documents, and copies blobs into the sink."""

    def __init__(self, reference: ImageReference, context: Context) -> None:
        self.reference = reference
        self.context = context

    def upstream(self, platform: Platform) -> Upstream:
        """Everything there is about the image for ``platform``."""
        top = self._read(self.reference)
        if isinstance(top.value, Manifest):
            index, manifest = None, top
        else:
            index, manifest = top, self.read_entry(choose(top.value, platform, self.reference))
        self.check_platform(manifest, platform)
        return Upstream(index, manifest, self.attached(top, manifest))

    def check_platform(self, manifest: Document, platform: Platform) -> None:
        """Compare with the configuration: an index, or a person, may be wrong about what an image runs on."""
        where = self.reference.at(manifest.digest)
        wanted = manifest.image(str(where)).config
        data = skopeo.read_config(str(where))
        _check_digest(data, wanted.digest, str(where))
        self.context.sink.put(data)
        try:
            found = config_platform(data)
        except ValueError as error:
            raise refused(str(error), str(where)) from None
        if (found.os, found.architecture) != (platform.os, platform.architecture):
            raise BadInput(
                "image-platform",
                "the image is for another platform",
                where=str(where),
                expected=str(platform),
                found=str(found),
            )

    def attached(self, top: Document, manifest: Document) -> dict[str, Document]:
        """Signatures, attestations and SBOMs of the index and of the manifest, by name."""
        found: dict[str, Document] = {}
        for subject in dict.fromkeys((top.digest, manifest.digest)):
            for suffix in _TAG_SUFFIXES:
                tag = subject.replace(":", "-") + suffix
                try:
                    found[tag] = self._read(self.reference.tagged(tag))
                except skopeo.Missing:
                    continue
                found |= self._entries("referrer", found[tag].value)
        if isinstance(top.value, Index):
            found |= self._manifests("attestation", top.value.attestations_of(manifest.digest))
        return found

    def _entries(self, role: str, value: Index | Manifest) -> dict[str, Document]:
        return self._manifests(role, value.manifests) if isinstance(value, Index) else {}

    def _manifests(self, role: str, entries: Iterable[Descriptor]) -> dict[str, Document]:
        unique = {entry.digest: entry for entry in entries}
        if len(unique) > MAX_OCI_ATTACHED:
            raise refused(f"more than {MAX_OCI_ATTACHED} documents are attached to it", str(self.reference))
        return {digest.replace("sha256:", f"{role}-"): self.read_entry(entry) for digest, entry in unique.items()}

    def read_entry(self, entry: Descriptor) -> Document:
        """The manifest that an index names."""
        document = self.read(entry.digest)
        found = document.descriptor
        if isinstance(document.value, Index):
            raise refused("it is an index inside an index", str(self.reference.at(entry.digest)))
        if (found.media_type, found.size) != (entry.media_type, entry.size):
            raise refused(
                f"the index calls it {entry.media_type!r} of {entry.size} bytes, "
                f"but it is {found.media_type!r} of {found.size} bytes",
                str(self.reference.at(entry.digest)),
            )
        return document

    def read(self, digest: str) -> Document:
        """The document ``digest``, which is in the sink afterwards."""
        return self._read(self.reference.at(digest))

    def _read(self, reference: ImageReference) -> Document:
        data = skopeo.read_document(str(reference))
        if reference.digest:
            _check_digest(data, reference.digest, str(reference))
        self.context.sink.put(data)
        return Document.read(data, str(reference))

    def copy_blobs(self, document: Document) -> None:
        """Bring everything that a manifest names into the sink, and fetch only what is not there."""
        sink = self.context.sink
        missing = sink.missing(document.closure)
        if not missing:
            return
        reference = str(self.reference.at(document.digest))
        total = sum(content.size for content in missing)
        with sink.work("image") as folder, self.context.progress.task(f"Fetching {reference}", total) as task:
            blobs = folder / "layout" / BLOBS
            blobs.mkdir(parents=True)
            for content in document.closure:
                if content not in missing:
                    (blobs / content.sha256).symlink_to(sink.path(content))
            try:
                skopeo.copy_to_layout(reference, folder / "layout", task)
            finally:
                self._adopt(blobs, missing, reference)
        if left := sink.missing(missing):
            raise Failed("image-incomplete", f"skopeo left out {left[0].sha256}", where=reference)

    def _adopt(self, blobs: Path, contents: Iterable[Content], reference: str) -> None:
        """Keep what is complete, also when the rest has failed: the next run goes on there."""
        for content in contents:
            path = blobs / content.sha256
            if not path.is_file():
                continue
            found = self.context.sink.adopt(path)
            if found != content:
                raise NotTrusted(
                    "content-mismatch",
                    "the registry serves different bytes than the lock names",
                    where=reference,
                    expected=f"{content.sha256} of {content.size} bytes",
                    found=f"{found.sha256} of {found.size} bytes",
                )


def _read_origin(artifact: LockedArtifact) -> RegistryOrigin:
    try:
        return RegistryOrigin.from_fields(artifact.source)
    except ValueError as error:
        raise _inconsistent(artifact, f"its source cannot be read: {error}") from None


def _documents(origin: RegistryOrigin) -> Iterator[str]:
    if origin.index:
        yield origin.index
    yield origin.manifest
    yield from origin.attached.values()


def _recall(artifact: LockedArtifact, context: Context) -> Upstream:
    """The documents of a locked image from the sink.  Raises BadInput unless the lock's files follow from them."""
    origin = _read_origin(artifact)

    def document(digest: str) -> Document:
        path = context.sink.path(_locked(artifact, digest))
        return Document.read(path.read_bytes(), f"{artifact.id} {digest}")

    index = document(origin.index) if origin.index else None
    manifest = document(origin.manifest)
    manifest.image(artifact.id)
    upstream = Upstream(index, manifest, {name: document(digest) for name, digest in origin.attached.items()})
    if set(upstream.files()) != set(artifact.files):
        raise _inconsistent(artifact, "its files are not the ones that its manifests name")
    return upstream


def _locked(artifact: LockedArtifact, digest: str) -> Content:
    """The content of a document, whose size only the lock's list of files has."""
    for file in artifact.files:
        if file.sha256 == digest.removeprefix("sha256:"):
            return Content(sha256=file.sha256, size=file.size)
    raise _inconsistent(artifact, f"its files lack {digest}")


def _check_digest(data: bytes, digest: str, where: str) -> None:
    found = "sha256:" + hashlib.sha256(data).hexdigest()
    if found != digest:
        raise NotTrusted(
            "content-mismatch",
            "the registry serves bytes that do not match the digest",
            where=where,
            expected=digest,
            found=found,
        )


def _inconsistent(artifact: LockedArtifact, reason: str) -> BadInput:
    return BadInput(
        "lock-inconsistent",
        f"the lock's entry contradicts itself: {reason}",
        where=artifact.id,
        hint=f"resolve it again: appliance lock DEFINITION --only {artifact.id}",
    )
