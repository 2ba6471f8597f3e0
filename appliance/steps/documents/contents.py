"""What is inside of a bundle, counted: what ``appliance inspect`` and the page of an audit show at a glance.

It is made of what evidence says; whether that was verified, callers know.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from appliance.artifacts.advisories.policy import waives
from appliance.model.documents.contents import (
    PART_TYPES,
    SET,
    ArtifactContents,
    Contents,
    DatedWaiver,
    ListedPart,
    Provenance,
    ShownVulnerability,
    artifact_of,
)
from appliance.model.documents.vulnerabilities import SEVERITIES, Severity, Vulnerability, Waiver
from appliance.model.times import Day

PART_COLUMNS = ("bundle", "artifact", "type", "name", "version", "licences", "purl", "part")
VULNERABILITY_COLUMNS = (
    *("bundle", "artifact", "severity", "id", "aliases", "package", "version", "fixed"),
    *("kev", "epss", "status", "vex", "waived_until", "summary", "part"),
)


def contents(
    bundle: str,
    artifacts: Iterable[str],
    parts: Sequence[ListedPart],
    vulnerabilities: Sequence[ShownVulnerability],
    waivers: tuple[DatedWaiver, ...] = (),
    provenance: Provenance | None = None,
) -> Contents:
    """Count; ``artifacts`` are names of those that are explained (``kind/name``), which are shown first."""
    types = Counter((one.artifact, one.type) for one in parts)
    severities = Counter((one.artifact, one.severity) for one in vulnerabilities)
    licences = Counter(name for one in parts if one.type != SET for name in set(one.licences) or {""})
    return Contents(
        bundle=bundle,
        artifacts=tuple(
            ArtifactContents(
                artifact=name,
                parts={kind: count for kind in PART_TYPES if (count := types[name, kind])},
                vulnerabilities={severity: count for severity in SEVERITIES if (count := severities[name, severity])},
            )
            for name in dict.fromkeys((*artifacts, *(one.artifact for one in parts)))
        ),
        licences=dict(sorted(licences.items(), key=lambda item: (-item[1], item[0]))),
        severities=_severities(vulnerabilities),
        waivers=waivers,
        provenance=provenance,
    )


def _severities(vulnerabilities: Iterable[Vulnerability]) -> dict[Severity, int]:
    counts = Counter(one.severity for one in vulnerabilities)
    return {severity: counts[severity] for severity in SEVERITIES if counts[severity]}


def dated(waivers: Iterable[Waiver], vulnerabilities: Sequence[Vulnerability], day: Day) -> tuple[DatedWaiver, ...]:
    """Waivers as they stand on ``day``, and how many of ``vulnerabilities`` each is about."""
    return tuple(
        DatedWaiver(
            **{name: getattr(waiver, name) for name in Waiver.model_fields},
            met=sum(waives(waiver, one) for one in vulnerabilities),
            ended=waiver.until < day,
        )
        for waiver in waivers
    )


def with_artifacts(
    vulnerabilities: Iterable[Vulnerability], waivers: Iterable[Waiver], day: Day
) -> tuple[ShownVulnerability, ...]:
    """Each with its artifact and the last day of a waiver that lets it pass on ``day``, the worst first."""
    valid = [waiver for waiver in waivers if day <= waiver.until]
    found = [
        ShownVulnerability(
            **{name: getattr(one, name) for name in Vulnerability.model_fields},
            artifact=artifact_of(one.part),
            waived_until=max((waiver.until for waiver in valid if waives(waiver, one)), default=""),
        )
        for one in vulnerabilities
    ]
    return tuple(sorted(found, key=worst_first))


def worst_first(one: Vulnerability) -> tuple[bool, int, str, str]:
    """A key to sort by: what is exploited, then by severity."""
    return not one.kev, SEVERITIES.index(one.severity), one.id, one.part


def part_rows(bundle: str, parts: Iterable[ListedPart]) -> list[tuple[str, ...]]:
    """Rows of ``PART_COLUMNS``; a set is no row, because what is in it is."""
    return [
        (bundle, one.artifact, one.type, one.name, one.version, "; ".join(one.licences), one.purl, one.part)
        for one in parts
        if one.type != SET
    ]


def vulnerability_rows(bundle: str, vulnerabilities: Iterable[ShownVulnerability]) -> list[tuple[str, ...]]:
    """Rows of ``VULNERABILITY_COLUMNS``."""
    return [
        (
            *(bundle, one.artifact, one.severity, one.id, "; ".join(one.aliases), one.package, one.version, one.fixed),
            *("yes" if one.kev else "no", one.epss, one.status, one.vex.told() if one.vex else ""),
            *(one.waived_until, one.summary, one.part),
        )
        for one in vulnerabilities
    ]
