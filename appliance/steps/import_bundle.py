"""``appliance import``: take a carried bundle into a site, verified while it is copied.

Signatures, list and set of files are verified before anything is written.  Then each file
is read from the medium once, hashed while it is written, and what comes out becomes a
bundle of the site only when the verifier has accepted all of it.  docs/adr/0007-import.md
gives the reasons.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from appliance.errors import NotTrusted
from appliance.model.bundle import SUMS
from appliance.model.files import Entry
from appliance.model.limits import MAX_SUMS
from appliance.model.progress import Progress
from appliance.model.versions import version_key
from appliance.steps.evidence import accepted, record, record_root, refusals_recorded
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
    ``current`` which version is.
    """

    bundle: VerifiedBundle
    path: Path
    written: bool
    linked: int
    switched: bool
    current: str | None


def import_bundle(source: Path, root: Path, site: Site, progress: Progress, *, switch: bool = True) -> Imported:
    """Import the bundle at ``source`` by the root document in ``root``.

    With ``switch`` it becomes the current one of its name, unless a newer one is.
    Raises NotTrusted for whatever ``appliance verify`` refuses, and ``version-reused`` when
    the site holds other content under this name and version; BadInput when the disk is too
    small or another import is running.  Then nothing has changed but the log, which tells of
    refusals too.
    """
    trusted = read_trusted(root)
    Log(site.root).check_end()
    with Tree(source, progress) as tree:
        with refusals_recorded(site, tree, trusted, progress):
            taken = _take(tree, trusted, site, progress)
        bundle = taken.bundle
        record(site, "import", accepted(bundle, trusted))
        record_root(site, bundle.root)
    head = bundle.statement.predicate
    switched = switch and _may_switch(site, head.name, head.version, progress)
    switched = switched and make_current(site, bundle.statement).changed
    return replace(taken, switched=switched, current=site.current_version(head.name))


def _take(tree: Tree, trusted: bytes, site: Site, progress: Progress) -> Imported:
    """Verify the bundle in ``tree`` and make it one of the site's; which is current stays."""
    policy = Policy(now=datetime.now(UTC))
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
        else:
            _check_same(path, listed, progress)
            bundle = verify_files(listed, tree)
            with _held(path, progress) as held:
                verify(held, trusted, policy)
    return Imported(bundle, path, written, linked, switched=False, current=None)


class _Recorder:
    """Keeps every document that the verifier reads: what is written is what it has seen."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.documents: dict[str, bytes] = {}

    def listing(self) -> Mapping[str, Entry]:
        return self._tree.listing()

    def read(self, path: str, limit: int) -> bytes:
        self.documents[path] = self._tree.read(path, limit)
        return self.documents[path]

    def digests(self, paths: Sequence[str]) -> Iterable[tuple[str, str]]:
        return self._tree.digests(paths)


class _Copier:
    """Writes every file that the verifier hashes."""

    def __init__(self, tree: Tree, staging: Staging) -> None:
        self._tree = tree
        self._staging = staging

    def listing(self) -> Mapping[str, Entry]:
        return self._tree.listing()

    def read(self, path: str, limit: int) -> bytes:
        return self._tree.read(path, limit)

    def digests(self, paths: Sequence[str]) -> Iterable[tuple[str, str]]:
        return self._tree.digests(paths, self._staging.receive)


def _copy(
    tree: Tree, listed: VerifiedList, documents: Mapping[str, bytes], staging: Staging, site: Site, progress: Progress
) -> VerifiedBundle:
    staging.link(_held_files(site, set(listed.digests.values())), progress)
    staging.check_room()
    staging.make_folders()
    bundle = verify_files(listed, _Copier(tree, staging))
    for path, data in documents.items():
        staging.write(path, data)
    staging.commit()
    return bundle


def _held_files(site: Site, wanted: set[str]) -> dict[str, Path]:
    """Files of the site's bundles that should have these digests, by digest.

    The lists are not verified again: each file is hashed before it is used.
    """
    held: dict[str, Path] = {}
    for folder in site.bundles():
        try:
            listed = parse_sums((folder / SUMS).read_bytes())
        except (OSError, ValueError):
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
            "the site holds other content under the same name and version",
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
            hint=f"switch to another version, remove {path} and import the bundle again",
            problems=error.problems,
        ) from None


def _may_switch(site: Site, name: str, version: str, progress: Progress) -> bool:
    """An old bundle that turns up again, rightly signed, must not roll a site back."""
    current = site.current_version(name)
    if current is None or version_key(current) <= version_key(version):
        return True
    progress.step(f"{current} stays current, it is newer; to go back: appliance switch {name} {version}")
    return False
