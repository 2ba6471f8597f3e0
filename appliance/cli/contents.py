"""What is inside of a bundle, for people and programs: counts, vulnerabilities, waivers, licences, provenance."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from rich.console import Console
from rich.table import Table

from appliance.cli.output import printable
from appliance.errors import BadInput
from appliance.formats.csv_table import csv_table
from appliance.model.documents.contents import PART_TYPES, Contents, Provenance, ShownVulnerability
from appliance.model.documents.vulnerabilities import SEVERITIES
from appliance.steps.documents.contents import (
    PART_COLUMNS,
    VULNERABILITY_COLUMNS,
    part_rows,
    vulnerability_rows,
)
from appliance.steps.inspect.bundle import Claim

_SHOWN = 12  # licences, and vulnerabilities


class CsvTable(StrEnum):
    """What there is as CSV."""

    PARTS = "parts"
    VULNERABILITIES = "vulnerabilities"


def csv_of(claim: Claim, table: CsvTable) -> str:
    """A table of the bundle.

    Raises BadInput (``evidence-missing``): an empty table would say that there is nothing.
    """
    bundle = claim.contents.bundle
    if table is CsvTable.PARTS:
        if not claim.parts:
            raise BadInput("evidence-missing", "the bundle has no SBOM, so nothing is known of its parts")
        return csv_table(PART_COLUMNS, part_rows(bundle, claim.parts))
    if claim.known is None:
        raise BadInput(
            "evidence-missing",
            "the bundle says nothing of vulnerabilities: it carries no advisories",
            hint="carry a snapshot: docs/vulnerabilities.md; or look it up in that of another bundle: appliance audit",
        )
    return csv_table(VULNERABILITY_COLUMNS, vulnerability_rows(bundle, claim.vulnerabilities))


def show_contents(console: Console, claim: Claim) -> None:
    """All of it, the longest lists cut short."""
    told = claim.contents
    if claim.parts:
        _show_artifacts(console, told)
    _show_vulnerabilities(console, claim)
    _show_waivers(console, told)
    _show_licences(console, told.licences)
    _show_provenance(console, told.provenance)


def _show_artifacts(console: Console, told: Contents) -> None:
    types = [kind for kind in PART_TYPES if any(kind in one.parts for one in told.artifacts)]
    severities = [severity for severity in SEVERITIES if severity in told.severities]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("contents", overflow="fold")
    for name in (*(f"{kind}s" for kind in types), *severities):
        table.add_column(name, justify="right")
    for one in told.artifacts:
        counts = [one.parts.get(kind, 0) for kind in types]
        holes = [one.vulnerabilities.get(severity, 0) for severity in severities]
        table.add_row(printable(one.artifact), *(str(count or "-") for count in (*counts, *holes)))
    console.print()
    console.print(table)


def _show_vulnerabilities(console: Console, claim: Claim) -> None:
    if claim.known is None:
        console.print("\nknown vulnerabilities: not said, because the bundle carries no advisories")
        return
    counts = ", ".join(f"{count} {severity}" for severity, count in claim.contents.severities.items())
    console.print(f"\nknown vulnerabilities by advisories of {claim.known.taken}: {counts or 'none'}", soft_wrap=True)
    for gap in claim.known.unmatched:
        console.print(f"  not looked up: {gap.parts} ({printable(gap.why)})", soft_wrap=True)
    _show_rows(console, claim.vulnerabilities[:_SHOWN])
    if (more := len(claim.vulnerabilities) - _SHOWN) > 0:
        console.print(f"  and {more} more: --csv vulnerabilities")


def _show_rows(console: Console, found: Sequence[ShownVulnerability]) -> None:
    for one in found:
        facts = [
            "exploited" if one.kev else "",
            f"EPSS {one.epss}" if one.epss else "",
            "not determined whether it is concerned" if one.status == "undetermined" else "",
            one.vex.told() if one.vex else "",
            f"waived until {one.waived_until}" if one.waived_until else "",
        ]
        fixed = f"fixed in {one.fixed}" if one.fixed else "no fix"
        line = ", ".join([f"{one.id} in {one.package} {one.version}", fixed, *filter(None, facts)])
        console.print(f"  {one.severity:<8}  {printable(line)}  {printable(one.artifact)}", soft_wrap=True)


def _show_waivers(console: Console, told: Contents) -> None:
    if told.waivers:
        console.print("\nwaivers")
    for one in told.waivers:
        end = f"[bold red]ended {one.until}[/]" if one.ended else f"until {one.until}"
        console.print(f"  {printable(one.id)} for {printable(one.part)}, {end}, lets {one.met} pass", soft_wrap=True)
        console.print(f"    | {printable(one.reason)}", soft_wrap=True)


def _show_licences(console: Console, licences: Mapping[str, int]) -> None:
    if not licences:
        return
    console.print("\nlicences, and how many parts declare each")
    for name, count in list(licences.items())[:_SHOWN]:
        console.print(f"  {count:>6}  {printable(name) or 'none that could be read'}", soft_wrap=True)
    if (more := len(licences) - _SHOWN) > 0:
        console.print(f"          and {more} more: evidence/NOTICE.txt")


def _show_provenance(console: Console, told: Provenance | None) -> None:
    if told is None:
        return
    console.print("\nprovenance")
    console.print(f"  built by {printable(told.builder)}, as {printable(told.build_type)}", soft_wrap=True)
    console.print(f"  definition sha256:{told.definition}, inputs: {told.inputs}", soft_wrap=True)


def contents_as_json(claim: Claim) -> dict[str, object]:
    """``contents`` counts; ``vulnerabilities`` is null of a bundle without advisories."""
    known = claim.known
    return {
        "contents": claim.contents.model_dump(mode="json", exclude={"bundle", "licences"}),
        "licences": claim.contents.licences,
        "vulnerabilities": known
        and {
            "taken": known.taken,
            "matched": known.matched,
            "unmatched": [gap.model_dump(mode="json") for gap in known.unmatched],
            "known": [one.model_dump(mode="json") for one in claim.vulnerabilities],
        },
    }
