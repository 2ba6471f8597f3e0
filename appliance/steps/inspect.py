"""``appliance inspect``: what a bundle says it is, at a glance, without trusting it.

Sizes and names are read from the bundle's own documents, so the result is a claim;
``appliance verify`` is what makes it a fact.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from appliance.errors import BadInput
from appliance.model.bundle import INDEX, SIGNATURES, STATEMENT, BundleIndex, Predicate
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_INDEX, MAX_STATEMENT
from appliance.model.progress import Silent
from appliance.steps.sign import read_chain
from appliance.store.tree import Tree
from appliance.trust.root import walk_chain
from appliance.trust.statement import parse_statement


@dataclass(frozen=True)
class Claim:
    """What the bundle says.  ``signers``: key id and label, in the release role or not."""

    index: BundleIndex
    predicate: Predicate
    signers: tuple[tuple[str, str], ...]
    missing: tuple[tuple[str, str], ...]
    threshold: int
    root_version: int
    demo: bool


def inspect(bundle: Path) -> Claim:
    """Read the documents of a bundle.  Raises BadInput (``bundle-unreadable``)."""
    with Tree(bundle, Silent()) as tree:
        try:
            predicate = parse_statement(tree.read(STATEMENT, MAX_STATEMENT)).predicate
            data = tree.read(INDEX, MAX_INDEX)
            strict_json(data, limit=MAX_INDEX)
            index = BundleIndex.model_validate_json(data)
        except (ValueError, ValidationError) as error:
            raise BadInput("bundle-unreadable", f"this is no bundle that we know: {error}", where=str(bundle)) from None
        present = {path.split("/")[1].split(".")[0] for path in tree.listing() if path.startswith(f"{SIGNATURES}/")}
    chain = read_chain(bundle / "trust")
    root = walk_chain(chain[-1], chain).document
    role = root.roles.release
    labels = {keyid: entry.label for keyid, entry in root.keys.items()}
    return Claim(
        index=index,
        predicate=predicate,
        signers=tuple((keyid, labels.get(keyid, "unknown key")) for keyid in sorted(present)),
        missing=tuple((keyid, labels[keyid]) for keyid in role.keyids if keyid not in present),
        threshold=role.threshold,
        root_version=root.version,
        demo=any(root.keys[keyid].use == "demo" for keyid in role.keyids),
    )
