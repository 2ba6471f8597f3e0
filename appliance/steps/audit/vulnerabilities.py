"""What became known against bundles since they were built, by the newest advisories that any of them carries.

Every package that a bundle's SBOM lists is looked up anew; nothing is built again.  The policy and its waivers are
those that were signed with the bundle, and a waiver that has ended since lets nothing pass.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from appliance.artifacts.advisories.details import AdvisoriesDetails
from appliance.artifacts.advisories.matching import asked_of, match
from appliance.artifacts.advisories.policy import refused, told
from appliance.artifacts.advisories.snapshot import Asked, Snapshot, UnreadableSnapshot, read_snapshot
from appliance.errors import NotTrusted
from appliance.model.documents.audit import (
    AuditedHost,
    AuditedVulnerabilities,
    AuditedVulnerability,
    Finding,
    News,
    note,
    problem,
)
from appliance.model.documents.bundle import BundleArtifact
from appliance.model.documents.vulnerabilities import SEVERITIES, Vulnerability, VulnerabilityPolicy
from appliance.model.limits import MAX_ADVISORIES
from appliance.model.parts import Part
from appliance.model.progress import Progress
from appliance.model.times import Time
from appliance.steps.audit.bundles import Verified
from appliance.steps.documents.contents import with_artifacts
from appliance.store.tree import Tree

Result = tuple[tuple[AuditedVulnerabilities, ...], tuple[Finding, ...]]


def audit_vulnerabilities(
    bundles: Sequence[Verified], hosts: Sequence[AuditedHost], now: Time, progress: Progress
) -> Result:
    """What is known now of each bundle, and what has to be told; nothing where no bundle carries advisories."""
    carried = [
        (details, artifact, bundle)
        for bundle in bundles
        for artifact in bundle.advisories
        if (details := AdvisoriesDetails.of(artifact)) is not None
    ]
    if not carried:
        return (), ()
    # One record with a time in the future would make a snapshot the newest for years: none is newer than its bundle.
    # Of the same snapshot, the later bundle may bring later statements of the security team.
    details, artifact, source = max(
        carried, key=lambda one: (min(one[0].taken, one[2].audited.created), one[2].audited.created)
    )
    where = f"{source.audited.path}: {details.path}"
    asked = [asked_of(bundle.listed.packages) for bundle in bundles]
    everything = Asked(
        distributions=frozenset[str]().union(*(one.distributions for one in asked)),
        sources=frozenset[str]().union(*(one.sources for one in asked)),
    )
    progress.step(f"reading {where}")
    try:
        snapshot = _read(details, artifact, source, everything, progress)
    except UnreadableSnapshot as error:
        return (), (problem("advisories-unreadable", f"the newest advisories cannot be read: {error}", where),)
    except NotTrusted as error:
        return (), (problem(error.reference, f"the newest advisories are refused: {error.what}", where),)
    audited = [(bundle, _audited(bundle, snapshot, hosts, where, now)) for bundle in bundles]
    findings = [finding for bundle, known in audited for finding in _findings(bundle, known, hosts)]
    return tuple(known for _, known in audited), tuple(findings)


def _read(
    details: AdvisoriesDetails, artifact: BundleArtifact, source: Verified, asked: Asked, progress: Progress
) -> Snapshot:
    """The snapshot, from bytes that are those that were verified."""

    def opened(tree: Tree, path: str, sha256: str) -> IO[bytes]:
        data = tree.read(path, MAX_ADVISORIES)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise NotTrusted("file-mismatch", "the file changed while it was verified", where=path)
        return io.BytesIO(data)

    with Tree(Path(source.audited.path), progress) as tree:
        files = {
            file.path.removeprefix(f"{details.path}/"): partial(opened, tree, file.path, file.sha256)
            for file in artifact.files
        }
        return read_snapshot(files, asked, details.vex_until)


def _audited(
    bundle: Verified, snapshot: Snapshot, hosts: Sequence[AuditedHost], where: str, now: Time
) -> AuditedVulnerabilities:
    found = match(bundle.listed.packages, snapshot)
    before = bundle.known.vulnerabilities if bundle.known else ()
    parts = {part.ref: part for part in bundle.listed.packages}
    policy, day = bundle.policy or VulnerabilityPolicy(), now.partition("T")[0]
    stopped = {(one.part, one.id) for one in refused(found.vulnerabilities, policy, day)}
    listed, others = list[AuditedVulnerability](), list[AuditedVulnerability]()
    for one in with_artifacts(found.vulnerabilities, policy.waived, day):
        news, stops = _news(one, before), (one.part, one.id) in stopped
        running, models = _in_use(parts[one.part], bundle, hosts)
        (listed if news or stops else others).append(
            AuditedVulnerability(**dict(one), news=news, refused=stops, hosts=running, models=models)
        )
    return AuditedVulnerabilities(
        bundle=f"{bundle.audited.name} {bundle.audited.version}",
        advisories=where,
        taken=snapshot.taken,
        before=bundle.known.taken if bundle.known else None,
        known=len(found.vulnerabilities),
        matched=found.matched,
        unmatched=found.unmatched,
        listed=tuple(listed),
        others=tuple(others),
    )


def _news(one: Vulnerability, before: Sequence[Vulnerability]) -> News | None:
    """What is new of it since the bundle's own report."""
    names = {one.id, *one.aliases}
    same = [other for other in before if other.part == one.part and not names.isdisjoint((other.id, *other.aliases))]
    if not same:
        return "known"
    if one.kev and not any(other.kev for other in same):
        return "exploited"
    return "fixed" if one.fixed and not any(other.fixed for other in same) else None


def _in_use(part: Part, bundle: Verified, hosts: Sequence[AuditedHost]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Hosts that have the OS package of this name and version, or serve models with the image that it is in: which."""
    image = next((digest for ref, digest in bundle.images_by_ref.items() if part.ref.startswith(f"{ref}/")), None)
    if image is not None:
        served = {host.install.host: [model.name for model in host.models if model.image == image] for host in hosts}
        models = sorted({name for names in served.values() for name in names})
        return tuple(host for host, names in served.items() if names), tuple(models)
    if not part.purl.startswith("pkg:deb/"):
        return (), ()
    return tuple(host.install.host for host in hosts if _has(host, part)), ()


def _has(host: AuditedHost, package: Part) -> bool:
    versions = (version for name, version in host.install.packages.items() if name.partition(":")[0] == package.name)
    return package.version in versions


def _findings(bundle: Verified, known: AuditedVulnerabilities, hosts: Sequence[AuditedHost]) -> Iterator[Finding]:
    """A problem is what the bundle's own policy would not let pass today, where the bundle is in use."""
    sums = bundle.audited.sums.sha256
    used = bundle.audited.current or any(host.install.bundle.sha256sums == sums for host in hosts)
    finding = problem if used else note
    for one in known.listed:
        if one.refused:
            running = f"; it is on {', '.join(one.hosts)}" if one.hosts else ""
            running += f" in {', '.join(one.models)}" if one.models else ""
            where = f"{bundle.audited.path}: {one.part}"
            yield finding("vulnerability-refused", f"the bundle's policy refuses {told(one)}{running}", where)
    if new := [one for one in known.listed if one.news]:
        counts = Counter(one.severity for one in new)
        severities = ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES if counts[severity])
        since = f"since its own advisories of {known.before}" if known.before else "and it has no report of its own"
        what = f"{len(new)} vulnerabilities became known ({severities}) by {known.taken}, {since}"
        yield note("vulnerabilities-new", what, bundle.audited.path)
