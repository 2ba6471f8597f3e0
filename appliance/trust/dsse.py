"""DSSE envelopes, alone (root documents) and in Sigstore bundles (signature files).

DSSE: https://github.com/secure-systems-lab/dsse.  Sigstore bundle v0.3 with a public-key
hint and no transparency log: https://docs.sigstore.dev/about/bundle/.  Both are accepted
in canonical JSON only, so that not a byte of them is free.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from appliance.formats.dsse import SIGSTORE_MEDIA_TYPE, STATEMENT_PAYLOAD_TYPE, pae
from appliance.model.jsonform import canonical_json, parse_canonical
from appliance.model.limits import MAX_ENVELOPE, MAX_SIGNATURE_FILE, MAX_SIGNATURES
from appliance.model.names import check_sha256


@dataclass(frozen=True)
class Envelope:
    """A payload and who signed it: pairs of key id and signature bytes."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    def pae(self) -> bytes:
        """The bytes that are signed."""
        return pae(self.payload_type, self.payload)


def encode_signature_file(keyid: str, payload: bytes, signature: bytes) -> bytes:
    """One signer's Sigstore bundle over a statement: canonical JSON."""
    return canonical_json(
        {
            "mediaType": SIGSTORE_MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": keyid}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": _encode(payload),
                "payloadType": STATEMENT_PAYLOAD_TYPE,
                "signatures": [{"sig": _encode(signature)}],
            },
        }
    )


def decode_signature_file(data: bytes) -> Envelope:
    """Read a signature file.  Raises ValueError for anything but its one form."""
    value = parse_canonical(data, limit=MAX_SIGNATURE_FILE)
    outer = _fields(value, "mediaType", "verificationMaterial", "dsseEnvelope")
    if outer["mediaType"] != SIGSTORE_MEDIA_TYPE:
        raise ValueError(f"mediaType is not {SIGSTORE_MEDIA_TYPE}")
    material = _fields(outer["verificationMaterial"], "publicKey", "tlogEntries")
    keyid = check_sha256(_text(_fields(material["publicKey"], "hint")["hint"]))
    if material["tlogEntries"] != []:
        raise ValueError("tlogEntries is not empty")
    envelope = _fields(outer["dsseEnvelope"], "payload", "payloadType", "signatures")
    if envelope["payloadType"] != STATEMENT_PAYLOAD_TYPE:
        raise ValueError(f"payloadType is not {STATEMENT_PAYLOAD_TYPE}")
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise ValueError("there is not exactly one signature")
    signature = _decode(_fields(signatures[0], "sig")["sig"])
    return Envelope(STATEMENT_PAYLOAD_TYPE, _decode(envelope["payload"]), ((keyid, signature),))


def encode_envelope(envelope: Envelope) -> bytes:
    """A plain DSSE envelope, signatures sorted by key id: canonical JSON."""
    return canonical_json(
        {
            "payload": _encode(envelope.payload),
            "payloadType": envelope.payload_type,
            "signatures": [{"keyid": keyid, "sig": _encode(sig)} for keyid, sig in sorted(envelope.signatures)],
        }
    )


def decode_envelope(data: bytes, payload_type: str) -> Envelope:
    """Read a plain envelope.  Raises ValueError for anything but its one form.

    It may hold no signature yet: whoever needs some counts them (trust/threshold.py).
    """
    value = _fields(parse_canonical(data, limit=MAX_ENVELOPE), "payload", "payloadType", "signatures")
    if value["payloadType"] != payload_type:
        raise ValueError(f"payloadType is not {payload_type}")
    entries = value["signatures"]
    if not isinstance(entries, list) or len(entries) > MAX_SIGNATURES:
        raise ValueError(f"signatures are not a list, or more than {MAX_SIGNATURES}")
    signatures = []
    for entry in entries:
        fields = _fields(entry, "keyid", "sig")
        signatures.append((check_sha256(_text(fields["keyid"])), _decode(fields["sig"])))
    keyids = [keyid for keyid, _ in signatures]
    if keyids != sorted(set(keyids)):
        raise ValueError("signatures are not sorted by key id, or a key signed twice")
    return Envelope(payload_type, _decode(value["payload"]), tuple(signatures))


def _fields(value: Any, *names: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise ValueError(f"an object with exactly {', '.join(names)} was expected")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text was expected")
    return value


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(value: Any) -> bytes:
    text = _text(value)
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"base64: {error}") from None
    if _encode(data) != text:  # unused bits and missing padding would leave bytes free
        raise ValueError("base64 is not in its canonical form")
    return data
