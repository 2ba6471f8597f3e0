"""An audit as OSCAL assessment results: what was looked at, and for each control whether our part of it holds.

Nothing is looked at again: it is the report in another form.  A control counts as satisfied only if the audit has seen
all that it needs and found nothing against it.  Where something is missing, nothing is said of it, unless what was seen
speaks against it already.  A problem that no control names counts against each of them.

What is satisfied is an objective of ours, that certain problems are absent.  It is written into the document, and is
never the control's own statement.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.formats.oscal import Entry, document, identifier, metadata, prop, prose, resource
from appliance.model.documents.audit import Finding, Report
from appliance.model.documents.controls import MATERIALS, Control, Controls
from appliance.steps.audit.oscal_evidence import Evidence, evidence, link, materials
from appliance.steps.documents.controls import COMPONENT, DESCRIPTION, TITLE

_PLAN = resource(
    "plan",
    "How an audit looks at a site",
    description="No assessment plan was written. The manual's page on auditing (docs/auditing.md) says what an audit "
    "checks, and how anybody repeats it with stock tools. The page docs/controls.md says what each control needs.",
)


@dataclass(frozen=True)
class _Judged:
    """A control that the audit says something of; ``against`` are places in the report's findings."""

    control: Control
    against: tuple[int, ...]

    @property
    def objective(self) -> str:
        return f"{self.control.id}_obj.appliance"


def assessment_results(
    report: Report, controls: Controls, folder: Path, page: tuple[Path, bytes] | None = None
) -> bytes:
    """The document in JSON, with links that lead from ``folder``, where it goes.

    ``page`` is the place and the bytes of the report for people, where there is one.
    """
    name = hashlib.sha256(json.dumps(report.model_dump(mode="json", by_alias=True)).encode()).hexdigest()
    judged = tuple(_judge(report, controls))
    seen = evidence(report, name, folder)
    return document(
        "assessment-results",
        {
            "uuid": identifier("assessment-results", name),
            "metadata": metadata("Audit by the appliance's own tool", report.time, report.time) | _people(report),
            "import-ap": {"href": f"#{_PLAN['uuid']}"},
            "local-definitions": {"objectives-and-methods": [_objective(one, controls) for one in judged]},
            "results": [_result(report, controls, judged, seen, name)],
            "back-matter": {"resources": [_PLAN, *_report(page, folder), *seen.resources]},
        },
    )


def _judge(report: Report, controls: Controls) -> Iterator[_Judged]:
    seen = materials(report)
    named = frozenset[str]().union(*(controls.references(control) for control in controls.controls))
    for control in controls.controls:
        references = controls.references(control)
        against = tuple(
            place
            for place, finding in enumerate(report.findings)
            if finding.severity == "problem" and (finding.reference in references or finding.reference not in named)
        )
        if control.needs and (against or seen.issuperset(control.needs)):
            yield _Judged(control, against)


def _people(report: Report) -> Entry:
    if not report.auditor:
        return {}
    uuid = identifier("auditor", report.auditor)
    return {
        "roles": [{"id": "assessor", "title": "Assessor"}],
        "parties": [{"uuid": uuid, "type": "person", "name": prop("name", report.auditor)["value"]}],
        "responsible-parties": [{"role-id": "assessor", "party-uuids": [uuid]}],
    }


def _report(page: tuple[Path, bytes] | None, folder: Path) -> list[Entry]:
    if page is None:
        return []
    path, data = page
    return [resource("page", "The report for people", link(path, folder), hashlib.sha256(data).hexdigest())]


def _objective(judged: _Judged, controls: Controls) -> Entry:
    control = judged.control
    references = ", ".join(sorted(controls.references(control)))
    objects = ", ".join(MATERIALS[material] for material in control.needs)
    method = f"{control.id}_method.appliance"
    return {
        "control-id": control.id,
        "description": f"Our part of {control.label}, as far as an audit can see it. {control.what}",
        "parts": [
            {
                "id": judged.objective,
                "name": "assessment-objective",
                "props": [{"name": "method-id", "value": method}],
                "prose": f"The audit has none of these problems, and none that no control names: {prose(references)}.",
            },
            {
                "id": method,
                "name": "assessment-method",
                "props": [{"name": "method", "value": "EXAMINE"}],
                "parts": [{"name": "assessment-objects", "prose": f"The audit looks at {objects}."}],
            },
        ],
        "remarks": f"What stays the site's: {control.site}",
    }


def _result(report: Report, controls: Controls, judged: Sequence[_Judged], seen: Evidence, name: str) -> Entry:
    spoken_of = {one.control.id for one in judged}
    silent = [one.label for one in controls.controls if one.id not in spoken_of]
    told = [_told(finding, place, report, name) for place, finding in enumerate(report.findings)]
    return {
        "uuid": identifier("result", name),
        "title": "What the audit has found",
        "description": "Bundles, receipts, the log and what hosts said of themselves, compared with each other. "
        "The tests that the component definition names were not run by this audit.",
        "start": report.time,
        "end": report.time,
        "props": [prop("fits", "yes" if report.fits else "no"), prop("tool", report.tool)],
        "local-definitions": {
            "components": [_component(), *seen.components],
            **({"inventory-items": seen.inventory} if seen.inventory else {}),
        },
        "reviewed-controls": {
            "control-selections": [{"include-controls": [{"control-id": one.control.id} for one in judged]}],
            "control-objective-selections": [
                {"include-objectives": [{"objective-id": one.objective} for one in judged]}
            ],
        },
        "observations": [*seen.observations, *told],
        "findings": [_finding(one, seen, told, name) for one in judged],
        "remarks": f"Nothing is said of {', '.join(silent) or 'none'}: what an audit would need for these was "
        "not there, or no audit looks at it.",
    }


def _component() -> Entry:
    return {
        "uuid": COMPONENT,
        "type": "software",
        "title": TITLE,
        "description": DESCRIPTION,
        "status": {"state": "operational"},
    }


def _told(finding: Finding, place: int, report: Report, name: str) -> Entry:
    """A finding of the report."""
    where = [prop("where", finding.where)] if finding.where else []
    return {
        "uuid": identifier("observation", name, "finding", str(place)),
        "title": prose(finding.reference),
        "description": prose(finding.what),
        "props": [prop("severity", finding.severity), prop("reference", finding.reference), *where],
        "methods": ["EXAMINE"],
        "types": ["finding"],
        "collected": report.time,
    }


def _finding(judged: _Judged, seen: Evidence, told: Sequence[Entry], name: str) -> Entry:
    control = judged.control
    related = [uuid for need in control.needs for uuid in seen.by_material.get(need, ())]
    related += [told[place]["uuid"] for place in judged.against]
    state = "not-satisfied" if judged.against else "satisfied"
    if judged.against:
        said = f"Problems that speak against our part of it: {len(judged.against)}."
    else:
        said = "All that an audit needs was there, and nothing speaks against our part of it."
    return {
        "uuid": identifier("finding", name, control.id),
        "title": f"{control.label}: our part is {state.replace('-', ' ')}",
        "description": said,
        "target": {
            "type": "objective-id",
            "target-id": judged.objective,
            "status": {"state": state, "reason": "fail" if judged.against else "pass"},
            "implementation-status": {"state": "partial", "remarks": f"What stays the site's: {control.site}"},
        },
        **(
            {"related-observations": [{"observation-uuid": uuid} for uuid in dict.fromkeys(related)]} if related else {}
        ),
    }
