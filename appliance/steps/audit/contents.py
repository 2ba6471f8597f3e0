"""What is inside of the bundles of an audit, counted, with what the newest advisories say of it."""

from collections.abc import Sequence

from appliance.model.documents.audit import AuditedContents, AuditedVulnerabilities
from appliance.model.documents.vulnerabilities import VulnerabilityPolicy
from appliance.model.times import Time
from appliance.steps.audit.bundles import Verified
from appliance.steps.documents.contents import contents, dated


def audit_contents(
    bundles: Sequence[Verified], known: Sequence[AuditedVulnerabilities], now: Time
) -> tuple[AuditedContents, ...]:
    """One for each bundle; ``known`` are theirs in the same order, or none at all."""
    return tuple(
        _contents(bundle, known[number] if known else None, now.partition("T")[0])
        for number, bundle in enumerate(bundles)
    )


def _contents(bundle: Verified, known: AuditedVulnerabilities | None, day: str) -> AuditedContents:
    found = (*known.listed, *known.others) if known else ()
    told = contents(
        f"{bundle.audited.name} {bundle.audited.version}",
        [f"{artifact.kind}/{artifact.name}" for artifact in bundle.audited.artifacts],
        bundle.listed.parts,
        found,
        dated((bundle.policy or VulnerabilityPolicy()).waived, found, day),
        bundle.provenance,
    )
    return AuditedContents(**dict(told), taken=known.taken if known else None, parts=bundle.listed.parts)
