"""What a definition's policy says of vulnerabilities: when it is built, and later on a site."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from appliance.model.documents.vulnerabilities import Condition, Vulnerability, VulnerabilityPolicy, Waiver
from appliance.model.times import Day


def refused(found: Iterable[Vulnerability], policy: VulnerabilityPolicy, day: Day) -> tuple[Vulnerability, ...]:
    """Those that meet a condition, and that neither a waiver nor a VEX statement lets pass on ``day``."""
    waivers = [waiver for waiver in policy.waived if day <= waiver.until]
    return tuple(
        one
        for one in found
        if any(_meets(one, condition) for condition in policy.fail)
        and not any(waives(waiver, one) for waiver in waivers)
        and not (one.vex and one.vex.lets_pass(day))
    )


def waives(waiver: Waiver, one: Vulnerability) -> bool:
    """Whether ``waiver`` is about it, on whatever day."""
    return waiver.id in (one.id, *one.aliases) and fnmatchcase(one.part, waiver.part)


def told(one: Vulnerability) -> str:
    """It in a line for people, without its part."""
    said = [one.severity, f"fixed in {one.fixed}" if one.fixed else "no fix"]
    if one.kev:
        said.append("known to be exploited")
    if one.epss:
        said.append(f"EPSS {one.epss}")
    if one.status == "undetermined":
        said.append("not determined whether it is concerned")
    if one.vex:
        said.append(one.vex.told())
    return f"{one.id} in {one.package} {one.version}: {', '.join(said)}"


def _meets(one: Vulnerability, condition: Condition) -> bool:
    """All that the condition says; also where it is not determined whether the part is concerned."""
    return (
        (condition.severity is None or one.severity in condition.severity)
        and (condition.fixed is None or condition.fixed == bool(one.fixed))
        and (condition.kev is None or condition.kev == one.kev)
        and (condition.epss is None or (bool(one.epss) and float(one.epss) >= condition.epss))
    )
