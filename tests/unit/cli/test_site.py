"""``appliance import`` and ``appliance switch``, as people and programs see them."""

import json
from pathlib import Path

import pytest

from appliance.cli.main import run
from tests.support.bundles import NOW, Recipe, Written
from tests.support.overrides import SITE, write_override
from tests.support.sites import version


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
    assert take(carried, tmp_path / "site", "--json", "--no-switch") == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["written"], first["switched"], first["current"]) == (True, False, None)
    assert take(version("2.0.0").write(tmp_path / "second"), tmp_path / "site", "--json") == 0
    second = json.loads(capsys.readouterr().out)
    assert second["path"] == f"{tmp_path}/site/bundles/tiny-2.0.0"
    assert second["linked"] > 0
    assert (second["name"], second["version"], second["current"]) == ("tiny", "2.0.0", "2.0.0")
    assert second["overridden"] == []
    assert run(["switch", "tiny", "1.0.0", "--site", str(tmp_path / "site"), "--json"]) == 0
    switched = json.loads(capsys.readouterr().out)
    assert (switched["previous"], switched["changed"], switched["overridden"]) == ("2.0.0", True, [])


def test_a_switch_tells_people_what_was_before(
    carried: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take(carried, tmp_path / "site", "--no-switch", "--quiet")
    assert run(["switch", "tiny", "1.0.0", "--site", str(tmp_path / "site")]) == 0
    assert "tiny 1.0.0 is current, before: none" in capsys.readouterr().err
    assert run(["switch", "tiny", "9.9", "--site", str(tmp_path / "site")]) == 2
    assert "one of: tiny-1.0.0" in capsys.readouterr().err


def test_what_a_site_remembers_is_shown_and_made_anew(
    carried: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--site", str(tmp_path / "site")]
    take(carried, tmp_path / "site", "--quiet")
    capsys.readouterr()
    assert run(["state", "show", *place]) == 0
    shown = capsys.readouterr().out
    assert "root documents: 2, newest " in shown
    assert "\n  tiny 1.0.0  SHA256SUMS " in shown
    (tmp_path / "site/state/state.json").write_bytes(b"{")
    assert run(["state", "show", *place]) == 3
    assert "state-malformed" in capsys.readouterr().err
    assert run(["state", "rebuild", *place, "--root", str(carried.trusted)]) == 0
    assert capsys.readouterr().out == shown
    assert run(["state", "show", *place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"]["epochs"]["2"]["bundles"]["tiny"]["version"] == "1.0.0"


def test_policy_and_override_are_files_that_people_name(
    carried: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(f"schema: appliance.policy/v1\nsite: {SITE}\nlowest_versions: {{tiny: 2.0.0}}\n")
    policy.chmod(0o644)
    named = ["--policy", str(policy)]
    assert take(carried, tmp_path / "site", *named) == 3
    assert "version-below-lowest" in capsys.readouterr().err
    assert run(["verify", str(carried.path), "--root", str(carried.trusted), *named]) == 3
    assert run(["verify", str(carried.path), "--root", str(carried.trusted)]) == 0
    capsys.readouterr()
    assert run(["policy", "show", str(policy)]) == 0
    shown = capsys.readouterr().out
    assert "lowest_versions:\n  tiny: 2.0.0\n" in shown
    assert "demo_keys: allow\n" in shown
    policy.write_text(shown)  # what is shown is a policy again
    assert take(carried, tmp_path / "site", *named) == 3
    policy.write_text("schema: appliance.policy/v1\nsites: x\n")
    assert run(["policy", "show", str(policy)]) == 2
    assert take(carried, tmp_path / "site", *named) == 2

    policy.write_text(f"schema: appliance.policy/v1\nsite: {SITE}\n")
    old = version("0.9.0", expires=NOW).write(tmp_path / "old")
    override = ["--override", str(write_override(old, "expired"))]
    capsys.readouterr()
    assert take(old, tmp_path / "site", *named, *override) == 0
    assert "allowed only by an override: the bundle has expired" in capsys.readouterr().err
    assert take(old, tmp_path / "site", *named, "--override", str(tmp_path / "none")) == 2
    assert "override-unreadable" in capsys.readouterr().err
    again = ["switch", "tiny", "0.9.0", "--site", str(tmp_path / "site"), *named]
    assert run(again) == 3
    assert run([*again, *override, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["overridden"] == ["expired"]
