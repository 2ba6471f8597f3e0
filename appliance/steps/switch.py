"""``appliance switch``: make another bundle that the site holds the current one.

Going back is a switch and not a copy.  The bundle was verified when it came in and is not
read again; what depends on the day and on the site's policy is asked again.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from appliance.errors import BadInput
from appliance.model.documents.bundle import STATEMENT, Statement
from appliance.model.documents.events import BundleVersion
from appliance.model.documents.override import Allowance
from appliance.model.documents.policy import DEFAULT_POLICY, SitePolicy
from appliance.model.progress import Progress
from appliance.steps.documents.policy import read_override
from appliance.steps.site.evidence import record_override, record_switch
from appliance.steps.site.state import Memory
from appliance.store.site import Site
from appliance.trust.policy import Policy
from appliance.trust.statement import parse_statement


@dataclass(frozen=True)
class Switched:
    """The bundle that is current now, which version was before, and whether that changed.

    ``overridden`` is what only an override has allowed.
    """

    path: Path
    previous: str | None
    changed: bool
    overridden: tuple[Allowance, ...] = ()


def switch(
    site: Site,
    name: str,
    version: str,
    progress: Progress,
    *,
    demands: SitePolicy = DEFAULT_POLICY,
    override: Path | None = None,
) -> Switched:
    """Make ``version`` the current one of ``name``.

    Raises BadInput: ``name-unsafe``, ``bundle-not-imported``, ``site-malformed``; NotTrusted
    when it has expired or the site's policy does not take it.
    """
    path = site.path(name, version)
    if path not in site.bundles():
        held = ", ".join(folder.name for folder in site.bundles())
        raise BadInput(
            "bundle-not-imported",
            "the site does not hold this bundle",
            where=str(path),
            expected=f"one of: {held}" if held else "",
            hint="import it first: appliance import DIR --root ROOT.json",
        )
    statement = _held(path, name, version)
    memory = Memory(site, demands, progress)
    signed = read_override(override) if override else None
    policy = Policy(now=datetime.now(UTC), demands=demands, state=memory.load(), override=signed)
    overridden = policy.check_switch(statement, memory.newest_root() if signed else None)
    if signed and overridden:
        record_override(site, signed, overridden)
    return replace(make_current(site, statement), overridden=overridden)


def make_current(site: Site, held: Statement) -> Switched:
    """Switch to the bundle of ``held``, which the site holds, and write that into its log."""
    name, version = held.predicate.name, held.predicate.version
    previous = site.current_version(name)
    changed = site.switch(name, version)
    record_switch(site, _version_of(held), previous, changed=changed)
    return Switched(site.path(name, version), previous, changed)


def current_bundle(site: Site, name: str) -> BundleVersion:
    """The bundle of this name that is current.  Raises BadInput (``bundle-not-current``)."""
    version = site.current_version(name)
    if version is None:
        raise BadInput("bundle-not-current", "no version of this bundle is current", where=f"{site.root}, {name}")
    return _version_of(_held(site.path(name, version), name, version))


def _version_of(statement: Statement) -> BundleVersion:
    head = statement.predicate
    return BundleVersion(name=head.name, version=head.version, sha256sums=statement.subject[0].digest.sha256)


def _held(path: Path, name: str, version: str) -> Statement:
    """Names may hold what looks like a version: two bundles can have one directory name."""
    try:
        statement = parse_statement((path / STATEMENT).read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput("site-malformed", f"this is not a bundle: {error}", where=str(path)) from None
    head = statement.predicate
    if (head.name, head.version) != (name, version):
        raise BadInput(
            "bundle-not-imported",
            "the site holds another bundle there",
            where=str(path),
            expected=f"{name} {version}",
            found=f"{head.name} {head.version}",
        )
    return statement
