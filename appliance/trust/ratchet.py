"""What a site's memory forbids: old bundles, and a clock that was turned back.

Pure rules on a SiteState; who keeps it is store/state.py.  They are told by epochs: an
epoch begins with a root document that changes the release role.  So whoever stole keys can
drive versions and time up, and the rotation that takes the keys from them undoes it, but
nobody gets an old bundle in by a rotation: docs/adr/0012-site-state.md.
"""

from appliance.errors import NotTrusted
from appliance.model.documents.bundle import Predicate, Statement
from appliance.model.documents.root import Lineage
from appliance.model.documents.state import Accepted, Epoch, SiteState
from appliance.model.versions import VersionKey, version_key


def latest(state: SiteState) -> str:
    """The latest moment that documents of the newest epoch prove to have been; empty for none."""
    return state.epochs[max(state.epochs)].time if state.epochs else ""


def latest_of(state: SiteState, lineage: Lineage) -> str:
    """The same, for a chain that may have begun a newer epoch."""
    epoch = state.epochs.get(lineage.epoch)
    return max(lineage.created, epoch.time if epoch else "")


def rollback(state: SiteState, lineage: Lineage, head: Predicate) -> NotTrusted | None:
    """What is wrong with a version that is older than an accepted one (``bundle-rollback``)."""
    highest = max(_rivals(state, lineage, head), key=_order, default=None)
    if highest is None or _order(highest) <= version_key(head.version):
        return None
    return NotTrusted(
        "bundle-rollback",
        "the site has accepted a newer version of this bundle",
        where="statement.json",
        expected=f"at least {head.name} {highest.version}",
        found=head.version,
        hint=f"if the site still holds it: appliance switch {head.name} {head.version}; "
        "otherwise ask the signers for a newer version, or for an override",
    )


def check_reuse(state: SiteState, lineage: Lineage, statement: Statement) -> None:
    """Raise NotTrusted (``version-reused``) for an accepted version with another list."""
    head, found = statement.predicate, statement.subject[0].digest.sha256
    for accepted in _rivals(state, lineage, head):
        if _order(accepted) == version_key(head.version) and accepted.sha256sums != found:
            raise NotTrusted(
                "version-reused",
                "the site has accepted different content under the same name and version",
                where="SHA256SUMS",
                expected=f"SHA-256 {accepted.sha256sums}",
                found=found,
                hint="one version never has two contents: ask the signers which is right, and for a new version",
            )


def accept(state: SiteState, lineage: Lineage, statement: Statement) -> SiteState:
    """The state after a bundle was accepted; nothing in it ever goes down."""
    head = statement.predicate
    epoch = state.epochs.get(lineage.epoch, Epoch(time=lineage.created, bundles={}))
    bundles = dict(epoch.bundles)
    highest = bundles.get(head.name)
    if highest is None or _order(highest) < version_key(head.version):
        bundles[head.name] = Accepted(version=head.version, sha256sums=statement.subject[0].digest.sha256)
    changed = Epoch(time=max(epoch.time, lineage.created, head.created), bundles=bundles)
    roots = max(state.roots, lineage.documents, key=len)
    return state.model_copy(update={"roots": roots, "epochs": {**state.epochs, lineage.epoch: changed}})


def _rivals(state: SiteState, lineage: Lineage, head: Predicate) -> list[Accepted]:
    """The accepted bundles that one of this name and age is measured by."""
    if head.created >= lineage.began:  # by the keys of this epoch and in its time
        epochs = [epoch for number, epoch in state.epochs.items() if number == lineage.epoch]
    else:
        epochs = list(state.epochs.values())
    return [epoch.bundles[head.name] for epoch in epochs if head.name in epoch.bundles]


def _order(accepted: Accepted) -> VersionKey:
    return version_key(accepted.version)
