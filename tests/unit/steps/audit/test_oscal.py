"""An audit as assessment results: what is satisfied was looked at, and nothing is claimed of what was not."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import Failed
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
from tests.support.audits import IMAGE, flipped_file, install
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
    return read(assessment_results(report, CONTROLS))


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


def test_where_nothing_was_looked_at_nothing_is_written(materials: Materials) -> None:
    report = audit(materials, Silent())
    nothing = {"bundles": (), "receipts": (), "hosts": (), "log": None, "findings": (), "site_key": None, "base": False}
    with pytest.raises(Failed, match="nothing can be said"):
        assessment_results(report.model_copy(update=nothing), CONTROLS)


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


def test_the_report_for_people_is_named_by_its_digest(materials: Materials) -> None:
    content = read(assessment_results(audit(materials, Silent()), CONTROLS, ("report.html", b"a page")))
    (page,) = (one for one in content["back-matter"]["resources"] if one["title"] == "The report for people")
    assert page["rlinks"][0]["href"] == "report.html"
    assert page["rlinks"][0]["hashes"][0]["value"] == hashlib.sha256(b"a page").hexdigest()


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
    assert assessment_results(report, CONTROLS) == assessment_results(report, CONTROLS)


def test_text_of_others_is_no_markdown_and_has_one_line(materials: Materials, tmp_path: Path) -> None:
    report = audit(materials, Silent())
    evil = "![x](https://elsewhere.example/) <b>`rm`\n# all is well\u202e"
    host = report.hosts[0]
    install = host.install.model_copy(update={"host": evil, "system": evil})
    changes = {
        "findings": (problem("host-unit-idle", evil, evil),),
        "hosts": (host.model_copy(update={"install": install}),),
    }
    data = assessment_results(report.model_copy(update=changes), CONTROLS)
    read(data)
    (told,) = (one for one in json.loads(data)["assessment-results"]["results"][0]["observations"] if "title" in one)
    assert told["description"] == prose(evil)
    assert "![" not in told["description"]
    assert "](" not in told["description"]
    assert "\\n\\# all is well" in told["description"].replace("\\\\n", "\\n")
    assert "\u202e" not in data.decode()
