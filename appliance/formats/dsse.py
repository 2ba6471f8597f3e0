"""What a signature in a DSSE envelope covers: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.

Envelopes lie in Sigstore's bundles v0.3 (https://docs.sigstore.dev/about/bundle/), and in-toto statements in them.
"""

SIGSTORE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT_PAYLOAD_TYPE = "application/vnd.in-toto+json"


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
