"""``appliance audit``: a page for people, JSON for programs, and exit code 3 when something does not fit."""

import hashlib
import json
import stat
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from appliance.cli.main import run
from tests.support.oscal import read
from tests.support.site_log import site_with_history


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return site_with_history(tmp_path).root


def command(site: Path, *options: str) -> list[str]:
    return ["audit", "--site", str(site), "--root", str(site.parent / "1/root.json"), *options]


def test_people_get_a_page(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "a report.html"
    assert run(command(site, "--out", str(page))) == 0
    output = capsys.readouterr()
    assert output.out == f"{page}\n"
    assert "everything fits together" in output.err
    assert page.read_text().startswith("<!DOCTYPE html>\n<html lang")
    assert stat.S_IMODE(page.stat().st_mode) == 0o644


def test_programs_get_json(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(site, "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["fits"], len(report["bundles"])) == ("appliance.audit/v1", True, 2)


def test_what_does_not_fit_is_exit_code_3_and_the_report_is_there(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "current/tiny").unlink()
    page = tmp_path / "report.html"
    assert run(command(site, "--out", str(page), "--json")) == 3
    assert json.loads(capsys.readouterr().out)["findings"][0]["reference"] == "current-not-in-log"
    assert "current-not-in-log" in page.read_text()
    assert run(command(site, "--out", str(page), "--quiet")) == 3
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("problem: no version of tiny is current")


def test_a_bundle_alone_needs_no_site(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = site.parent / "1/bundle"
    assert run(["audit", "--bundle", str(bundle), "--root", str(bundle.with_name("root.json")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["site"] is None


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ((), "usage"),
        (("--out", "{folder}/none/report.html"), "not-writable"),
        (("--oscal", "{folder}/none/results.json"), "not-writable"),
        (("--out", "{folder}/report", "--oscal", "{folder}/report"), "usage"),
    ],
)
def test_wrong_usage_is_told(
    options: tuple[str, ...], reference: str, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(site, *(option.format(folder=site) for option in options))) == 2
    assert f"({reference})" in capsys.readouterr().err
    assert run(command(site / "none", "--json")) == 2
    assert json.loads(capsys.readouterr().out)["error"]["reference"] == "directory-unreadable"


def test_programs_for_controls_get_assessment_results(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, results = tmp_path / "report.html", tmp_path / "results.json"
    assert run(command(site, "--out", str(page), "--oscal", str(results), "--quiet")) == 0
    assert capsys.readouterr().out == f"{page}\n{results}\n"
    content = read(results.read_bytes())
    (linked,) = (one for one in content["back-matter"]["resources"] if one["title"] == "The report for people")
    assert linked["rlinks"][0]["hashes"][0]["value"] == hashlib.sha256(page.read_bytes()).hexdigest()
    assert stat.S_IMODE(results.stat().st_mode) == 0o644


def test_links_lead_from_the_results_to_what_they_name(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As whoever reads them resolves them, wherever the command was run."""
    for name in ("html", "a folder#1", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    results = Path("a folder#1/results.json")
    files = ("--out", "html/a report.html", "--oscal", str(results))
    assert run(["audit", "--site", str(site), "--bundle", "1/bundle", "--root", "1/root.json", *files]) == 0
    monkeypatch.chdir(tmp_path / "elsewhere")
    links = [
        link
        for one in read((tmp_path / results).read_bytes())["back-matter"]["resources"]
        for link in one.get("rlinks", ())
    ]
    assert {"../html/a%20report.html", "../1/bundle/SHA256SUMS"} < {link["href"] for link in links}
    for link in links:
        address = urlsplit(urljoin((tmp_path / results).as_uri(), link["href"]))
        data = Path(unquote(address.path)).read_bytes()
        assert hashlib.sha256(data).hexdigest() == link["hashes"][0]["value"]


def test_a_site_with_nothing_is_not_satisfying(site: Path, tmp_path: Path) -> None:
    empty, results = tmp_path / "empty", tmp_path / "results.json"
    empty.mkdir()
    assert run(["audit", "--site", str(empty), "--root", str(tmp_path / "1/root.json"), "--oscal", str(results)]) == 3
    states = {one["target"]["status"]["state"] for one in read(results.read_bytes())["results"][0]["findings"]}
    assert states == {"not-satisfied"}


def test_what_does_not_fit_is_exit_code_3_and_the_results_say_so(site: Path, tmp_path: Path) -> None:
    (site / "current/tiny").unlink()
    results = tmp_path / "results.json"
    assert run(command(site, "--oscal", str(results))) == 3
    findings = read(results.read_bytes())["results"][0]["findings"]
    states = {one["target"]["target-id"]: one["target"]["status"]["state"] for one in findings}
    assert states["cm-3_obj.appliance"] == "not-satisfied"
    assert states["si-7.1_obj.appliance"] == "satisfied"
