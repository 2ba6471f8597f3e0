"""``appliance controls``: a list for people, and a component definition that others read."""

import shlex
from pathlib import Path

import pytest

from appliance.cli.main import run
from appliance.steps.documents.controls import read_controls
from appliance.steps.log import export_head
from tests.support.documents import commands
from tests.support.oscal import read
from tests.support.site_log import site_with_history


def definition(tmp_path: Path, name: str = "definition.json") -> bytes:
    assert run(["controls", "--oscal", str(tmp_path / name)]) == 0
    return (tmp_path / name).read_bytes()


def test_people_get_a_line_for_each_control(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["controls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(read_controls().controls)
    assert "SI-7(1)\tSoftware, Firmware, and Information Integrity | Integrity Checks\ttests: 3" in "\n".join(lines)


def test_others_read_the_component_definition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = read(definition(tmp_path))
    assert capsys.readouterr().out == f"{tmp_path / 'definition.json'}\n"
    (implementation,) = content["components"][0]["control-implementations"]
    requirements = {one["control-id"]: one for one in implementation["implemented-requirements"]}
    assert set(requirements) == {control.id for control in read_controls().controls}
    props = [(one["name"], one["value"]) for one in requirements["sc-7.5"]["props"]]
    assert ("sp800-171r3", "03.13.06") in props
    assert ("test", "tests/integration/test_egress.py::test_every_chain_drops_what_nobody_named") in props
    assert requirements["sc-7.5"]["remarks"].startswith("What stays the site's: ")


def test_it_is_the_same_wherever_and_whenever_it_is_made(tmp_path: Path) -> None:
    assert definition(tmp_path, "one.json") == definition(tmp_path, "two.json")


def test_a_place_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["controls", "--oscal", str(tmp_path / "none/definition.json")]) == 2
    assert "(not-writable)" in capsys.readouterr().err


def test_the_commands_of_the_page_write_both_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_with_history(tmp_path)
    (tmp_path / "root.json").write_bytes((tmp_path / "1/root.json").read_bytes())
    (tmp_path / "site.pub.pem").write_bytes((site.root / "receipts/site.pub.pem").read_bytes())
    (tmp_path / "head.json").write_bytes(export_head(site))
    monkeypatch.chdir(tmp_path)
    for command in commands("controls.md", "As OSCAL"):
        program, *arguments = shlex.split(command.replace("/srv/appliance", shlex.quote(str(site.root))))
        assert (program, run(arguments)) == ("appliance", 0)
    assert read(Path("component-definition.json").read_bytes())["components"]
    assert read(Path("results.json").read_bytes())["results"]
