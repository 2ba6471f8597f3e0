"""Signatures of container images as cosign publishes them; whether they hold is decided elsewhere.

There are two forms.  The older one is a manifest whose layers are payloads ("simple signing"), each with its signature
in an annotation: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md.  The newer one is a manifest
with one layer, a Sigstore bundle over an in-toto statement:
https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from appliance.formats.dsse import STATEMENT_PAYLOAD_TYPE, pae
from appliance.formats.json_fields import as_object, object_at
from appliance.formats.oci import Descriptor, Manifest, check_digest
from appliance.model.documents.bundle import STATEMENT_TYPE
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_IMAGE_SIGNATURE

PAYLOAD_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"
# By its version: ...bundle.v0.3+json, and before that ...bundle+json;version=0.2
_BUNDLE_LAYER = "application/vnd.dev.sigstore.bundle"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_PAYLOAD_TYPE = "cosign container image signature"
# cosign attests SBOMs and scans in the same way: what it calls a signature states this and nothing more.
_SIGN = "https://sigstore.dev/cosign/sign/v1"


@dataclass(frozen=True)
class KeySignature:
    """A signature by a lasting key over ``message``, which has ``payload`` in it: nobody has looked at that yet."""

    signature: bytes
    message: bytes
    payload: bytes
    digest_in: Callable[[bytes], str]

    def digest(self) -> str:
        """The manifest that the payload names: to be asked when the signature holds.  Raises ValueError."""
        return self.digest_in(self.payload)


def is_bundle(layer: Descriptor) -> bool:
    """Whether a layer is a Sigstore bundle."""
    return layer.media_type.startswith(_BUNDLE_LAYER)


def signature_layers(manifest: Manifest) -> tuple[Descriptor, ...]:
    """The layers of something attached that may be signatures, in either form."""
    return tuple(layer for layer in manifest.layers if layer.media_type == PAYLOAD_LAYER or is_bundle(layer))


def key_signature(layer: Descriptor, data: bytes) -> KeySignature:
    """Take the signature from a layer, whose bytes are ``data``.  Raises ValueError where there is none."""
    if is_bundle(layer):
        return _enveloped(data)
    signature = _decoded(layer.annotations.get(_SIGNATURE), f"the annotation {_SIGNATURE}")
    return KeySignature(signature, data, data, _payload_digest)


def statement_digest(payload: bytes) -> str:
    """The manifest that an in-toto statement of cosign's signs.  Raises ValueError."""
    statement = _json(payload, "the statement")
    if statement.get("_type") != STATEMENT_TYPE:
        raise ValueError(
            f"it is no in-toto statement of the version that cosign signs: {_told(statement.get('_type'))}"
        )
    if statement.get("predicateType") != _SIGN:
        raise ValueError(f"it is no signature of an image, but states {_told(statement.get('predicateType'))}")
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or len(subjects) != 1:
        raise ValueError("its statement is not about one image")
    digest = object_at(as_object(subjects[0], "its subject"), "digest").get("sha256")
    return check_digest(f"sha256:{digest}")


def _payload_digest(data: bytes) -> str:
    value = _json(data, "the payload")
    critical = object_at(value, "critical")
    if critical.get("type") != _PAYLOAD_TYPE:
        raise ValueError(f"its payload is no signature of an image, but {_told(critical.get('type'))}")
    image = object_at(critical, "image")
    return check_digest(str(image.get("docker-manifest-digest"))[:100])


def _enveloped(data: bytes) -> KeySignature:
    bundle = _json(data, "the bundle")
    envelope = object_at(bundle, "dsseEnvelope")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise ValueError("its envelope has not one signature")
    if envelope.get("payloadType") != STATEMENT_PAYLOAD_TYPE:
        raise ValueError(f"its payload has the type {_told(envelope.get('payloadType'))}")
    payload = _decoded(envelope.get("payload"), "its payload")
    signature = _decoded(as_object(signatures[0], "its signature").get("sig"), "its signature")
    return KeySignature(signature, pae(STATEMENT_PAYLOAD_TYPE, payload), payload, statement_digest)


def _decoded(text: Any, what: str) -> bytes:
    try:
        if isinstance(text, str) and text:
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise ValueError(f"{what} is missing, or is not base64")


def _json(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = strict_json(data, limit=MAX_IMAGE_SIGNATURE)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} is not JSON that can be read: {error}") from None
    return as_object(value, what)


def _told(value: Any) -> str:
    return repr(value)[:100]
