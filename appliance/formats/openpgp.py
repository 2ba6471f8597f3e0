"""Which keys a clear-signed text names as its signers: for the record, not for trust.

Whether a signature is good is decided by apt.  Formats: RFC 9580, packets (4),
signatures (5.2.3) and ASCII armour (6).
"""

import base64
import binascii
from collections.abc import Iterator

_BEGIN = b"-----BEGIN PGP SIGNATURE-----"
_END = b"-----END PGP SIGNATURE-----"
_SIGNATURE_PACKET = 2
_ISSUER_FINGERPRINT = 33


def signature_issuers(text: bytes) -> tuple[str, ...]:
    """Fingerprints, upper-case hexadecimal, sorted.  Raises ValueError.

    Signatures that do not say their issuer's fingerprint are left out.
    """
    armour = text.rpartition(_BEGIN)[2].partition(_END)[0].replace(b"\r\n", b"\n")
    _, separator, body = armour.partition(b"\n\n")
    if not separator:
        raise ValueError("there is no signature")
    lines = [line for line in body.split() if not line.startswith(b"=")]  # the last one is a CRC
    try:
        packets = base64.b64decode(b"".join(lines), validate=True)
        return tuple(sorted({issuer for packet in _signatures(packets) for issuer in _issuers(packet)}))
    except (binascii.Error, IndexError):
        raise ValueError("the signature is damaged") from None


def _signatures(data: bytes) -> Iterator[bytes]:
    while data:
        tag, start, length = _packet_head(data)
        if start + length > len(data):
            raise ValueError("the signature is cut short")
        if tag == _SIGNATURE_PACKET:
            yield data[start : start + length]
        data = data[start + length :]


def _packet_head(data: bytes) -> tuple[int, int, int]:
    """Tag, start and length of the first packet."""
    if data[0] & 0xC0 == 0xC0:
        start, length = _length(data, 1)
        return data[0] & 0x3F, start, length
    size = 1 << (data[0] & 3)
    if not data[0] & 0x80 or size > 4:
        raise ValueError("the signature has a packet of unknown form")
    return data[0] >> 2 & 0xF, 1 + size, int.from_bytes(data[1 : 1 + size], "big")


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Where the content starts, and its length (RFC 9580, 4.2.1 and 5.2.3.7)."""
    first = data[at]
    if first < 192:
        return at + 1, first
    if first < 224:
        return at + 2, (first - 192 << 8) + data[at + 1] + 192
    if first < 255:
        raise ValueError("the signature has a packet of unknown length")
    return at + 5, int.from_bytes(data[at + 1 : at + 5], "big")


def _issuers(packet: bytes) -> Iterator[str]:
    if packet[0] != 4:
        return
    at = 4  # version, type, key algorithm, hash algorithm
    for _ in ("hashed", "not hashed"):
        area_start = at + 2
        at = area_start + int.from_bytes(packet[at:area_start], "big")
        area = packet[area_start:at]
        while area:
            start, length = _length(area, 0)
            if area[start] & 0x7F == _ISSUER_FINGERPRINT:
                yield area[start + 2 : start + length].hex().upper()
            area = area[start + length :]
