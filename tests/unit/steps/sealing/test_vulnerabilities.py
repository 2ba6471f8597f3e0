"""The report of what is known of a bundle, and what it takes for a build to go on."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.errors import BadInput
from appliance.model.documents.definition import DEFINITION_SCHEMA, DefinitionHead
from appliance.model.documents.lock import LOCK_SCHEMA, Lock, LockedArtifact
from appliance.model.documents.vulnerabilities import Condition, VulnerabilityPolicy, VulnerabilityReport, Waiver
from appliance.model.progress import Silent
from appliance.steps.sealing.vulnerabilities import (
    check_vulnerabilities,
    check_waivers,
    known_vulnerabilities,
    report_text,
)
from tests.support.advisories import BAD, part_of, snapshot, vex, vex_statement
from tests.support.described import World

PARTS = tuple(part_of(package, version) for package, version, *_ in BAD)
REASON = "The full loader is never used here. Ada, 2026-11-20."
TODAY = datetime(2026, 11, 22, tzinfo=UTC)
PYYAML = {"id": "GHSA-8q59-q68h-6hv4", "part": "wheels/some/*", "reason": REASON, "until": "2026-12-31"}


class Told(Silent):
    """Keeps what people are told."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, text: str) -> None:
        self.steps.append(text)


def head(policy: Mapping[str, Any] | None) -> DefinitionHead:
    """As a definition with this policy has it."""
    told = None if policy is None else VulnerabilityPolicy.model_validate_json(json.dumps(policy))
    return DefinitionHead(
        schema_=DEFINITION_SCHEMA, name="small", version="1.0.0", description="bad", vulnerabilities=told
    )


def lock(world: World, policy: Mapping[str, Any] | None = None, *names: str, **files: bytes) -> Lock:
    """With a snapshot for each of ``names``."""
    artifacts = tuple(
        LockedArtifact(
            kind="advisories",
            name=name,
            definition="0" * 64,
            licence="various",
            source={"type": "directory", "directory": "day", "taken": "2026-11-20T12:55:00Z"},
            files=tuple(world.put(path, data, None) for path, data in {**snapshot(), **files}.items()),
        )
        for name in names
    )
    return Lock(schema_=LOCK_SCHEMA, bundle=head(policy), artifacts=artifacts)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def report(world: World, policy: Mapping[str, Any] | None = None) -> VulnerabilityReport:
    found = known_vulnerabilities(lock(world, policy, "today"), PARTS, world.context.sink)
    assert found is not None
    return found


def refusals(world: World, policy: Mapping[str, Any]) -> list[str]:
    """What stops the build, a line for each vulnerability of a part."""
    progress = Told()
    try:
        check_vulnerabilities(report(world, policy), head(policy), TODAY, progress)
    except BadInput as error:
        problems = (problem for problem in error.problems if problem.reference == "vulnerability-refused")
        return [f"{problem.where}: {problem.what}" for problem in problems]
    return []


def test_the_report_tells_of_each_and_by_which_snapshot(world: World) -> None:
    text = report_text(report(world))
    told = json.loads(text)
    assert (told["schema"], told["advisories"], told["taken"]) == (
        "appliance.vulnerabilities/v1",
        "today",
        "2026-11-20T12:55:00Z",
    )
    assert (told["matched"], len(told["vulnerabilities"])) == (len(BAD), len(BAD))
    assert {one["id"]: one["fixed"] for one in told["vulnerabilities"]}["CVE-2024-2961"] == "2.36-9+deb12u6"
    assert text == report_text(VulnerabilityReport.model_validate_json(text))


def test_a_bundle_without_advisories_has_no_report(world: World) -> None:
    assert known_vulnerabilities(lock(world), PARTS, world.context.sink) is None
    check_vulnerabilities(None, head(None), TODAY, Told())


@pytest.mark.parametrize(
    ("policy", "names", "reference"),
    [({"fail": [{"kev": True}]}, (), "advisories-missing"), (None, ("a", "b"), "advisories-several")],
)
def test_a_policy_needs_one_snapshot(
    policy: Mapping[str, Any] | None, names: tuple[str, ...], reference: str, world: World
) -> None:
    with pytest.raises(BadInput) as caught:
        known_vulnerabilities(lock(world, policy, *names), PARTS, world.context.sink)
    assert caught.value.reference == reference


def test_a_snapshot_that_cannot_be_read_stops_the_build(world: World) -> None:
    with pytest.raises(BadInput, match=r"kev\.json") as caught:
        known_vulnerabilities(lock(world, None, "a", **{"kev.json": b"{"}), PARTS, world.context.sink)
    assert caught.value.reference == "advisories-unreadable"


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ({"severity": ["critical"], "fixed": True}, {"CVE-2020-14343", "CVE-2023-49083"}),
        ({"severity": ["critical", "high"]}, {"CVE-2020-14343", "CVE-2023-49083", "CVE-2023-37920"}),
        ({"kev": True}, {"CVE-2023-4863", "CVE-2021-4034"}),
        ({"epss": 0.25}, {"CVE-2023-38545", "CVE-2021-4034"}),
        ({"epss": 0.25, "kev": True}, {"CVE-2021-4034"}),
        ({"fixed": False}, set()),
    ],
)
def test_what_meets_all_of_a_condition_stops_the_build(
    condition: Mapping[str, Any], ids: set[str], world: World
) -> None:
    refused = refusals(world, {"fail": [condition]})
    assert {line.partition(": ")[2].split()[0] for line in refused} == ids


def test_a_refusal_says_what_where_and_what_would_mend_it(world: World) -> None:
    assert refusals(world, {"fail": [{"kev": True, "epss": 0.9}]}) == [
        "os-packages/some/libpolicykit-1_0.105-31: CVE-2021-4034 in policykit-1 0.105-31: unknown, "
        "fixed in 0.105-31+deb11u1, known to be exploited, EPSS 0.94"
    ]


def test_without_a_condition_nothing_stops_the_build_and_all_is_told(world: World) -> None:
    progress = Told()
    check_vulnerabilities(report(world), head(None), TODAY, progress)
    assert progress.steps == [
        "Known vulnerabilities: 2 critical, 1 high, 5 medium, 6 unknown; advisories of 2026-11-20T12:55:00Z"
    ]


def test_a_waiver_lets_its_vulnerability_of_its_parts_pass(world: World) -> None:
    fail = [{"severity": ["critical"]}]
    assert len(refusals(world, {"fail": fail})) == 2
    assert len(refusals(world, {"fail": fail, "waived": [PYYAML]})) == 1
    assert len(refusals(world, {"fail": fail, "waived": [{**PYYAML, "part": "wheels/other/*"}]})) == 2
    assert len(refusals(world, {"fail": fail, "waived": [{**PYYAML, "id": "CVE-2020-1434"}]})) == 2
    (waived,) = report(world, {"waived": [PYYAML]}).waived
    assert (waived.met, waived.reason, waived.until) == (1, REASON, "2026-12-31")


def stated(world: World, until: str = "2026-12-31", **changes: object) -> list[str]:
    """What stops a build for all that is critical, with a statement on PyYAML's hole."""
    statement = {**vex_statement("GHSA-8q59-q68h-6hv4", "pkg:pypi/pyyaml@5.3.1"), **changes}
    made = lock(world, None, "today", **{"openvex.json": vex(statement)})
    source = {**made.artifacts[0].source, "vex_directory": "vex", "vex_until": until}
    artifact = made.artifacts[0].model_copy(update={"source": source})
    found = known_vulnerabilities(made.model_copy(update={"artifacts": (artifact,)}), PARTS, world.context.sink)
    try:
        check_vulnerabilities(found, head({"fail": [{"severity": ["critical"]}]}), TODAY, Told())
    except BadInput as error:
        return sorted(problem.what for problem in error.problems)
    return []


def test_a_statement_lets_its_vulnerability_of_its_product_pass_through_its_last_day(world: World) -> None:
    (other,) = stated(world)
    assert other.startswith("CVE-2023-49083 in cryptography")
    assert len(stated(world, "2026-11-22")) == 1
    assert len(stated(world, "2026-11-21")) == 2
    assert len(stated(world, products=[{"@id": "pkg:pypi/pyyaml@5.3"}])) == 2
    assert len(stated(world, status="fixed")) == 1


@pytest.mark.parametrize("status", ["affected", "under_investigation"])
def test_a_statement_that_something_is_or_may_be_affected_lets_nothing_pass_and_is_told(
    status: str, world: World
) -> None:
    found = stated(world, status=status, action_statement="Take 5.4.")
    assert len(found) == 2
    assert f"critical, fixed in 5.4, {status} until 2026-12-31: vulnerable_code_not_in_execute_path;" in found[0]


def test_statements_without_a_last_day_are_no_snapshot(world: World) -> None:
    made = lock(world, None, "today", **{"openvex.json": vex(vex_statement("CVE-2020-14343", "pkg:pypi/pyyaml@5.3.1"))})
    with pytest.raises(BadInput, match="without a last day"):
        known_vulnerabilities(made, PARTS, world.context.sink)


def test_a_waiver_that_meets_nothing_is_told(world: World) -> None:
    policy = {"waived": [{**PYYAML, "id": "CVE-2000-0001"}]}
    progress = Told()
    check_vulnerabilities(report(world, policy), head(policy), TODAY, progress)
    assert "warning: the waiver of CVE-2000-0001 for wheels/some/* meets nothing: remove it" in progress.steps


def test_a_waiver_holds_through_its_last_day_and_then_stops_the_build() -> None:
    policy = head({"waived": [PYYAML]})
    check_waivers(policy, datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    with pytest.raises(BadInput, match="the waiver of GHSA-8q59-q68h-6hv4 ended on 2026-12-31") as caught:
        check_waivers(policy, datetime(2027, 1, 1, tzinfo=UTC))
    assert caught.value.reference == "waiver-ended"


@pytest.mark.parametrize(
    "change", [{"reason": " "}, {"until": "2026-02-30"}, {"until": "next year"}, {"until": None}, {"id": "*"}]
)
def test_a_waiver_names_one_vulnerability_a_reason_and_a_day(change: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Waiver(**{**PYYAML, **change})


@pytest.mark.parametrize("said", [{}, {"severity": []}, {"severity": ["serious"]}, {"epss": 0}, {"epss": 50}])
def test_a_condition_says_something(said: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate_json(json.dumps(said))
