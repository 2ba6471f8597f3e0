"""What needs a key: signatures made for something else, by somebody else, or in another form."""

import base64
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from appliance.formats.dsse import STATEMENT_PAYLOAD_TYPE, pae
from appliance.model.jsonform import canonical_json
from appliance.trust.dsse import encode_signature_file
from tests.corpus.builder.words import number_of
from tests.support.bundles import encoded, key, keyid

_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# The order of P-256's group, FIPS 186-5 (SP 800-186, 3.2.1.3).
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_LONGEST = 72  # bytes of a P-256 signature in DER


def signature_file(person: str, statement: bytes) -> bytes:
    """Somebody's signature file over ``statement``."""
    number = number_of(person)
    return encode_signature_file(keyid(number), statement, key(number).sign(pae(STATEMENT_PAYLOAD_TYPE, statement)))


# Envelopes of root documents ------------------------------------------------------------------


def _add(data: bytes, person: str) -> bytes:
    value = json.loads(data)
    message = pae(value["payloadType"], base64.b64decode(value["payload"]))
    number = number_of(person)
    signature = {"keyid": keyid(number), "sig": encoded(key(number).sign(message))}
    value["signatures"] = sorted([*value["signatures"], signature], key=lambda entry: str(entry["keyid"]))
    return canonical_json(value)


def _spoil(data: bytes, person: str) -> bytes:
    """Somebody's signature is one over something else."""
    value = json.loads(data)
    _entry_of(value, person)["sig"] = encoded(key(number_of(person)).sign(b"another document"))
    return canonical_json(value)


def _mirror(data: bytes, person: str) -> bytes:
    """Somebody's ECDSA signature in its other form, which anybody can make: s and n - s hold alike."""
    value = json.loads(data)
    entry = _entry_of(value, person)
    first, second = decode_dss_signature(base64.b64decode(entry["sig"]))
    entry["sig"] = encoded(encode_dss_signature(first, _ORDER - second))
    return canonical_json(value)


def _entry_of(value: Any, person: str) -> Any:
    """Where somebody's signature stands, in an envelope or in a signature file."""
    signatures = value["signatures"] if "signatures" in value else value["dsseEnvelope"]["signatures"]
    theirs = keyid(number_of(person))
    (entry,) = [entry for entry in signatures if entry.get("keyid", theirs) == theirs]
    return entry


# Signature files ------------------------------------------------------------------------------


def _sign_as(data: bytes, argument: dict[str, Any]) -> bytes:
    """Signed anew by ``by`` over the payload as type ``over`` (null: over the bare payload)."""
    value = json.loads(data)
    payload = base64.b64decode(value["dsseEnvelope"]["payload"])
    message = payload if argument["over"] is None else pae(argument["over"], payload)
    value["dsseEnvelope"]["signatures"][0]["sig"] = encoded(key(number_of(argument["by"])).sign(message))
    return canonical_json(value)


def _sign_until(fits: Callable[[bytes], bool], write: Callable[[bytes], str]) -> Callable[[bytes, str], bytes]:
    """The same signer's signature again until one ``fits``, then written in another way."""

    def verb(data: bytes, person: str) -> bytes:
        value = json.loads(data)
        message = pae(STATEMENT_PAYLOAD_TYPE, base64.b64decode(value["dsseEnvelope"]["payload"]))
        while not fits(signature := key(number_of(person)).sign(message)):
            pass
        value["dsseEnvelope"]["signatures"][0]["sig"] = write(signature)
        return canonical_json(value)

    return verb


def _loose(signature: bytes) -> str:
    """Base64 with bits set that nobody reads."""
    body = encoded(signature).rstrip("=")
    loose = body[:-1] + _BASE64[_BASE64.index(body[-1]) | 1] + "=" * (-len(body) % 4)
    assert base64.b64decode(loose) == signature != base64.b64encode(signature)
    return loose


VERBS: dict[str, Callable[[bytes, Any], bytes]] = {
    "add signature": _add,
    "spoil signature": _spoil,
    "mirror signature": _mirror,
    "sign as": _sign_as,
    "loose base64": _sign_until(lambda signature: len(signature) % 3 != 0, _loose),
    # Programs that read as many bytes as a signature may have do not see what follows.
    "byte behind": _sign_until(lambda signature: len(signature) == _LONGEST, lambda data: encoded(data + b"\0")),
}
