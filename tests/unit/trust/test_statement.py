import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from appliance.model.documents.definition import DefinitionHead
from appliance.model.times import format_time
from appliance.trust.statement import build_statement, parse_statement

_CREATED = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def _head(**changes: object) -> DefinitionHead:
    fields: dict[str, object] = {
        "schema_": "appliance.definition/v1",
        "name": "demo",
        "version": "1.2.0",
        "description": "x",
        "expires_after_days": 30,
        "previous": "1.1.0",
        "minimum_root_version": 2,
    }
    return DefinitionHead.model_validate(fields | changes)


def test_a_statement_says_what_the_signers_vouch_for() -> None:
    sums = b"0" * 64 + b"  x\n"
    statement = parse_statement(build_statement(_head(), sums, files=1, size=7, created=_CREATED))
    predicate = statement.predicate
    assert (predicate.name, predicate.version, predicate.previous) == ("demo", "1.2.0", "1.1.0")
    assert (predicate.created, predicate.expires) == ("2026-11-20T12:00:00Z", "2026-12-20T12:00:00Z")
    assert (predicate.files, predicate.bytes, predicate.minimum_root_version) == (1, 7, 2)
    assert statement.subject[0].digest.sha256 == hashlib.sha256(sums).hexdigest()
    assert statement.subject[0].digest.sha384 == hashlib.sha384(sums).hexdigest()


def test_the_same_input_gives_the_same_bytes() -> None:
    one, two = (build_statement(_head(), b"x\n", files=1, size=2, created=_CREATED) for _ in range(2))
    assert one == two


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    assert format_time(_CREATED.astimezone(timezone(timedelta(hours=9)))) == "2026-11-20T12:00:00Z"


def test_a_wrong_field_is_named() -> None:
    data = build_statement(_head(), b"x\n", files=1, size=2, created=_CREATED)
    with pytest.raises(ValueError, match=r"predicate\.files"):
        parse_statement(data.replace(b'"files":1', b'"files":0'))
    with pytest.raises(ValueError, match="canonical"):
        parse_statement(data + b"\n")
