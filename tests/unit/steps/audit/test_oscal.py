"""An audit as assessment results: what is satisfied was looked at, and nothing is claimed of what was not."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from appliance.formats.oscal import prose
from appliance.model.documents.audit import Report, problem
from appliance.model.progress import Silent
from appliance.steps.audit import Materials, audit
from appliance.steps.audit.oscal import assessment_results
from appliance.steps.documents.controls import read_controls
from appliance.steps.log import export_head
from appliance.steps.site.evidence import record_install
from appliance.store.log import Log
from appliance.store.site import Site
from tests.support.audits import IMAGE, WEIGHTS, flipped_file, found, install
from tests.support.bundles import Recipe, Written
from tests.support.known import NEWS, carrier
from tests.support.known import bundle as vulnerable
from tests.support.oscal import read
from tests.support.site_log import receipts
from tests.unit.steps.audit.test_vulnerabilities import audited

CONTROLS = read_controls()
# What a site without advisories can be judged by, if the auditor brings all that they can.
JUDGED = {one.id for one in CONTROLS.controls if one.needs and "snapshot" not in one.needs}


def results(report: Report) -> dict[str, Any]:
    return read(assessment_results(report, CONTROLS, Path("/")))


def states(content: dict[str, Any]) -> dict[str, str]:
    """Of each control that something is said of."""
    targets = (one["target"] for one in content["results"][0]["findings"])
    return {one["target-id"].removesuffix("_obj.appliance"): one["status"]["state"] for one in targets}


def not_satisfied(content: dict[str, Any]) -> set[str]:
    return {control for control, state in states(content).items() if state == "not-satisfied"}


def test_where_everything_fits_all_that_was_looked_at_is_satisfied(materials: Materials) -> None:
    content = results(audit(materials, Silent()))
    assert states(content) == dict.fromkeys(JUDGED, "satisfied")
    (result,) = content["results"]
    selected = result["reviewed-controls"]["control-selections"][0]["include-controls"]
    assert {one["control-id"] for one in selected} == JUDGED
    assert "RA-5" in result["remarks"]
    assert {one["target"]["implementation-status"]["state"] for one in result["findings"]} == {"partial"}


def test_nothing_is_said_of_what_an_auditor_did_not_bring(materials: Materials) -> None:
    bare = results(audit(replace(materials, key=None, heads=(), base=None), Silent()))
    assert JUDGED - set(states(bare)) == {"au-9.3", "au-10", "cm-7.5"}
    own_key = results(audit(replace(materials, key=None), Silent()))
    assert JUDGED - set(states(own_key)) == {"au-9.3", "au-10"}


def test_a_bundle_alone_says_nothing_of_logs_and_hosts(materials: Materials, site: Site) -> None:
    (held,) = site.bundles()
    content = results(audit(Materials(root=materials.root, site=None, bundles=(held,)), Silent()))
    assert states(content) == dict.fromkeys(["sc-12", "si-7.1", "si-7.15"], "satisfied")


def edit_log(site: Site) -> None:
    log = Log(site.root).path
    log.write_bytes(log.read_bytes().replace(b"signer 12", b"signer 99", 1))


def run_a_stranger(site: Site) -> None:
    image = {"tiny-chat": {"image": f"sha256:{'9' * 64}", "weights": "9" * 64}}
    record_install(site, install(site, models=image))


def stop_a_unit(site: Site) -> None:
    record_install(site, install(site, idle=("logrotate.timer",)))


def remove_current(site: Site) -> None:
    (site.root / "current/tiny").unlink()


def other_packages(site: Site) -> None:
    record_install(site, install(site, packages={"nginx": "1.26.3-3", "nmap": "7.95"}))


@pytest.mark.parametrize(
    ("damage", "speaks_against", "leaves"),
    [
        (flipped_file, {"si-7", "si-7.1", "si-7.15", "cm-14", "mp-5", "cm-5", "au-10"}, {"au-9", "cm-6"}),
        (edit_log, {"au-9", "au-9.3", "cm-3", "cm-5", "mp-5"}, {"si-7.1", "si-7.15", "sc-12"}),
        (run_a_stranger, {"si-7", "cm-2", "cm-7.5", "cm-8"}, {"si-7.1", "au-9", "cm-14"}),
        (stop_a_unit, {"cm-6"}, JUDGED - {"cm-6"}),
        (remove_current, {"cm-3", "cm-5", "cm-14"}, JUDGED - {"cm-3", "cm-5", "cm-14"}),
        (other_packages, {"cm-7.5"}, JUDGED - {"cm-7.5"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_does_not_fit_speaks_against_its_controls(
    damage: Callable[[Site], object], speaks_against: set[str], leaves: set[str], site: Site, materials: Materials
) -> None:
    damage(site)
    content = results(audit(materials, Silent()))
    assert speaks_against <= not_satisfied(content)
    assert not leaves & not_satisfied(content)
    (result,) = content["results"]
    told = {one["uuid"]: one for one in result["observations"]}
    for finding in result["findings"]:
        if finding["target"]["status"]["state"] == "not-satisfied":
            kinds = {kind for one in finding["related-observations"] for kind in told[one["observation-uuid"]]["types"]}
            assert "finding" in kinds


def test_hosts_are_not_judged_by_what_a_broken_log_leaves_of_them(site: Site, materials: Materials) -> None:
    """Else a byte in the log would hide that a host runs what no bundle has."""
    image = {"tiny-chat": {"image": f"sha256:{'9' * 64}", "weights": "9" * 64}}
    record_install(site, install(site, models=image, idle=("logrotate.timer",)))
    of_hosts = {one.id for one in CONTROLS.controls if "host" in one.needs and "snapshot" not in one.needs}
    assert not_satisfied(results(audit(materials, Silent()))) == of_hosts
    log = Log(site.root).path
    *before, last = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*before, b"x", last]))
    report = audit(materials, Silent())
    assert (found(report), len(report.hosts)) == (["log-broken"], 1)
    assert of_hosts <= not_satisfied(results(report))


def test_what_is_known_of_bundles_is_not_judged_by_some_of_them(tmp_path: Path) -> None:
    """A bundle that is refused is not looked up, and may have what its own policy refuses."""
    held = vulnerable(policy={"fail": ({"kev": True},)}).write(tmp_path / "held")
    news = carrier(NEWS).write(tmp_path / "news")
    (held.path / "SHA256SUMS").write_bytes(b"")
    content = results(audit(Materials(root=held.trusted, site=None, bundles=(held.path, news.path)), Silent()))
    assert {one.id for one in CONTROLS.controls if "bundle" in one.needs} <= not_satisfied(content)


def test_a_problem_that_no_control_names_counts_against_all(materials: Materials) -> None:
    report = audit(materials, Silent())
    strange = report.model_copy(update={"findings": (problem("never-heard-of", "something else is wrong"),)})
    assert not_satisfied(results(strange)) == {one.id for one in CONTROLS.controls if one.needs}


@pytest.mark.parametrize(
    ("policy", "carried", "state"),
    [
        (None, carrier(NEWS), "satisfied"),
        ({"fail": ({"kev": True},)}, carrier(NEWS), "not-satisfied"),
        (None, carrier({**NEWS, "kev.json": b"{"}), "not-satisfied"),
    ],
    ids=["looked up", "refused by the signed policy", "unreadable"],
)
def test_vulnerabilities_are_judged_where_advisories_were_carried_in(
    policy: dict[str, Any] | None, carried: Recipe, state: str, tmp_path: Path
) -> None:
    found = states(results(audited(tmp_path, vulnerable(policy=policy), carried)))
    assert (found["ra-5"], found["si-2"], found["si-7.1"]) == (state, state, "satisfied")


def test_evidence_is_there_by_its_digest(materials: Materials, site: Site) -> None:
    content = results(audit(replace(materials, auditor="Jane Doe"), Silent()))
    (held,) = site.bundles()
    sums = hashlib.sha256((held / "SHA256SUMS").read_bytes()).hexdigest()
    links = [link for one in content["back-matter"]["resources"] for link in one.get("rlinks", ())]
    assert [link["hashes"][0]["value"] for link in links] == [sums]
    values = [prop["value"] for one in content["results"][0]["observations"] for prop in one["props"]]
    files = [*receipts(site), *materials.heads]
    assert {hashlib.sha256(file.read_bytes()).hexdigest() for file in files} < set(values)
    log = Log(site.root).path.read_bytes().splitlines(keepends=True)
    assert {hashlib.sha256(log[-1]).hexdigest(), IMAGE} < set(values)
    assert content["metadata"]["parties"][0]["name"] == "Jane Doe"


def test_a_host_is_told_with_all_its_weights(site: Site, materials: Materials) -> None:
    model = {"tiny-chat": {"image": IMAGE, "weights": WEIGHTS, "beside": {"tiny-legal": "7" * 64}}}
    record_install(site, install(site, models=model))
    told = results(audit(materials, Silent()))["results"][0]["observations"]
    props = [prop for one in told for prop in one["props"] if prop["name"] == "weights"]
    assert [(prop["value"], prop["remarks"]) for prop in props] == [
        (WEIGHTS, "tiny\\-chat"),
        ("7" * 64, "tiny\\-chat, with tiny\\-legal"),
    ]


def test_the_report_for_people_is_named_by_its_digest(materials: Materials) -> None:
    page = Path("/audits/report.html"), b"a page"
    content = read(assessment_results(audit(materials, Silent()), CONTROLS, Path("/audits"), page))
    (told,) = (one for one in content["back-matter"]["resources"] if one["title"] == "The report for people")
    assert told["rlinks"][0]["href"] == "report.html"
    assert told["rlinks"][0]["hashes"][0]["value"] == hashlib.sha256(b"a page").hexdigest()


def test_a_link_leads_out_of_a_folder_that_is_a_symbolic_link(materials: Materials, tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    folder = tmp_path / "results"
    folder.symlink_to("deep/er")
    page = tmp_path / "report.html"
    page.write_bytes(b"a page")
    content = read(assessment_results(audit(materials, Silent()), CONTROLS, folder, (page, b"a page")))
    links = [link["href"] for one in content["back-matter"]["resources"] for link in one.get("rlinks", ())]
    assert len(links) == 2
    assert all((folder / unquote(link)).is_file() for link in links)


def test_what_an_auditor_gives_twice_is_there_once(materials: Materials, site: Site, tmp_path: Path) -> None:
    (held,) = site.bundles()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    export = elsewhere / materials.heads[0].name  # the same name, another moment
    export.write_bytes(export_head(site))
    again = replace(materials, bundles=(held,), heads=(*materials.heads, *materials.heads, export))
    assert states(results(audit(again, Silent()))) == dict.fromkeys(JUDGED, "satisfied")


def test_a_path_need_not_be_text(materials: Materials, carried: Written, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a \xff:#b"))
    carried.path.rename(odd)
    content = results(audit(Materials(root=materials.root, site=None, bundles=(odd,)), Silent()))
    (link,) = (link for one in content["back-matter"]["resources"] for link in one.get("rlinks", ()))
    assert link["href"].endswith("/a%20%FF%3A%23b/SHA256SUMS")


def test_the_same_report_gives_the_same_bytes(materials: Materials) -> None:
    report = audit(materials, Silent())
    folder = Path("/")
    assert assessment_results(report, CONTROLS, folder) == assessment_results(report, CONTROLS, folder)


def test_text_of_others_is_no_markdown_and_has_one_line(materials: Materials, tmp_path: Path) -> None:
    report = audit(materials, Silent())
    evil = "![x](https://elsewhere.example/) <b>`rm`\n# all is well\u202e"
    host = report.hosts[0]
    install = host.install.model_copy(update={"host": evil, "system": evil})
    changes = {
        "findings": (problem("host-unit-idle", evil, evil),),
        "hosts": (host.model_copy(update={"install": install}),),
    }
    data = assessment_results(report.model_copy(update=changes), CONTROLS, Path("/"))
    read(data)
    (told,) = (one for one in json.loads(data)["assessment-results"]["results"][0]["observations"] if "title" in one)
    assert told["description"] == prose(evil)
    assert "![" not in told["description"]
    assert "](" not in told["description"]
    assert "\\n\\# all is well" in told["description"].replace("\\\\n", "\\n")
    assert "\u202e" not in data.decode()
