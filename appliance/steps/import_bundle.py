"""``appliance import``: take a carried bundle into a site, verified while it is copied.

Signatures, list and set of files are verified before anything is written.  Then each file
is read from the medium once, hashed while it is written, and what comes out becomes a
bundle of the site only when the verifier has accepted all of it and the site's state knows
of it.  docs/adr/0007-import.md gives the reasons.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from appliance.errors import ApplianceError, NotTrusted
from appliance.model.documents.bundle import SUMS
from appliance.model.documents.override import Allowance
from appliance.model.documents.policy import DEFAULT_POLICY, SitePolicy
from appliance.model.files import TreeEntry
from appliance.model.limits import MAX_SUMS
from appliance.model.progress import Progress
from appliance.model.taps import Tap, both
from appliance.steps.documents.policy import read_override
from appliance.steps.site.evidence import accepted, record, record_override, record_root, refusals_recorded
from appliance.steps.site.state import AS_HELD, Memory
from appliance.steps.switch import make_current
from appliance.steps.verify import read_trusted
from appliance.store.log import Log
from appliance.store.site import Site
from appliance.store.staging import Staging
from appliance.store.tree import Tree
from appliance.trust.policy import Policy
from appliance.trust.sums import parse_sums
from appliance.trust.verify import VerifiedBundle, VerifiedList, verify, verify_files, verify_list


@dataclass(frozen=True)
class Imported:
    """A bundle of the site.

    ``written`` says whether it was not there before, ``linked`` how many of its files are
    shared with other bundles.  ``switched`` says whether it has become the current one,
    ``current`` which version is.  ``overridden`` is what only an override has allowed.
    """

    bundle: VerifiedBundle
    path: Path
    written: bool
    linked: int
    switched: bool
    current: str | None
    overridden: tuple[Allowance, ...]


def import_bundle(
    source: Path,
    root: Path,
    site: Site,
    progress: Progress,
    *,
    demands: SitePolicy = DEFAULT_POLICY,
    override: Path | None = None,
    switch: bool = True,
) -> Imported:
    """Import the bundle at ``source`` by the root document in ``root`` and the site's ``demands``.

    With ``switch`` it becomes the current one of its name, unless the override was needed to go back to it.
    Raises NotTrusted for whatever ``appliance verify`` refuses, and for what the site's
    policy or state forbid; BadInput when the disk is too small or another import is
    running.  Then nothing has changed but the log, which tells of refusals too.
    """
    trusted = read_trusted(root)
    Log(site.root).check_end()
    with Tree(source, progress) as tree:
        with refusals_recorded(site, tree, trusted, progress):
            memory = Memory(site, demands, progress)
            signed = read_override(override) if override else None
            policy = Policy(now=datetime.now(UTC), demands=demands, state=memory.load(), override=signed)
            taken = _take(tree, trusted, site, memory, policy, progress)
        bundle = taken.bundle
        record(site, "import", accepted(bundle, trusted))
        record_root(site, bundle.root)
    head = bundle.statement.predicate
    switched = switch and _may_switch(site, taken, progress)
    switched = switched and make_current(site, bundle.statement).changed
    return replace(taken, switched=switched, current=site.current_version(head.name))


def _take(tree: Tree, trusted: bytes, site: Site, memory: Memory, policy: Policy, progress: Progress) -> Imported:
    """Verify the bundle in ``tree`` and make it one of the site's; which is current stays."""
    reader = _Recorder(tree)
    listed = verify_list(reader, trusted, policy)
    head = listed.statement.predicate
    path = site.path(head.name, head.version)
    with site.importing():
        linked = 0
        if written := path not in site.bundles():
            with site.staging(head.name, head.version, listed.files) as staging:
                bundle = _copy(tree, listed, reader.documents, staging, site, progress)
                linked = len(staging.linked)
                _accept(listed, site, memory, policy)
                staging.commit()
        else:
            _check_same(path, listed, progress)
            bundle = verify_files(listed, tree)
            with _held(path, progress) as held:
                verify(held, trusted, AS_HELD)
            _accept(listed, site, memory, policy)
    return Imported(bundle, path, written, linked, switched=False, current=None, overridden=listed.overridden)


def _accept(listed: VerifiedList, site: Site, memory: Memory, policy: Policy) -> None:
    if policy.override and listed.overridden:
        record_override(site, policy.override, listed.overridden)
    memory.accept(listed, policy)


class _Recorder:
    """Keeps every document that the verifier reads: what is written is what it has seen."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.documents: dict[str, bytes] = {}

    def listing(self) -> Mapping[str, TreeEntry]:
        return self._tree.listing()

    def read(self, path: str, limit: int) -> bytes:
        self.documents[path] = self._tree.read(path, limit)
        return self.documents[path]

    def digests(self, paths: Sequence[str], tap: Tap | None = None) -> Iterable[tuple[str, str]]:
        return self._tree.digests(paths, tap)


class _Copier:
    """Writes every file that the verifier hashes."""

    def __init__(self, tree: Tree, staging: Staging) -> None:
        self._tree = tree
        self._staging = staging

    def listing(self) -> Mapping[str, TreeEntry]:
        return self._tree.listing()

    def read(self, path: str, limit: int) -> bytes:
        return self._tree.read(path, limit)

    def digests(self, paths: Sequence[str], tap: Tap | None = None) -> Iterable[tuple[str, str]]:
        return self._tree.digests(paths, both(self._staging.receive, tap))


def _copy(
    tree: Tree, listed: VerifiedList, documents: Mapping[str, bytes], staging: Staging, site: Site, progress: Progress
) -> VerifiedBundle:
    staging.link(_held_files(site, set(listed.digests.values()), progress), progress, listed.sha384)
    staging.check_room()
    staging.make_folders()
    bundle = verify_files(listed, _Copier(tree, staging))
    for path, data in documents.items():
        if path not in listed.digests:
            staging.write(path, data)
    staging.settle()
    return bundle


def _held_files(site: Site, wanted: set[str], progress: Progress) -> dict[str, Path]:
    """Files of the site's bundles that should have these digests, by digest.

    The lists are not verified again: each file is hashed before it is used.
    """
    held: dict[str, Path] = {}
    for folder in site.bundles():
        try:
            with Tree(folder, progress) as tree:
                listed = parse_sums(tree.read(SUMS, MAX_SUMS))
        except (ApplianceError, ValueError):
            continue  # nothing to share; `appliance verify` tells what is wrong with it
        held |= {digest: folder / path for path, digest in listed.items() if digest in wanted}
    return held


def _check_same(path: Path, listed: VerifiedList, progress: Progress) -> None:
    with _held(path, progress) as tree:
        found = hashlib.sha256(tree.read(SUMS, MAX_SUMS)).hexdigest()
    signed = listed.statement.subject[0].digest.sha256
    if found != signed:
        raise NotTrusted(
            "version-reused",
            "the site holds different content under the same name and version",
            where=str(path),
            expected=f"SHA256SUMS {found}",
            found=signed,
            hint="one version never has two contents: ask the signers which is right, and for a new version",
        )


@contextmanager
def _held(path: Path, progress: Progress) -> Iterator[Tree]:
    """What the site holds already.  "No change" would be wrong to say of a damaged copy."""
    try:
        with Tree(path, progress) as tree:
            yield tree
    except NotTrusted as error:
        raise NotTrusted(
            error.reference,
            f"the site's own copy does not verify: {error.what}",
            where=str(path / error.where),
            expected=error.expected,
            found=error.found,
            hint=f"switch to another version, then remove {path} and import the bundle again",
            problems=error.problems,
        ) from None


def _may_switch(site: Site, taken: Imported, progress: Progress) -> bool:
    """Whether the bundle is newer than what is current, and not just allowed to be there."""
    head = taken.bundle.statement.predicate
    current = site.current_version(head.name)
    if current is None or "rollback" not in taken.overridden:
        return True
    progress.step(f"{current} stays current; to go back: appliance switch {head.name} {head.version}")
    return False
