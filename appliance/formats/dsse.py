"""What a signature in a DSSE envelope covers: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
