"""Signed overrides for the small bundles, right or wrong in any one place."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from appliance.formats.dsse import pae
from appliance.model.documents.override import OVERRIDE_PAYLOAD_TYPE, OVERRIDE_SCHEMA
from appliance.model.jsonform import canonical_json
from appliance.model.times import format_time
from appliance.trust.dsse import Envelope, encode_envelope
from appliance.trust.statement import parse_statement
from tests.support.bundles import FIRST, NOW, SECOND, Change, Written, key, keyid, nothing

SITE = "plant-7"


def payload(written: Written, allows: Sequence[str], *, change: Change = nothing) -> bytes:
    """An override's payload for the bundle; ``change`` edits it before it is signed."""
    statement = parse_statement((written.path / "statement.json").read_bytes())
    value: dict[str, Any] = {
        "schema": OVERRIDE_SCHEMA,
        "site": SITE,
        "name": statement.predicate.name,
        "version": statement.predicate.version,
        "sha256sums": statement.subject[0].digest.sha256,
        "allows": list(allows),
        "reason": "the new one does not start on our hardware",
        "created": format_time(NOW - timedelta(minutes=1)),
        "expires": format_time(NOW + timedelta(days=2)),
    }
    change(value)
    return canonical_json(value)


def sign(content: bytes, signers: Sequence[int] = (FIRST, SECOND), payload_type: str = OVERRIDE_PAYLOAD_TYPE) -> bytes:
    """Wrap and sign an override, whatever it says."""
    signatures = tuple((keyid(number), key(number).sign(pae(payload_type, content))) for number in signers)
    return encode_envelope(Envelope(payload_type, content, signatures))


def write_override(
    written: Written, *allows: str, change: Change = nothing, signers: Sequence[int] = (FIRST, SECOND)
) -> Path:
    """Write an override for the bundle beside it."""
    path = written.path.parent / "over ride.json"
    path.write_bytes(sign(payload(written, allows, change=change), signers))
    return path
