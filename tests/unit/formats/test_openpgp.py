import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.formats.openpgp import signature_issuers

FINGERPRINT = bytes(range(20))
ISSUER = bytes([22, 33, 4]) + FINGERPRINT  # length, type, key version, fingerprint
CREATED = bytes([5, 2, 0, 0, 0, 0])


def signature(hashed: bytes, unhashed: bytes = b"", version: int = 4) -> bytes:
    areas = b"".join(len(area).to_bytes(2, "big") + area for area in (hashed, unhashed))
    return bytes([version, 1, 22, 8]) + areas + b"\x00\x00signature"


def old_packet(body: bytes) -> bytes:
    return bytes([0x88, len(body)]) + body


def new_packet(body: bytes) -> bytes:
    return bytes([0xC2, len(body)]) + body


def clearsigned(packets: bytes) -> bytes:
    text = base64.b64encode(packets).decode()
    return f"-----BEGIN PGP SIGNATURE-----\n\n{text}\n=abcd\n-----END PGP SIGNATURE-----\n".encode()


@pytest.mark.parametrize("packet", [old_packet, new_packet])
@pytest.mark.parametrize("areas", [(CREATED + ISSUER, b""), (CREATED, ISSUER)])
def test_issuers_are_read_from_both_packet_forms_and_areas(packet: object, areas: tuple[bytes, bytes]) -> None:
    assert callable(packet)
    assert signature_issuers(clearsigned(packet(signature(*areas)))) == (FINGERPRINT.hex().upper(),)


def test_every_signature_counts_once() -> None:
    packets = old_packet(signature(ISSUER)) * 2 + old_packet(signature(bytes([22, 33, 4]) + b"\xff" * 20))
    assert signature_issuers(clearsigned(packets)) == (FINGERPRINT.hex().upper(), "FF" * 20)


def test_signatures_of_other_versions_and_without_issuer_are_left_out() -> None:
    assert (
        signature_issuers(clearsigned(old_packet(signature(ISSUER, version=3)) + old_packet(signature(CREATED)))) == ()
    )


@pytest.mark.parametrize(
    "text", [b"", b"-----BEGIN PGP SIGNATURE-----\n\n!!\n", clearsigned(b"\x88\x7f"), clearsigned(b"\x01")]
)
def test_damage_is_told(text: bytes) -> None:
    with pytest.raises(ValueError, match="signature"):
        signature_issuers(text)


@given(st.binary(max_size=200))
def test_any_bytes_give_issuers_or_a_value_error(packets: bytes) -> None:
    with contextlib.suppress(ValueError):
        signature_issuers(clearsigned(packets))
