"""What a bundle's advisories say of its parts: written into its evidence, and held against the definition's policy.

The report follows from the lock alone, as SBOMs do.  Whether a waiver has ended is asked of the day on which the bundle
says that it was made: a build of an older lock, to compare with it, is one of that day (SOURCE_DATE_EPOCH).
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from appliance.artifacts.advisories.details import AdvisoriesDetails
from appliance.artifacts.advisories.kind import snapshot_files, vex_until
from appliance.artifacts.advisories.matching import asked_of, match
from appliance.artifacts.advisories.policy import refused, told, waives
from appliance.artifacts.advisories.snapshot import UnreadableSnapshot, read_snapshot
from appliance.errors import BadInput
from appliance.model.documents.definition import DefinitionHead
from appliance.model.documents.lock import Lock
from appliance.model.documents.vulnerabilities import (
    SEVERITIES,
    AppliedWaiver,
    VulnerabilityPolicy,
    VulnerabilityReport,
)
from appliance.model.jsonform import pretty_json
from appliance.model.parts import Part
from appliance.model.progress import Progress
from appliance.model.sink import Sink
from appliance.model.times import Day, format_time


def known_vulnerabilities(lock: Lock, parts: Sequence[Part], sink: Sink) -> VulnerabilityReport | None:
    """What is known of ``parts``; None of a bundle without advisories.

    Raises BadInput: ``advisories-missing`` where the definition has a policy and nothing to hold it against,
    ``advisories-several`` and ``advisories-unreadable``.
    """
    snapshots = [artifact for artifact in lock.artifacts if artifact.kind == AdvisoriesDetails.kind]
    if len(snapshots) > 1:
        what = f"the bundle has {len(snapshots)} snapshots of advisories, and each says something else"
        raise BadInput("advisories-several", what, where=snapshots[1].id, hint="keep the newest")
    if not snapshots:
        if lock.bundle.vulnerabilities is not None:
            raise BadInput(
                "advisories-missing",
                "the definition says which vulnerabilities stop a build, but has no advisories to know them by",
                hint="add a snapshot: advisories: {today: {licence: various}}",
            )
        return None
    try:
        snapshot = read_snapshot(snapshot_files(snapshots[0], sink), asked_of(parts), vex_until(snapshots[0]))
    except UnreadableSnapshot as error:
        what = f"the advisories cannot be read: {error}"
        raise BadInput("advisories-unreadable", what, where=snapshots[0].id) from None
    found = match(parts, snapshot)
    waivers = (lock.bundle.vulnerabilities or VulnerabilityPolicy()).waived
    return VulnerabilityReport(
        advisories=snapshots[0].name,
        taken=snapshot.taken,
        matched=found.matched,
        unread=snapshot.unread,
        unmatched=found.unmatched,
        vulnerabilities=found.vulnerabilities,
        waived=tuple(
            AppliedWaiver(**waiver.model_dump(), met=sum(waives(waiver, one) for one in found.vulnerabilities))
            for waiver in waivers
        ),
    )


def report_text(report: VulnerabilityReport) -> bytes:
    """The report as it stands in a bundle: the same for the same lock."""
    return pretty_json(report.model_dump(mode="json", by_alias=True))


def check_waivers(head: DefinitionHead, created: datetime) -> None:
    """Refuse a waiver that has ended when a bundle is made (``waiver-ended``): hours of fetching are not for that."""
    policy = head.vulnerabilities or VulnerabilityPolicy()
    ended = [waiver for waiver in policy.waived if waiver.until < _day(created)]
    if not ended:
        return
    problems = tuple(
        BadInput("waiver-ended", f"the waiver of {waiver.id} ended on {waiver.until}", where=waiver.part)
        for waiver in ended
    )
    raise BadInput(
        "waiver-ended",
        problems[0].what + (f" (and {len(ended) - 1} more)" if len(ended) > 1 else ""),
        where=ended[0].part,
        hint="remove it if what it waives is mended; if not, decide anew and give it a new reason and day",
        problems=problems,
    )


def check_vulnerabilities(
    report: VulnerabilityReport | None, head: DefinitionHead, created: datetime, progress: Progress
) -> None:
    """Tell what is known, and refuse what the definition does not let pass (``vulnerability-refused``)."""
    if report is None:
        return
    counts = Counter(one.severity for one in report.vulnerabilities)
    severities = ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES if counts[severity])
    progress.step(f"Known vulnerabilities: {severities or 'none'}; advisories of {report.taken}")
    for waiver in report.waived:
        if not waiver.met:
            progress.step(f"warning: the waiver of {waiver.id} for {waiver.part} meets nothing: remove it")
    stopped = refused(report.vulnerabilities, head.vulnerabilities or VulnerabilityPolicy(), _day(created))
    if stopped:
        problems = tuple(BadInput("vulnerability-refused", told(one), where=one.part) for one in stopped)
        raise BadInput(
            "vulnerability-refused",
            problems[0].what + (f" (and {len(stopped) - 1} more)" if len(stopped) > 1 else ""),
            where=stopped[0].part,
            hint="take the version with the fix; or, after a review, let it pass for a while: "
            "vulnerabilities: {waived: [{id: ..., part: ..., reason: ..., until: YYYY-MM-DD}]}",
            problems=problems,
        )


def _day(created: datetime) -> Day:
    return format_time(created).partition("T")[0]
