"""Root chains on disk: a directory with 1.root.json, 2.root.json ..., or one document alone.

A document may still be going round for signatures, so what is read here is not yet trusted:
``trust.root.walk_chain`` is what makes it so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadInput, NotTrusted
from appliance.model.documents.bundle import ROOTS
from appliance.model.documents.root import ROOT_ROLES
from appliance.model.limits import MAX_CHAIN, MAX_ENVELOPE
from appliance.store.disk import read_bounded
from appliance.store.tree import Tree
from appliance.trust.keys import PublicKey
from appliance.trust.root import LinkTallies, Root, count_link, parse_root

_NAME = re.compile(r"([1-9][0-9]{0,6})\.root\.json")


@dataclass(frozen=True)
class Link:
    """A document of a chain and who has signed it.

    ``before`` is the one that it follows; None for the first, and where it is not at hand.
    """

    path: Path
    before: Root | None
    root: Root
    tallies: LinkTallies

    @property
    def signing_keys(self) -> dict[str, PublicKey]:
        """The keys that may sign the document."""
        roots = [self.root] if self.before is None else [self.before, self.root]
        quorums = [quorum for root in roots for quorum in root.quorums(*ROOT_ROLES)]
        return {keyid: quorum.keys[keyid] for quorum in quorums for keyid in quorum.role.keyids}

    @property
    def labels(self) -> Mapping[str, str]:
        """What people call these keys."""
        return labels(self.root) if self.before is None else {**labels(self.before), **labels(self.root)}


def labels(root: Root) -> dict[str, str]:
    """The label of each key of a document, by its id."""
    return {keyid: entry.label for keyid, entry in root.document.keys.items()}


def document_path(folder: Path, version: int) -> Path:
    """Where the document of a version lies in a chain's directory."""
    return folder / f"{version}.root.json"


def chain_paths(source: Path) -> list[Path]:
    """The documents of a chain in order: one file, or those of a directory.

    Raises BadInput (``root-unreadable``), and NotTrusted (``root-skipped``) for a gap.
    """
    try:
        if not source.is_dir():
            return [source]
        versions = sorted(int(match[1]) for path in source.iterdir() if (match := _NAME.fullmatch(path.name)))
    except OSError as error:
        raise _unreadable(source, error) from None
    if not versions:
        raise BadInput(
            "root-unreadable",
            "there is no 1.root.json",
            where=str(source),
            hint="give a root document, or the directory of a root chain",
        )
    if versions != list(range(1, len(versions) + 1)) or len(versions) > MAX_CHAIN:
        missing = next(number for number, version in enumerate([*versions, 0], start=1) if version != number)
        raise NotTrusted(
            "root-skipped",
            "a document of the root chain is missing",
            where=str(document_path(source, missing)),
            hint="put the missing document there; a chain has no gaps",
        )
    return [document_path(source, version) for version in versions]


def read_chain(source: Path) -> list[bytes]:
    """Root documents in order, from one file or from the directory of a chain."""
    return [read_document(path) for path in chain_paths(source)]


def read_bundle_chain(tree: Tree) -> list[bytes]:
    """A bundle's root documents in order, up to the first that is missing.

    Raises NotTrusted for what is no ordinary file, and BadInput (``root-unreadable``) for none.
    """
    chain: list[bytes] = []
    while len(chain) < MAX_CHAIN and tree.holds(path := f"{ROOTS}/{len(chain) + 1}.root.json"):
        chain.append(tree.read(path, MAX_ENVELOPE))
    if not chain:
        raise BadInput("root-unreadable", "the bundle has no 1.root.json", where=str(tree.root / ROOTS))
    return chain


def read_document(path: Path) -> bytes:
    """The bytes of one document.  Raises BadInput (``root-unreadable``)."""
    return read_bounded(path, MAX_ENVELOPE, "root-unreadable", "the root document")


def read_links(source: Path) -> list[Link]:
    """A chain with who has signed what.  Raises BadInput, and NotTrusted (``root-*``)."""
    links: list[Link] = []
    for path in chain_paths(source):
        links.append(_link(path, links[-1].root if links else None))
    if len(links) > 1 or links[0].root.document.version == 1:
        return links
    return [read_link(source)]


def read_link(path: Path) -> Link:
    """One document; the one that it follows is looked for beside it."""
    version = parse_root(read_document(path), str(path)).document.version
    earlier = document_path(path.parent, version - 1)
    before = parse_root(read_document(earlier), str(earlier)) if version > 1 and earlier.exists() else None
    return _link(path, before)


def _link(path: Path, before: Root | None) -> Link:
    root = parse_root(read_document(path), str(path))
    return Link(path, before, root, count_link(before, root, str(path)))


def _unreadable(path: Path, error: OSError) -> BadInput:
    return BadInput("root-unreadable", f"the root document cannot be read: {error.strerror}", where=str(path))
