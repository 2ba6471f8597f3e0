"""Signatures that were made elsewhere: what goes into an envelope, and that nothing else does."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import NotTrusted
from appliance.trust.collect import add_signatures, sign_envelope
from appliance.trust.dsse import Envelope, encode_envelope, encode_signature_file
from appliance.trust.keys import PublicKey
from tests.support.bundles import FIRST_PQ, STRANGER, key, keyid

_PEOPLE = (1, 2, 3, FIRST_PQ)
_KEYS: dict[str, PublicKey] = {keyid(number): key(number).public for number in _PEOPLE}
_EMPTY = Envelope("text/plain", b"what is signed", ())


def _signed(*people: int) -> Envelope:
    envelope = _EMPTY
    for number in people:
        envelope = sign_envelope(envelope, key(number))
    return envelope


def _signers(envelope: Envelope) -> list[str]:
    return [signer for signer, _ in envelope.signatures]


@given(st.lists(st.sets(st.sampled_from(_PEOPLE)), max_size=4))
def test_copies_come_together_in_any_order(copies: list[set[int]]) -> None:
    envelope = _EMPTY
    for people in copies:
        envelope = add_signatures(envelope, encode_envelope(_signed(*people)), _KEYS, where="copy")
    everybody = set().union(*copies) if copies else set()
    assert _signers(envelope) == sorted(keyid(number) for number in everybody)
    assert add_signatures(envelope, encode_envelope(envelope), _KEYS, where="copy") == envelope


def test_a_signature_that_holds_stays_and_one_that_does_not_is_replaced() -> None:
    first = _signed(1)
    again = _signed(1)
    assert first.signatures != again.signatures, "ECDSA signs with random numbers"
    assert sign_envelope(first, key(1)) == first
    assert add_signatures(first, encode_envelope(again), _KEYS, where="copy") == first
    spoilt = Envelope(first.payload_type, first.payload, ((keyid(1), b"spoilt"),))
    assert add_signatures(spoilt, encode_envelope(again), _KEYS, where="copy") == again
    assert _signers(sign_envelope(spoilt, key(1))) == [keyid(1)]
    assert sign_envelope(spoilt, key(1)) != spoilt


@pytest.mark.parametrize("number", _PEOPLE)
def test_the_key_of_a_bare_signature_is_found(number: int) -> None:
    signature = key(number).sign(_EMPTY.pae())
    assert add_signatures(_EMPTY, signature, _KEYS, where="sig").signatures == ((keyid(number), signature),)


def _other_payload() -> bytes:
    return encode_envelope(sign_envelope(Envelope("text/plain", b"another", ()), key(1)))


@pytest.mark.parametrize(
    ("addition", "reference"),
    [
        (lambda: key(STRANGER).sign(_EMPTY.pae()), "signature-invalid"),
        (lambda: key(1).sign(b"what is signed"), "signature-invalid"),
        (lambda: b"", "signature-invalid"),
        (lambda: bytes(4627), "signature-invalid"),
        (lambda: b"{}", "signature-malformed"),
        (lambda: b"{" * 72, "signature-malformed"),
        (lambda: encode_signature_file(keyid(1), b"what is signed", b"x"), "signature-malformed"),
        (lambda: encode_envelope(_signed(1, STRANGER)), "signature-unknown-key"),
        (lambda: encode_envelope(Envelope("text/plain", b"what is signed", ((keyid(1), b"x"),))), "signature-invalid"),
        (lambda: encode_envelope(Envelope("text/html", b"what is signed", ())), "signature-malformed"),
        (_other_payload, "signature-other-document"),
    ],
)
def test_nothing_else_goes_in(addition: Callable[[], bytes], reference: str) -> None:
    with pytest.raises(NotTrusted) as caught:
        add_signatures(_signed(2), addition(), _KEYS, where="what came back")
    assert (caught.value.reference, caught.value.where) == (reference, "what came back")
