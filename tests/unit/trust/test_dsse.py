import base64
import json
from typing import Any

import pytest

from appliance.formats.dsse import STATEMENT_PAYLOAD_TYPE, pae
from appliance.model.jsonform import canonical_json
from appliance.model.limits import MAX_SIGNATURES
from appliance.trust.dsse import (
    Envelope,
    decode_envelope,
    decode_signature_file,
    encode_envelope,
    encode_signature_file,
)
from tests.support.forging import delete, put

_KEYID = "ab" * 32
_OTHER = "cd" * 32


def test_what_is_signed_is_what_the_dsse_specification_gives() -> None:
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("http://example.com/HelloWorld", b"hello world") == expected


def test_lengths_count_bytes() -> None:
    assert pae("\u00e9", b"\xc3\xa9") == b"DSSEv1 2 \xc3\xa9 2 \xc3\xa9"


def test_a_signature_file_says_again_what_went_in() -> None:
    envelope = decode_signature_file(encode_signature_file(_KEYID, b"payload", b"signature"))
    assert envelope == Envelope(STATEMENT_PAYLOAD_TYPE, b"payload", ((_KEYID, b"signature"),))
    assert envelope.pae() == pae(STATEMENT_PAYLOAD_TYPE, b"payload")


def test_an_envelope_is_written_in_one_order() -> None:
    one = Envelope("text/plain", b"x", ((_KEYID, b"1"), (_OTHER, b"2")))
    two = Envelope("text/plain", b"x", ((_OTHER, b"2"), (_KEYID, b"1")))
    assert encode_envelope(one) == encode_envelope(two)
    assert decode_envelope(encode_envelope(two), "text/plain") == one


@pytest.mark.parametrize(
    "change",
    [
        put("mediaType", "application/vnd.dev.sigstore.bundle+json;version=0.1"),
        put("verificationMaterial/publicKey/hint", 1),
        put("verificationMaterial/publicKey/hint", "AB" * 32),
        put("verificationMaterial/publicKey", "AB"),
        put("verificationMaterial/tlogEntries", [1]),
        put("verificationMaterial/certificate", {}),
        put("dsseEnvelope/payloadType", "text/plain"),
        put("dsseEnvelope/payload", ["x"]),
        put("dsseEnvelope/payload", "x"),
        put("dsseEnvelope/payload", "eA"),
        put("dsseEnvelope/payload", "eB=="),
        put("dsseEnvelope/signatures", {}),
        put("dsseEnvelope/signatures", [{"sig": ""}, {"sig": ""}]),
        delete("dsseEnvelope/signatures"),
        delete("verificationMaterial"),
    ],
)
def test_a_signature_file_has_one_form(change: Any) -> None:
    value = json.loads(encode_signature_file(_KEYID, b"payload", b"signature"))
    change(value)
    with pytest.raises(ValueError, match=r"\w"):
        decode_signature_file(canonical_json(value))


@pytest.mark.parametrize(
    "change",
    [
        put("payloadType", "text/html"),
        put("signatures", {}),
        put("signatures", [{"keyid": f"{number:064x}", "sig": ""} for number in range(MAX_SIGNATURES + 1)]),
        put("signatures", [{"keyid": _OTHER, "sig": ""}, {"keyid": _KEYID, "sig": ""}]),
        put("signatures", [{"keyid": _KEYID, "sig": ""}, {"keyid": _KEYID, "sig": "eA=="}]),
        put("signatures", ["x"]),
        put("signatures/0/keyid", "x"),
        put("signatures/0/more", "x"),
    ],
)
def test_an_envelope_has_one_form(change: Any) -> None:
    value = json.loads(encode_envelope(Envelope("text/plain", b"x", ((_KEYID, b"1"),))))
    change(value)
    with pytest.raises(ValueError, match=r"\w"):
        decode_envelope(canonical_json(value), "text/plain")


def test_a_file_beyond_any_sense_is_not_even_parsed() -> None:
    data = encode_signature_file(_KEYID, b"x" * 200_000, b"signature")
    with pytest.raises(ValueError, match="larger than"):
        decode_signature_file(data)


def test_other_programs_can_read_it() -> None:
    value = json.loads(encode_signature_file(_KEYID, b"payload", b"signature"))
    assert base64.b64decode(value["dsseEnvelope"]["payload"]) == b"payload"
    assert list(value) == sorted(value)
