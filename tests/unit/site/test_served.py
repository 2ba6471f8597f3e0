"""Who counts as a user before a rehearsal, from the gateway's audit lines."""

import json
import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.role_files import role_file

SERVED = runpy.run_path(str(role_file("gateway", "served.py")))
NOW = datetime.now(UTC)


def line(client: str, address: str, minutes: int) -> str:
    time = (NOW - timedelta(minutes=minutes)).isoformat(timespec="seconds")
    return json.dumps({"time": time, "client": client, "address": address}) + "\n"


def test_only_clients_of_the_last_minutes_count_and_nobody_on_the_depot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = tmp_path / "audit.log"
    monkeypatch.setitem(SERVED["asked"].__globals__, "_AUDIT", audit)
    asked = SERVED["asked"]
    since = NOW - timedelta(minutes=15)
    assert asked(since, set()) == {}  # a gateway that nobody has asked yet
    (tmp_path / "audit.log.1").write_text(line("search", "192.0.2.7", 14))  # it may have been rotated just now
    audit.write_text(
        'half a line"}\n'
        + line("", "192.0.2.9", 1)
        + line("operator", "::ffff:192.0.2.1", 1)
        + line("operator", "2001:DB8::1", 1)
        + line("search", "192.0.2.7", 16)
        + line("search", "192.0.2.7", 1)
    )
    assert asked(since, {"192.0.2.1", "2001:db8::1"}) == {"search at 192.0.2.7": 2}


@pytest.mark.parametrize(("text", "address"), [("192.0.2.0/32", "192.0.2.0"), ("2001:DB8::1", "2001:db8::1")])
def test_addresses_are_compared_in_one_form(text: str, address: str) -> None:
    assert SERVED["plain"](text) == address
