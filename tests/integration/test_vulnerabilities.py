"""A wheel with a published hole, from the command line: told, refused, waived, and refused when that has ended."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.advisories import PYPI, osv_archive, snapshot
from tests.support.documents import DOCS, commands
from tests.support.project import DEFINITION, Project
from tests.support.simple_index import SimpleIndex, serving
from tests.support.wheels import write_wheel

pytestmark = pytest.mark.integration

_HELD = """\
wheels:
  control:
    python: "3.13"
    platform: x86_64-manylinux_2_41
    requirements: ["PyYAML==5.3.1", "idna==3.10"]
    indexes:
      - {name: ours, url: "%s", packages: [pyyaml, idna]}
    licence: MIT
advisories:
  today:
    directory: day
    licence: various
"""
_POLICY = """\
vulnerabilities:
  fail:
    - {severity: [critical, high], fixed: true}
    - {kev: true}
"""
_WAIVER = """\
  waived:
    - id: CVE-2020-14343
      part: wheels/control/*
      reason: The full loader reads nothing of others. Ada, 2026-11-20.
      until: "2026-12-31"
"""
# date --date=2026-12-31T23:59:59Z +%s, and a second later
_LAST_DAY, _DAY_AFTER = "1798761599", "1798761600"


@pytest.fixture
def definition(project: Project, tmp_path: Path) -> Iterator[str]:
    """What the definition holds: an old PyYAML, a newer idna, and advisories that know of both."""
    for name, data in snapshot().items():
        (project.folder / "day").mkdir(exist_ok=True)
        (project.folder / "day" / name).write_bytes(data)
    with serving(SimpleIndex(tmp_path / "index")) as served:
        write_wheel(served.folder, "pyyaml", "5.3.1")
        write_wheel(served.folder, "idna", "3.10")
        yield DEFINITION + _HELD % served.url


def lock(project: Project, text: str) -> None:
    (project.folder / "small.yaml").write_text(text)
    locked = project.run("lock", "small.yaml")
    assert locked.returncode == 0, locked.stderr


def test_what_is_known_is_in_the_evidence_and_the_same_elsewhere(
    project: Project, definition: str, tmp_path: Path
) -> None:
    lock(project, definition)
    built = project.build()
    assert built.returncode == 0, built.stderr
    assert "Known vulnerabilities: 1 critical; advisories of 2026-11-20T12:55:00Z" in built.stderr
    report = json.loads((project.bundle / "evidence/vulnerabilities.json").read_text())
    (hole,) = report["vulnerabilities"]
    assert (hole["id"], hole["version"], hole["fixed"]) == ("CVE-2020-14343", "5.3.1", "5.4")
    other = project.copy(tmp_path / "elsewhere")
    assert other.build("--out", "again", SOURCE_DATE_EPOCH=_LAST_DAY).returncode == 0
    assert (other.folder / "again/small-1.0.0/SHA256SUMS").read_text() == project.sums()
    assert project.run("verify", "dist/small-1.0.0", "--root", "key.root.json").returncode == 0


def test_what_the_policy_names_stops_the_build_until_it_is_waived(project: Project, definition: str) -> None:
    lock(project, definition + _POLICY)
    refused = project.build("--json")
    assert refused.returncode == 2
    error = json.loads(refused.stdout)["error"]
    assert error["reference"] == "vulnerability-refused"
    assert error["what"] == "CVE-2020-14343 in pyyaml 5.3.1: critical, fixed in 5.4"
    assert not project.bundle.exists()
    lock(project, definition + _POLICY + _WAIVER)
    waived = project.build(SOURCE_DATE_EPOCH=_LAST_DAY)
    assert waived.returncode == 0, waived.stderr
    report = json.loads((project.bundle / "evidence/vulnerabilities.json").read_text())
    assert (report["waived"][0]["met"], report["waived"][0]["until"]) == (1, "2026-12-31")
    assert "until: '2026-12-31'" in (project.bundle / "evidence/lock.yaml").read_text()
    shown = subprocess.run(
        ["sh", "-eu", "-c", *commands("vulnerabilities.md", "Read the report")],
        cwd=project.bundle,
        capture_output=True,
        text=True,
        check=True,
    )
    hole, waiver, *gaps = shown.stdout.splitlines()
    assert hole.split("\t")[:5] == ["critical", "CVE-2020-14343", "pyyaml", "5.3.1", "fixed: 5.4"]
    assert waiver.startswith("CVE-2020-14343 wheels/control/* until 2026-12-31: The full loader")
    assert gaps == []


def test_a_waiver_that_has_ended_stops_the_build(project: Project, definition: str) -> None:
    lock(project, definition + _POLICY + _WAIVER)
    ended = project.build(SOURCE_DATE_EPOCH=_DAY_AFTER)
    assert ended.returncode == 2
    assert "the waiver of CVE-2020-14343 ended on 2026-12-31" in ended.stderr
    assert not project.bundle.exists()


def statements() -> str:
    """The document that the manual shows."""
    (shown,) = re.findall(r"```json\n(.*?)```", (DOCS / "vulnerabilities.md").read_text(), re.DOTALL)
    return str(shown)


def test_a_statement_of_the_security_team_lets_pass_until_its_last_day(project: Project, definition: str) -> None:
    (project.folder / "vex").mkdir()
    (project.folder / "vex/openvex.json").write_text(statements())
    lock(project, f'{definition}    vex: {{directory: vex, until: "2026-12-31"}}\n{_POLICY}')
    ended = project.build(SOURCE_DATE_EPOCH=_DAY_AFTER)
    assert ended.returncode == 2
    assert "not_affected until 2026-12-31: vulnerable_code_not_in_execute_path" in ended.stderr
    built = project.build(SOURCE_DATE_EPOCH=_LAST_DAY)
    assert built.returncode == 0, built.stderr
    assert (project.bundle / "advisories/today/openvex.json").read_text() == statements()
    shown = project.run("inspect", "dist/small-1.0.0").stdout
    assert "fixed in 5.4, not_affected until 2026-12-31: vulnerable_code_not_in_execute_path; Only the safe" in shown


def test_a_statement_that_was_changed_or_says_what_we_do_not_read_stops(project: Project, definition: str) -> None:
    place = project.folder / "vex/openvex.json"
    place.parent.mkdir()
    place.write_text(statements())
    text = f'{definition}    vex: {{directory: vex, until: "2026-12-31"}}\n'
    lock(project, text)
    place.write_text(statements().replace("5.3.1", "5.3.2"))
    stale = project.build()
    assert stale.returncode != 0
    assert "openvex.json has changed since it was locked" in stale.stderr
    place.write_text(statements().replace('"status"', '"subcomponents": [], "status"'))
    refused = project.run("lock", "small.yaml", "--all")
    assert refused.returncode == 2
    assert "openvex.json: statements.0.subcomponents" in refused.stderr


def test_a_policy_without_advisories_is_refused(project: Project) -> None:
    lock(project, DEFINITION + _POLICY)
    refused = project.build()
    assert refused.returncode == 2
    assert "advisories-missing" in refused.stderr


def test_a_snapshot_that_is_carried_in_alone_tells_of_what_was_built_before(project: Project, definition: str) -> None:
    (project.folder / "day/osv-pypi.zip").write_bytes(osv_archive(PYPI[:1]))
    (project.folder / "day/epss.csv.gz").unlink()
    lock(project, definition + _POLICY)
    assert project.build().returncode == 0
    (project.folder / "later").mkdir()
    for name, data in snapshot().items():
        (project.folder / "later" / name).write_bytes(data)
    head, _, _ = DEFINITION.replace("name: small", "name: news").partition("weights:")
    (project.folder / "news.yaml").write_text(f"{head}advisories:\n  later: {{directory: later, licence: various}}\n")
    for verb in (("lock", "news.yaml"), ("build", "news.yaml", "--key", "key.pem")):
        done = project.run(*verb)
        assert done.returncode == 0, done.stderr
    bundles = ("--bundle", "dist/small-1.0.0", "--bundle", "dist/news-1.0.0")
    audited = project.run("audit", *bundles, "--root", "key.root.json", "--json")
    report = json.loads(audited.stdout)
    small, news = report["vulnerabilities"]
    assert (small["bundle"], small["taken"], small["before"]) == (
        *("small 1.0.0", "2026-11-20T12:55:00Z"),
        "2026-11-19T15:00:14Z",
    )
    (hole,) = small["listed"]
    assert (hole["id"], hole["fixed"], hole["news"], hole["refused"]) == ("CVE-2020-14343", "5.4", "known", True)
    assert (news["known"], news["listed"]) == (0, [])
    assert "the bundle's policy refuses CVE-2020-14343 in pyyaml 5.3.1" in audited.stdout
