"""``appliance inspect``: what a bundle says it is, at a glance, without trusting it.

Sizes and names are read from the bundle's own documents, so the result is a claim;
``appliance verify`` is what makes it a fact.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from appliance.errors import BadInput, NotTrusted
from appliance.formats.cyclonedx import NOTHING_LISTED, listed_in
from appliance.formats.slsa import provenance_in
from appliance.model.documents.bundle import (
    INDEX,
    PROVENANCE,
    SBOM,
    SIGNATURES,
    STATEMENT,
    VULNERABILITIES,
    BundleIndex,
    Predicate,
    parse_index,
)
from appliance.model.documents.contents import Contents, ListedPart, ShownVulnerability
from appliance.model.documents.root import RELEASE_ROLES
from appliance.model.documents.vulnerabilities import VulnerabilityReport, parse_report
from appliance.model.limits import MAX_INDEX, MAX_SIGNATURE_FILE, MAX_STATEMENT
from appliance.model.progress import Silent
from appliance.steps.documents.chain import labels, read_bundle_chain
from appliance.steps.documents.contents import contents, dated, with_artifacts
from appliance.steps.host.clock import now
from appliance.store.tree import Tree
from appliance.trust.root import Root, walk_chain
from appliance.trust.signatures import check_signature
from appliance.trust.statement import parse_statement
from appliance.trust.threshold import Tally, tally

T = TypeVar("T")


@dataclass(frozen=True)
class Claim:
    """What the bundle says, and who has signed it by the bundle's own root.

    ``tallies`` count signatures that hold; ``strays`` are files among them that no verifier
    accepts, with the reason.  ``labels`` are what people call the keys.  ``parts`` are what its
    SBOM lists, none where there is none; ``known`` is its report of vulnerabilities, if it has one, and
    ``vulnerabilities`` what stands in it, the worst first.  ``contents`` counts all that.
    """

    index: BundleIndex
    predicate: Predicate
    tallies: tuple[Tally, ...]
    strays: tuple[tuple[str, str], ...]
    labels: Mapping[str, str]
    root_version: int
    demo: bool
    contents: Contents
    parts: tuple[ListedPart, ...]
    known: VulnerabilityReport | None
    vulnerabilities: tuple[ShownVulnerability, ...]


def inspect(bundle: Path) -> Claim:
    """Read the documents of a bundle.  Raises BadInput (``bundle-unreadable``)."""
    with Tree(bundle, Silent()) as tree:
        chain = read_bundle_chain(tree)
        root = walk_chain(chain[-1], chain)
        try:
            statement = tree.read(STATEMENT, MAX_STATEMENT)
            predicate = parse_statement(statement).predicate
            index = parse_index(tree.read(INDEX, MAX_INDEX))
        except ValueError as error:
            raise BadInput(
                "bundle-unreadable", f"this is not a bundle of a known form: {error}", where=str(bundle)
            ) from None
        signers, strays = _signatures(tree, statement, root)
        listed = _evidence(tree, bundle, SBOM, listed_in) or NOTHING_LISTED
        known = _evidence(tree, bundle, VULNERABILITIES, parse_report)
        provenance = _evidence(tree, bundle, PROVENANCE, provenance_in)
    day, (found, waived) = now().partition("T")[0], (known.vulnerabilities, known.waived) if known else ((), ())
    vulnerabilities = with_artifacts(found, waived, day)
    return Claim(
        index=index,
        predicate=predicate,
        tallies=tuple(tally(one.name, one.role, signers) for one in root.quorums(*RELEASE_ROLES)),
        strays=tuple(strays),
        labels=labels(root),
        root_version=root.document.version,
        demo=any(root.document.keys[keyid].use == "demo" for keyid in root.document.roles.release.keyids),
        contents=contents(
            f"{predicate.name} {predicate.version}",
            [f"{artifact.kind}/{artifact.name}" for artifact in index.artifacts],
            listed.parts,
            vulnerabilities,
            dated(waived, found, day),
            provenance,
        ),
        parts=listed.parts,
        known=known,
        vulnerabilities=vulnerabilities,
    )


def _evidence(tree: Tree, bundle: Path, path: str, read: Callable[[bytes], T]) -> T | None:
    """What a file of the bundle's evidence says; None where it has no such file."""
    if not tree.holds(path):
        return None
    try:
        return read(tree.read(path, MAX_INDEX))
    except ValueError as error:
        what = f"its evidence cannot be read: {error}"
        raise BadInput("bundle-unreadable", what, where=str(bundle / path)) from None


def _signatures(tree: Tree, statement: bytes, root: Root) -> tuple[list[str], list[tuple[str, str]]]:
    """The ids of the keys whose signature files hold, and the others with what is wrong."""
    signers, strays = [], []
    for path in sorted(path for path in tree.listing() if path.startswith(f"{SIGNATURES}/")):
        keyid = path.removeprefix(f"{SIGNATURES}/").removesuffix(".sigstore.json")
        try:
            signers.append(check_signature(tree.read(path, MAX_SIGNATURE_FILE), statement, keyid, root).keyid)
        except NotTrusted as error:
            strays.append((path, error.what))
    return signers, strays
