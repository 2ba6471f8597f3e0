"""What a site signs is read when its own key has signed it, in its one form, and not before."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from appliance.errors import NotTrusted
from appliance.formats.dsse import STATEMENT_PAYLOAD_TYPE, pae
from appliance.model.documents.events import ExportedHead, Receipt
from appliance.model.documents.log import Head
from appliance.model.jsonform import canonical_json
from appliance.trust.dsse import decode_signature_file, encode_signature_file
from appliance.trust.evidence import HeadStatement, open_evidence, open_receipt, sign_head, sign_receipt
from tests.support.bundles import FIRST, STRANGER, Change, key, keyid
from tests.support.forging import put

TIME = "2026-10-01T12:00:00Z"
HEAD = Head(seq=3, sha256="3" * 64)
RECEIPT = Receipt.model_validate_json(
    json.dumps(
        {
            "event": "import",
            "time": TIME,
            "log": HEAD.model_dump(),
            "verification": {
                **{"result": "refused", "sums": None, "bundle": None, "trusted_root": "1" * 64, "root": None},
                **{"signers": [], "tool": "appliance", "refusal": {"reference": "x", "what": "y", "where": "z"}},
            },
        }
    )
)
SIGNED = sign_receipt(RECEIPT, key(FIRST))
SIGNED_HEAD = sign_head(ExportedHead(time=TIME, log=HEAD, bytes=9, tool="appliance"), "4" * 64, key(FIRST))


def again(change: Change) -> bytes:
    """The receipt with another payload, rightly signed."""
    value = json.loads(decode_signature_file(SIGNED).payload)
    change(value)
    return signed(canonical_json(value))


def signed(payload: bytes) -> bytes:
    return encode_signature_file(keyid(FIRST), payload, key(FIRST).sign(pae(STATEMENT_PAYLOAD_TYPE, payload)))


def reference(data: bytes, reader: Callable[..., Any] = open_evidence) -> str:
    with pytest.raises(NotTrusted) as caught:
        reader(data, key(FIRST).public, "receipt.json")
    assert caught.value.where == "receipt.json"
    return caught.value.reference


def test_what_was_signed_is_read() -> None:
    statement = open_receipt(SIGNED, key(FIRST).public, "")
    assert statement.predicate == RECEIPT
    # The list could not be read: the digests of no bytes stand for it.
    assert statement.subject[0].digest.sha256.startswith("e3b0c442")
    head = open_evidence(SIGNED_HEAD, key(FIRST).public, "")
    assert isinstance(head, HeadStatement)
    assert (head.subject[0].digest.sha256, head.predicate.log) == ("4" * 64, HEAD)


def test_a_head_is_no_receipt() -> None:
    assert reference(SIGNED_HEAD, open_receipt) == "evidence-malformed"


def test_another_key_and_a_changed_signature_are_refused() -> None:
    assert reference(sign_receipt(RECEIPT, key(STRANGER))) == "evidence-unknown-key"
    envelope = decode_signature_file(SIGNED)
    flipped = bytes([*envelope.signatures[0][1][:-1], envelope.signatures[0][1][-1] ^ 1])
    assert reference(encode_signature_file(keyid(FIRST), envelope.payload, flipped)) == "evidence-invalid"
    other = envelope.payload.replace(b"refused", b"refusee")
    assert reference(encode_signature_file(keyid(FIRST), other, envelope.signatures[0][1])) == "evidence-invalid"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SIGNED + b"\n",
        again(put("predicateType", "urn:appliance:bundle:v1")),
        again(put("predicateType", "urn:appliance:log-head:v1")),
        again(put("subject/0/name", "log.jsonl")),
        again(put("subject", [])),
        again(put("predicate/more", 1)),
        again(put("predicate/verification/result", "perhaps")),
        again(put("predicate/verification/tool", "x" * 1001)),
        again(put("predicate/log/seq", -1)),
        again(put("_type", "https://in-toto.io/Statement/v0.1")),
        signed(b"{}"),
        signed(b"no JSON"),
        signed(json.dumps(json.loads(decode_signature_file(SIGNED).payload)).encode()),
    ],
)
def test_only_the_one_form_is_read(data: bytes) -> None:
    assert reference(data) == "evidence-malformed"
