"""The site's part of an audit: its log, what it has signed of that, and what lies there now."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from appliance.errors import ApplianceError, BadInput, NotTrusted
from appliance.model.documents.audit import AuditedEntry, AuditedLog, AuditedReceipt, Finding, note, problem
from appliance.model.documents.events import (
    Install,
    Overridden,
    Rebuilt,
    Receipt,
    Removed,
    Switch,
    Verification,
    details_of,
)
from appliance.model.documents.log import NO_HEAD, Head, Line
from appliance.model.documents.story import sentence
from appliance.model.jsonform import canonical_json
from appliance.steps.audit.bundles import Verified
from appliance.steps.log import SignedHead, check_head, read_evidence
from appliance.store.log import Log
from appliance.store.site import Site
from appliance.trust.evidence import HeadStatement, ReceiptStatement, open_evidence
from appliance.trust.keys import PublicKey
from appliance.trust.override import read_override


@dataclass(frozen=True)
class Story:
    """The log as it was read, and what others compare with it: the last word on each thing.

    ``whole`` is False for a log that is missing, or broken somewhere: then it has no last word.
    """

    audited: AuditedLog
    whole: bool
    lines: Mapping[int, str]
    verifications: Mapping[int, Verification]
    switches: Mapping[str, Switch]
    installs: Mapping[str, tuple[Line, Install]]
    overrides: Sequence[tuple[Line, Overridden]]
    findings: tuple[Finding, ...]


def read_story(site: Site) -> Story:
    """Read the log as far as its chain holds."""
    log, findings = Log(site.root), list[Finding]()
    lines: list[Line] = []
    try:
        for line in log.lines():
            lines.append(line)
    except NotTrusted as error:
        findings.append(of_error(error))
    else:
        if not lines:
            findings.append(problem("log-missing", "the site has no log", str(log.path)))
    whole = not findings
    reached = lines[-1].head if lines else NO_HEAD
    torn = log.size() - lines[-1].end if whole else 0
    if torn:
        findings.append(
            note("log-torn", f"the last {torn} bytes are not a whole line: it was never finished", str(log.path))
        )
    findings += _clock(lines)
    details = [(line, details_of(line.entry)) for line in lines]
    findings += (
        note("state-rebuilt", sentence(line.entry), _where(line.entry.seq))
        for line, what in details
        if isinstance(what, Rebuilt)
    )
    entries = [
        AuditedEntry(seq=one.entry.seq, time=one.entry.time, event=one.entry.event, tells=sentence(one.entry))
        for one in lines
    ]
    return Story(
        audited=AuditedLog(head=reached, torn_bytes=torn, entries=tuple(entries)),
        whole=whole,
        lines={line.head.seq: line.head.sha256 for line in lines},
        verifications={line.head.seq: what for line, what in details if isinstance(what, Verification)},
        switches={what.name: what for _, what in details if isinstance(what, Switch)},
        installs=_installs(details),
        overrides=[(line, what) for line, what in details if isinstance(what, Overridden)],
        findings=tuple(findings),
    )


def _installs(details: Iterable[tuple[Line, object]]) -> dict[str, tuple[Line, Install]]:
    """What each host of the site runs; one that was taken out is none any more."""
    found: dict[str, tuple[Line, Install]] = {}
    for line, what in details:
        if isinstance(what, Install):
            found[what.host] = (line, what)
        elif isinstance(what, Removed):
            found.pop(what.host, None)
    return found


def audit_signed(files: Iterable[Path], key: PublicKey, story: Story) -> tuple[list[AuditedReceipt], list[Finding]]:
    """Receipts and exported heads: signed by the site, and of this log."""
    receipts, findings = list[AuditedReceipt](), list[Finding]()
    reached = story.audited.head
    for path in files:
        try:
            data = read_evidence(path)
            statement = open_evidence(data, key, str(path))
            predicate = statement.predicate
            if predicate.log is None:
                raise BadInput("receipt-without-log", "this receipt belongs to no site's log", where=str(path))
            check_head(SignedHead(path, predicate.log, predicate.time), story.lines.get(predicate.log.seq), reached)
            if isinstance(statement, ReceiptStatement):
                _check_same(statement.predicate, story, path)
        except (NotTrusted, BadInput) as error:
            findings.append(of_error(error))
            continue
        receipts.append(_audited(path, hashlib.sha256(data).hexdigest(), statement, predicate.log))
    return receipts, findings


def _audited(path: Path, sha256: str, statement: ReceiptStatement | HeadStatement, log: Head) -> AuditedReceipt:
    kind: Literal["receipt", "head"] = "head"
    tells = f"the log went to line {log.seq}"
    if isinstance(statement, ReceiptStatement):
        kind = "receipt"
        tells = f"{statement.predicate.event}, {statement.predicate.verification.result}"
    return AuditedReceipt(
        kind=kind, file=path.name, sha256=sha256, time=statement.predicate.time, seq=log.seq, tells=tells
    )


def compare(
    site: Site, story: Story, bundles: Sequence[Verified], receipts: Iterable[AuditedReceipt]
) -> Iterator[Finding]:
    """What lies on the site against what its log tells; ``bundles`` are all that were verified."""
    of_lines = {receipt.seq for receipt in receipts if receipt.kind == "receipt"}
    for seq, verification in story.verifications.items():
        where = _where(seq)
        if seq not in of_lines:
            yield note("receipt-missing", "there is no receipt of this verification", where)
        yield from _compare_verification(verification, bundles, where)
    for line, used in story.overrides:
        yield from _compare_override(line, used, bundles)
    if not story.whole or not site.exists():  # a copy of log and receipts alone
        return
    accepted = {one.bundle.sha256sums for one in story.verifications.values() if one.bundle is not None}
    held = {str(path) for path in site.bundles()}
    for bundle in bundles:
        if bundle.audited.path in held and bundle.audited.sums.sha256 not in accepted:
            yield problem("bundle-not-in-log", "the log has no import of this bundle", bundle.audited.path)
    for name in sorted({*story.switches, *_current(site)}):
        yield from _compare_current(site, name, story.switches.get(name))


def _compare_verification(verification: Verification, bundles: Sequence[Verified], where: str) -> Iterator[Finding]:
    if verification.refusal is not None:
        what = f"a bundle was refused: {verification.refusal.what} ({verification.refusal.reference})"
        yield note("bundle-was-refused", what, where)
    said = verification.bundle
    if said is None:
        return
    documents = {root.identity for bundle in bundles for root in bundle.chain}
    if bundles and verification.trusted_root not in documents:
        what = f"the site trusted a root document that is in no chain here, {verification.trusted_root}"
        yield problem("root-not-here", what, where)
    same = [bundle for bundle in bundles if bundle.audited.sums.sha256 == said.sha256sums]
    if not same:
        yield note("bundle-not-here", f"{said.name} {said.version} was accepted but is no longer here", where)
    elif all(bundle.audited.root != verification.root for bundle in same):
        yield problem("root-differs", "it was accepted under a different newest root document than it has here", where)


def _compare_override(line: Line, used: Overridden, bundles: Sequence[Verified]) -> Iterator[Finding]:
    """An override counts only if those have signed it who could have signed the bundle."""
    where = _where(line.entry.seq)
    yield note("override-used", sentence(line.entry), where)
    same = [bundle for bundle in bundles if bundle.audited.sums.sha256 == used.sha256sums]
    if not same:
        yield note("override-not-checked", "its bundle is not here, so neither are the keys that could sign it", where)
        return
    try:
        override = read_override(canonical_json(used.envelope.model_dump(mode="json", by_alias=True)), where)
        root = max((bundle.chain[-1] for bundle in same), key=lambda root: root.document.version)
        override.check_signed(root, root.document.roles.release.threshold, post_quantum=False)
        override.check(same[0].statement, used.site, line.entry.time)
    except NotTrusted as error:
        yield of_error(error)


def _compare_current(site: Site, name: str, told: Switch | None) -> Iterator[Finding]:
    where = str(site.root / "current" / name)
    try:
        found = site.current_version(name)
    except ApplianceError as error:
        yield of_error(error)
        return
    said = told.version if told else None
    if found != said:
        what = f"{found or 'no version'} of {name} is current, but the log says that {said or 'none'} is"
        yield problem("current-not-in-log", what, where)


def of_error(error: ApplianceError) -> Finding:
    """An error as a finding."""
    compared = f": expected {error.expected}, found {error.found}" if error.expected and error.found else ""
    return problem(error.reference, f"{error.what}{compared}", error.where)


def _check_same(receipt: Receipt, story: Story, path: Path) -> None:
    if receipt.log is not None and story.verifications.get(receipt.log.seq) != receipt.verification:
        raise NotTrusted(
            "receipt-differs",
            f"the receipt differs from line {receipt.log.seq} of the log",
            where=str(path),
        )


def _clock(lines: Sequence[Line]) -> Iterator[Finding]:
    for before, after in pairwise(lines):
        if after.entry.time < before.entry.time:
            what = f"the clock went back, from {before.entry.time} to {after.entry.time}"
            yield note("clock-went-back", what, _where(after.entry.seq))


def _where(seq: int) -> str:
    return f"line {seq} of the log"


def _current(site: Site) -> list[str]:
    folder = site.root / "current"
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
