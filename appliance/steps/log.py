"""``appliance log``: check a site's log, export its head, and add what hosts run or that they are gone."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from appliance.errors import BadInput, NotTrusted
from appliance.model.base import Strict
from appliance.model.documents.events import ExportedHead, Install, Observed, Removed, Wiped
from appliance.model.documents.log import NO_HEAD, Head, LogEntry
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_LOG_LINE, MAX_SIGNATURE_FILE
from appliance.model.value_problem import first_problem
from appliance.steps.host.clock import now
from appliance.steps.keys import read_public_key
from appliance.steps.site.evidence import TOOL, record_install, record_removal
from appliance.steps.site.key import public_key_path, site_key
from appliance.steps.switch import current_bundle
from appliance.store.disk import read_bounded
from appliance.store.log import Log
from appliance.store.site import Site
from appliance.trust.evidence import open_evidence, sign_head
from appliance.trust.keys import PublicKey

T = TypeVar("T", bound=Strict)


@dataclass(frozen=True)
class SignedHead:
    """A line that the site signed for at ``time``: by an exported head, or by a receipt."""

    path: Path
    head: Head
    time: str


@dataclass(frozen=True)
class CheckedLog:
    """A log whose chain holds; ``torn`` counts the bytes of a last line that was never finished."""

    head: Head
    torn: int
    heads: tuple[SignedHead, ...]


def entries(site: Site) -> tuple[LogEntry, ...]:
    """The whole log.  Raises BadInput (``log-missing``) or NotTrusted (``log-broken``)."""
    return tuple(line.entry for line in _existing(site).lines())


def check(site: Site, heads: Sequence[Path], key: Path | None) -> CheckedLog:
    """Check the chain, and that it holds each line that ``heads`` (or receipts) name.

    ``key`` is the site's public key; without it, the site's own copy.  Raises NotTrusted:
    ``log-broken``, ``log-truncated``, ``log-rewritten``, ``evidence-*``.
    """
    log = _existing(site)
    public = read_public_key(key or public_key_path(site)) if heads else None
    signed = [read_head(path, public) for path in heads] if public else []
    held: dict[int, str] = {0: NO_HEAD.sha256}
    reached, end = NO_HEAD, 0
    wanted = {one.head.seq for one in signed}
    for line in log.lines():
        reached, end = line.head, line.end
        if reached.seq in wanted:
            held[reached.seq] = reached.sha256
    for one in signed:
        check_head(one, held.get(one.head.seq), reached)
    return CheckedLog(reached, log.size() - end, tuple(signed))


def check_head(signed: SignedHead, held: str | None, reached: Head) -> None:
    """Raise NotTrusted unless the log, which goes to ``reached``, holds what was signed.

    ``held`` is the SHA-256 of its line of that number.
    """
    if held is None:
        raise NotTrusted(
            "log-truncated",
            "the log ends before a line that the site has signed",
            where=str(signed.path),
            expected=f"line {signed.head.seq}, written by {signed.time}",
            found=f"{reached.seq} lines",
        )
    if held != signed.head.sha256:
        raise NotTrusted(
            "log-rewritten",
            "the log has a different line from the one that the site has signed",
            where=str(signed.path),
            expected=f"line {signed.head.seq} with the SHA-256 {signed.head.sha256}",
            found=held,
        )


def read_head(path: Path, key: PublicKey) -> SignedHead:
    """Read an exported head or a receipt of a site.  Raises BadInput or NotTrusted (``evidence-*``)."""
    predicate = open_evidence(read_evidence(path), key, str(path)).predicate
    if predicate.log is None:
        raise BadInput("receipt-without-log", "this receipt belongs to no site's log", where=str(path))
    return SignedHead(path, predicate.log, predicate.time)


def read_evidence(path: Path) -> bytes:
    """The bytes of a receipt or a head.  Raises BadInput (``evidence-unreadable``)."""
    return read_bounded(path, MAX_SIGNATURE_FILE, "evidence-unreadable")


def export_head(site: Site) -> bytes:
    """A signed statement of how far the log goes, to keep elsewhere.  Raises as ``entries``."""
    log = _existing(site)
    head, end = NO_HEAD, 0
    for line in log.lines():
        head, end = line.head, line.end
    exported = ExportedHead(time=now(), log=head, bytes=end, tool=TOOL)
    return sign_head(exported, log.sha256(end), site_key(site))


def add_install(site: Site, source: Path | None, *, host: str, bundle: str) -> bool:
    """Add what ``host`` runs, as JSON from ``source`` or standard input; returns whether it differs.

    ``bundle`` is the name of the one it was installed from, in its current version.  Raises
    BadInput (``install-malformed``, ``bundle-not-current``).
    """
    observed = _read(Observed, source, "install-malformed")
    version = current_bundle(site, bundle)
    try:
        install = Install(host=host, bundle=version, **dict(observed))
    except ValidationError:
        raise BadInput("install-malformed", "not the name of a host", where=host) from None
    return record_install(site, install)


def add_removal(site: Site, source: Path | None, *, host: str) -> bool:
    """Add that ``host`` was taken out, with what it lost as JSON; returns whether the log did not say so yet.

    Raises BadInput (``removal-malformed``).
    """
    wiped = _read(Wiped, source, "removal-malformed")
    try:
        removed = Removed(host=host, **dict(wiped))
    except ValidationError:
        raise BadInput("removal-malformed", "not the name of a host", where=host) from None
    return record_removal(site, removed)


def _read(form: type[T], source: Path | None, reference: str) -> T:
    where = str(source or "standard input")
    try:
        with source.open("rb") if source else nullcontext(sys.stdin.buffer) as file:
            data = file.read(MAX_LOG_LINE + 1)
        strict_json(data, limit=MAX_LOG_LINE)
        return form.model_validate_json(data)
    except OSError as error:
        problem = f"it cannot be read: {error.strerror}"
    except ValidationError as error:
        problem = first_problem(error)
    except ValueError as error:
        problem = str(error)
    raise BadInput(reference, problem, where=where)


def _existing(site: Site) -> Log:
    log = Log(site.root)
    if not log.path.exists():
        raise BadInput(
            "log-missing", "the site has no log", where=str(log.path), hint="the first import into a site begins one"
        )
    return log
