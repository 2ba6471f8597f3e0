"""``appliance import`` and ``appliance switch``, as people and programs see them."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli.main import run
from tests.support.bundles import Recipe, Written
from tests.support.sites import version


@pytest.fixture(autouse=True)
def _process_state() -> Iterator[None]:
    """The command line sets these for the process that it thinks is its own."""
    umask, handler = os.umask(0o022), signal.getsignal(signal.SIGTERM)
    yield
    os.umask(umask)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def carried(tmp_path: Path) -> Written:
    return Recipe().write(tmp_path / "medium")


def take(written: Written, site: Path, *options: str) -> int:
    return run(["import", str(written.path), "--root", str(written.trusted), "--site", str(site), *options])


def test_the_last_line_is_the_bundle(carried: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert take(carried, tmp_path / "site") == 0
    output = capsys.readouterr()
    assert output.out == f"{tmp_path}/site/bundles/tiny-1.0.0\n"
    assert "imported: tiny 1.0.0" in output.err
    assert take(carried, tmp_path / "site") == 0
    assert "already there, verified again" in capsys.readouterr().err


def test_a_refusal_is_exit_code_3(carried: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (carried.path / "models/tiny/empty.txt").write_bytes(b"x")
    assert take(carried, tmp_path / "site", "--json") == 3
    assert json.loads(capsys.readouterr().out)["error"]["where"] == "models/tiny/empty.txt"
    assert not (tmp_path / "site").exists()


def test_programs_learn_what_happened(carried: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert take(version("2.0.0").write(tmp_path / "second"), tmp_path / "site", "--json", "--no-switch") == 0
    second = json.loads(capsys.readouterr().out)
    assert (second["written"], second["switched"], second["current"]) == (True, False, None)
    assert take(carried, tmp_path / "site", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert first["path"] == f"{tmp_path}/site/bundles/tiny-1.0.0"
    assert first["linked"] > 0
    assert (first["name"], first["version"], first["current"]) == ("tiny", "1.0.0", "1.0.0")
    assert run(["switch", "tiny", "2.0.0", "--site", str(tmp_path / "site"), "--json"]) == 0
    switched = json.loads(capsys.readouterr().out)
    assert (switched["previous"], switched["changed"]) == ("1.0.0", True)


def test_a_switch_tells_people_what_was_before(
    carried: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take(carried, tmp_path / "site", "--no-switch", "--quiet")
    assert run(["switch", "tiny", "1.0.0", "--site", str(tmp_path / "site")]) == 0
    assert "tiny 1.0.0 is current, before: none" in capsys.readouterr().err
    assert run(["switch", "tiny", "9.9", "--site", str(tmp_path / "site")]) == 2
    assert "one of: tiny-1.0.0" in capsys.readouterr().err
