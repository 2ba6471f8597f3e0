"""``appliance audit``: bundles, receipts and log of a site in one report, and what does not fit.

Nothing is written but the report.  Every bundle is verified anew, by the root document
that the auditor brings; what the site says of itself is believed only as far as its
signatures and its chain go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadInput, NotTrusted
from appliance.model.documents.audit import AuditedHost, AuditedLog, AuditedReceipt, Finding, Report, note, problem
from appliance.model.progress import Progress
from appliance.steps.audit.bundles import Verified, audit_bundle, audit_roots, read_own_chain, refusal
from appliance.steps.audit.bundles import findings_of as bundle_findings
from appliance.steps.audit.contents import audit_contents
from appliance.steps.audit.hosts import audit_host, read_base
from appliance.steps.audit.hosts import findings_of as host_findings
from appliance.steps.audit.page import page
from appliance.steps.audit.story import audit_signed, compare, read_story
from appliance.steps.audit.vulnerabilities import audit_vulnerabilities
from appliance.steps.documents.chain import read_chain
from appliance.steps.host.clock import now
from appliance.steps.keys import read_public_key
from appliance.steps.site.evidence import TOOL
from appliance.steps.site.key import public_key_path, receipts_folder
from appliance.store.site import Site
from appliance.trust.root import identity_of

__all__ = ["Materials", "audit", "page"]


@dataclass(frozen=True)
class Materials:
    """What an audit is made of.

    ``root`` is a root document or a directory with the chain, ``bundles`` are beside those
    that ``site`` holds.  ``key`` is the site's public key as the auditor has it, ``heads``
    are what was exported from its log and kept elsewhere, ``base`` lists the OS packages of a fresh host,
    ``auditor`` is a name for the report.
    """

    root: Path
    site: Site | None
    bundles: tuple[Path, ...] = ()
    key: Path | None = None
    heads: tuple[Path, ...] = ()
    base: Path | None = None
    auditor: str | None = None


@dataclass(frozen=True)
class _SitePart:
    log: AuditedLog
    receipts: tuple[AuditedReceipt, ...]
    hosts: tuple[AuditedHost, ...]
    findings: tuple[Finding, ...]
    keyid: str | None


def audit(materials: Materials, progress: Progress) -> Report:
    """Look at everything; what is wrong is a finding.

    Raises BadInput for what the auditor brings and cannot be read, NotTrusted for root
    documents that are none.
    """
    site = materials.site
    chain = read_chain(materials.root)
    own = read_own_chain(chain)
    verified, findings = _audit_bundles(materials, chain[0], progress)
    roots, wrong = audit_roots(own, verified)
    findings += wrong
    time = now()
    for bundle in verified:
        findings += bundle_findings(bundle.audited, time)
    if roots and time >= roots[-1].expires:
        findings.append(problem("root-expired", f"the newest root document expired {roots[-1].expires}"))
    part = _audit_site(site, materials, verified) if site else None
    if part:
        findings += part.findings
    vulnerabilities, news = audit_vulnerabilities(verified, part.hosts if part else (), time, progress)
    findings += news
    return Report(
        time=time,
        tool=TOOL,
        auditor=materials.auditor,
        site=str(site.root) if site else None,
        site_key=part.keyid if part else None,
        trusted_root=identity_of(chain[0]),
        base=materials.base is not None,
        fits=all(finding.severity != "problem" for finding in findings),
        findings=tuple(sorted(findings, key=lambda finding: finding.severity != "problem")),
        roots=tuple(roots),
        bundles=tuple(bundle.audited for bundle in verified),
        log=part.log if part else None,
        receipts=part.receipts if part else (),
        hosts=part.hosts if part else (),
        vulnerabilities=vulnerabilities,
        contents=audit_contents(verified, vulnerabilities, time),
    )


def _audit_bundles(materials: Materials, trusted: bytes, progress: Progress) -> tuple[list[Verified], list[Finding]]:
    verified, findings = list[Verified](), list[Finding]()
    site = materials.site
    held = site.bundles() if site else ()
    current = {path.resolve() for path in (site.root / "current").glob("*")} if site else set()
    for path in (*held, *materials.bundles):
        progress.step(f"verifying {path}")
        try:
            verified.append(audit_bundle(path, trusted, progress, current=path.resolve() in current))
        except NotTrusted as error:
            findings.append(refusal(path, error))
        except BadInput as error:
            if path not in held:
                raise
            findings.append(refusal(path, error))
    if not held and not materials.bundles:
        findings.append(note("no-bundle", "there was no bundle to check", str(site.root) if site else ""))
    return verified, findings


def _audit_site(site: Site, materials: Materials, bundles: Sequence[Verified]) -> _SitePart:
    story = read_story(site)
    findings = list(story.findings)
    own = public_key_path(site)
    files = [*sorted(receipts_folder(site).glob("*.sigstore.json")), *materials.heads]
    receipts: list[AuditedReceipt] = []
    keyid = None
    if materials.key or own.exists():
        key = read_public_key(materials.key or own)
        keyid = key.keyid
        receipts, wrong = audit_signed(files, key, story)
        findings += wrong
    elif files:
        findings.append(
            problem("site-key-missing", "what the site has signed cannot be checked without its key", str(own))
        )
    if materials.key is None and keyid:
        what = "the site's key was taken from the site itself: bring the copy from the day it was set up"
        findings.append(note("site-key-own", what, str(own)))
    findings += compare(site, story, bundles, receipts)
    base = read_base(materials.base) if materials.base else {}
    hosts = tuple(audit_host(line, install, bundles, base) for line, install in story.installs.values())
    for host in hosts:
        findings += host_findings(host, bundles, story.switches, base_known=bool(materials.base))
    return _SitePart(story.audited, tuple(receipts), hosts, tuple(findings), keyid)
