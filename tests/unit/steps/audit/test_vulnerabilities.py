"""What an audit says of bundles by the newest advisories that were carried in."""

from datetime import timedelta
from pathlib import Path

import pytest

from appliance.model.documents.audit import AuditedVulnerability, Report
from appliance.model.progress import Silent
from appliance.steps.audit import Materials, audit, page
from appliance.steps.import_bundle import import_bundle
from appliance.steps.site.evidence import record_install
from appliance.store.site import Site
from tests.support.advisories import kev, tracker, vex, vex_statement
from tests.support.audits import found, install
from tests.support.bundles import NOW, Recipe
from tests.support.known import HOLE, NEWS, OLD, PARTS, WAIVER, bundle, carrier, known


def audited(tmp_path: Path, held: Recipe, *carried: Recipe) -> Report:
    """A site with ``held`` and one host, and bundles that were carried to it."""
    written = held.write(tmp_path / "held")
    site = Site(tmp_path / "a site")
    import_bundle(written.path, written.trusted, site, Silent())
    record_install(site, install(site))
    paths = tuple(recipe.write(tmp_path / f"carried {number}").path for number, recipe in enumerate(carried))
    return audit(Materials(root=written.trusted, site=site, bundles=paths), Silent())


def listed(report: Report) -> dict[str, AuditedVulnerability]:
    """What is listed of the site's own bundle, by id."""
    return {one.id: one for one in report.vulnerabilities[0].listed}


def test_what_became_known_since_the_build_is_told_with_the_hosts_that_run_it(tmp_path: Path) -> None:
    report = audited(tmp_path, bundle(report=known(PARTS, OLD)), carrier(NEWS))
    own = report.vulnerabilities[0]
    assert (own.bundle, own.taken, own.before) == ("tiny 1.0.0", "2026-11-20T12:55:00Z", "2026-11-01T00:00:00Z")
    assert own.advisories.endswith("carried 0/bundle: advisories/today")
    assert own.known == 3
    (hole,) = own.listed
    assert (hole.id, hole.fixed, hole.severity, hole.news, hole.hosts) == (
        HOLE,
        "1.26.3-3+deb13u1",
        "high",
        "known",
        ("gpu1",),
    )
    assert "vulnerabilities-new" in found(report, "note")
    assert report.fits


def test_without_a_report_of_its_own_all_is_new(tmp_path: Path) -> None:
    report = audited(tmp_path, bundle(), carrier(NEWS))
    assert {name: (one.hosts, one.models) for name, one in listed(report).items()} == {
        HOLE: (("gpu1",), ()),  # an OS package of it
        "CVE-2024-34064": (("gpu1",), ("tiny-chat",)),  # in the image that it runs
        "CVE-2020-14343": ((), ()),  # in a wheel that no host said anything of
    }


def test_an_exploit_and_a_fix_are_news_of_what_was_known(tmp_path: Path) -> None:
    before = {**NEWS, "kev.json": kev()}
    report = audited(tmp_path, bundle(report=known(PARTS, before)), carrier(NEWS))
    assert {name: one.news for name, one in listed(report).items()} == {HOLE: "exploited"}


def test_a_fix_is_news(tmp_path: Path) -> None:
    unfixed = {"nginx": {HOLE: {"releases": {"trixie": {"status": "open", "urgency": "high"}}}}}
    before = {**NEWS, "debian.json": tracker(unfixed)}
    report = audited(tmp_path, bundle(report=known(PARTS, before)), carrier(NEWS))
    assert {name: one.news for name, one in listed(report).items()} == {HOLE: "fixed"}


def test_what_the_signed_policy_refuses_today_does_not_fit(tmp_path: Path) -> None:
    policy = {"fail": ({"kev": True},)}
    report = audited(tmp_path, bundle(policy=policy, report=known(PARTS, OLD)), carrier(NEWS))
    assert found(report) == ["vulnerability-refused"]
    assert not report.fits
    (finding,) = (one for one in report.findings if one.severity == "problem")
    assert finding.what.startswith(f"the bundle's policy refuses {HOLE} in nginx 1.26.3-3: high, fixed in 1.26.3-3+deb")
    assert finding.what.endswith("; it is on gpu1")


@pytest.mark.parametrize(("until", "problems"), [("2099-12-31", []), ("2026-01-01", ["vulnerability-refused"])])
def test_a_waiver_lets_pass_until_it_ends(until: str, problems: list[str], tmp_path: Path) -> None:
    policy = {"fail": ({"severity": ("critical",)},), "waived": ({**WAIVER, "until": until},)}
    report = audited(tmp_path, bundle(policy=policy, report=known(PARTS, OLD)), carrier(NEWS))
    assert found(report) == problems


STATED = vex(vex_statement("CVE-2020-14343", "pkg:pypi/pyyaml@5.3.1"))


@pytest.mark.parametrize(("until", "problems"), [("2099-12-31", []), ("2026-01-01", ["vulnerability-refused"])])
def test_a_statement_that_was_carried_in_lets_pass_until_it_ends(
    until: str, problems: list[str], tmp_path: Path
) -> None:
    held = bundle(policy={"fail": ({"severity": ("critical",)},)}, report=known(PARTS, OLD))
    report = audited(tmp_path, held, carrier({**NEWS, "openvex.json": STATED}, vex_until=until))
    assert found(report) == problems
    told = f"not_affected until {until}: vulnerable_code_not_in_execute_path; The loader is never called. Ada."
    assert told in page(report)


def test_statements_of_a_later_bundle_count_with_the_same_snapshot(tmp_path: Path) -> None:
    held = bundle(policy={"fail": ({"severity": ("critical",)},)}, report=known(PARTS, OLD))
    earlier = carrier(NEWS).but(created=NOW - timedelta(hours=5))
    later = carrier({**NEWS, "openvex.json": STATED}, "3.0.0", vex_until="2099-12-31")
    assert found(audited(tmp_path, held, earlier, later)) == []


def test_statements_without_a_signed_last_day_do_not_fit(tmp_path: Path) -> None:
    report = audited(tmp_path, bundle(), carrier({**NEWS, "openvex.json": STATED}))
    assert found(report) == ["advisories-unreadable"]


def test_the_newest_advisories_count_wherever_they_are(tmp_path: Path) -> None:
    stale = carrier(OLD, "3.0.0", taken="2026-11-02T00:00:00Z")
    report = audited(tmp_path, bundle(report=known(PARTS, OLD)), carrier(NEWS), stale)
    assert set(listed(report)) == {HOLE}
    assert report.vulnerabilities[0].advisories.endswith("carried 0/bundle: advisories/today")


def test_a_time_in_the_future_makes_no_snapshot_the_newest(tmp_path: Path) -> None:
    old, news = (carrier(files, taken="2099-01-01T00:00:00Z") for files in (OLD, NEWS))
    report = audited(tmp_path, bundle(report=known(PARTS, OLD)), old.but(created=NOW - timedelta(days=3)), news)
    assert set(listed(report)) == {HOLE}


def test_advisories_that_cannot_be_read_do_not_fit(tmp_path: Path) -> None:
    report = audited(tmp_path, bundle(), carrier({**NEWS, "kev.json": b"{"}))
    assert found(report) == ["advisories-unreadable"]
    assert report.vulnerabilities == ()


def test_where_no_bundle_carries_advisories_the_page_says_that_nobody_asked(tmp_path: Path) -> None:
    report = audited(tmp_path, bundle())
    assert (report.vulnerabilities, report.fits) == ((), True)
    assert "none carries advisories" in page(report)


def test_the_page_shows_it(tmp_path: Path) -> None:
    text = page(audited(tmp_path, bundle(report=known(PARTS, OLD)), carrier(NEWS)))
    assert "What became known since they were built" in text
    assert HOLE in text
    assert "none carries advisories" not in text
