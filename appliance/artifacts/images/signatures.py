"""Signatures of an image, held against the signer that its definition names.

What cosign has attached is read in both of its forms.  One signature by the signer is enough: others may have signed
too, and nobody can tell theirs from a bad one.  It has to name the index or the manifest whose bytes are locked.

    image-keys/<keyid>.pem      the key that the definition names, for whoever checks again
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from appliance.artifacts.base import Context
from appliance.artifacts.images.documents import Document, Upstream
from appliance.artifacts.images.section import ImageReference, ImageSigner
from appliance.errors import BadInput, NotTrusted
from appliance.formats.image_signatures import is_bundle, key_signature, signature_layers, statement_digest
from appliance.formats.oci import Descriptor, Manifest
from appliance.model.documents.lock import LockedFile
from appliance.model.limits import MAX_IMAGE_SIGNATURE, MAX_KEY
from appliance.tools import sigstore
from appliance.tools.upstream_keys import UpstreamKey

_SHOWN = 3  # reasons that an error gives


@dataclass(frozen=True)
class Signed:
    """What is known of each attached document that may be a signature, by its name.

    ``verified`` says who has signed what, ``refused`` why a signature is not the signer's.
    """

    verified: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[LockedFile, ...] = ()


class SignatureCheck:
    """Checks what is attached to one image.  ``fetch`` brings the blobs of a document into the sink."""

    def __init__(self, signer: ImageSigner, fetch: Callable[[Document], None], context: Context) -> None:
        self.signer = signer
        self.fetch = fetch
        self.context = context
        self.key = _read_key(context.base / signer.key, signer.keyid) if signer.key else None

    def check(self, upstream: Upstream, reference: ImageReference) -> Signed:
        """Raises NotTrusted (``image-signature-missing``, ``image-signature-invalid``) unless one signature holds."""
        digests = {document.digest for document in (upstream.index, upstream.manifest) if document}
        verified: dict[str, str] = {}
        refused: dict[str, str] = {}
        for name, document in sorted(upstream.attached.items()):
            if isinstance(document.value, Manifest) and signature_layers(document.value):
                found = self._signed(document, document.value, digests)
                (verified if found.holds else refused)[name] = found.said
        if not verified:
            raise self._unsigned(refused, reference)
        return Signed(verified, refused, tuple(self._evidence()))

    def _signed(self, document: Document, manifest: Manifest, digests: set[str]) -> "_Found":
        size = sum(content.size for content in document.closure)
        if size > MAX_IMAGE_SIGNATURE:
            return _Found(False, f"it has {size} bytes, more than the {MAX_IMAGE_SIGNATURE} that a signature may have")
        self.fetch(document)
        reasons = []
        for layer in signature_layers(manifest):
            try:
                digest = self._digest(layer, self.context.sink.path(layer.content).read_bytes())
                if digest in digests:
                    return _Found(True, f"{digest} is signed by {self.signer}")
                reasons.append(f"it signs another image: {digest}")
            except ValueError as error:
                reasons.append(str(error))
        return _Found(False, "; ".join(dict.fromkeys(reasons)))

    def _digest(self, layer: Descriptor, data: bytes) -> str:
        """The manifest that the signer has signed with this layer.  Raises ValueError."""
        if self.key:
            signed = key_signature(layer, data)
            if not self.key.verifies(signed.signature, signed.message):
                raise ValueError("it is not a signature by this key")
            return signed.digest()
        if not is_bundle(layer):
            raise ValueError("it is in cosign's older form, in which only signatures by a key can be checked here")
        return statement_digest(sigstore.verify_identity(data, self.signer.identity or "", self.signer.issuer or ""))

    def _unsigned(self, refused: Mapping[str, str], reference: ImageReference) -> NotTrusted:
        if not refused:
            return NotTrusted(
                "image-signature-missing",
                "the registry has no signature of the image, and the definition names a signer",
                where=str(reference),
                expected=str(self.signer),
                hint="ask the publisher where it is: looked for are cosign's tag and the tag of referrers, "
                "sha256-DIGEST.sig and sha256-DIGEST",
            )
        reasons = [f"{name}: {why}" for name, why in refused.items()]
        more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        return NotTrusted(
            "image-signature-invalid",
            "no signature of the image is the named signer's",
            where=str(reference),
            expected=str(self.signer),
            found="; ".join(reasons[:_SHOWN]) + more,
            hint="compare the signer with what the publisher says in another place; if it is the right one, "
            "do not use this image",
        )

    def _evidence(self) -> Iterator[LockedFile]:
        if self.key:
            content = self.context.sink.put(self.key.pem())
            yield LockedFile(path=f"image-keys/{self.key.keyid}.pem", sha256=content.sha256, size=content.size)


@dataclass(frozen=True)
class _Found:
    holds: bool
    said: str


def _read_key(path: Path, keyid: str | None) -> UpstreamKey:
    """The key with the id ``keyid`` from the file that the definition names.

    Raises BadInput (``image-key-missing``, ``image-key-format``) and NotTrusted (``image-key``) for another key.
    """
    try:
        with path.open("rb") as file:
            key = UpstreamKey.from_pem(file.read(MAX_KEY))
    except OSError as error:
        what = f"the key of the image's signer cannot be read: {error.strerror}"
        raise BadInput("image-key-missing", what, where=str(path), hint="get it from the publisher") from None
    except ValueError as error:
        what = f"the key of the image's signer is no public key that can be used: {error}"
        hint = "it is a file that starts with -----BEGIN PUBLIC KEY-----, as cosign writes cosign.pub"
        raise BadInput("image-key-format", what, where=str(path), hint=hint) from None
    if key.keyid != keyid:
        raise NotTrusted(
            "image-key",
            "the file holds another key than the definition names for the image's signer",
            where=str(path),
            expected=keyid or "",
            found=key.keyid,
            hint="do not change 'keyid' to fit: compare both with what the publisher says in another place, "
            "and put the right file in place",
        )
    return key
