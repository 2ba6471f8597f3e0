"""What a root document changes, in words for those who are asked to sign it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from appliance.errors import BadInput
from appliance.model.documents.root import Role, RoleName, RootDocument
from appliance.steps.documents.chain import read_document
from appliance.trust.root import parse_root

_ACTS: Mapping[RoleName, str] = {
    "root": "sign root documents",
    "release": "sign bundles",
    "root_post_quantum": "co-sign root documents",
    "release_post_quantum": "co-sign bundles",
}


def compare(before: Path, after: Path) -> list[str]:
    """What the document ``after`` changes, one sentence for each thing.

    Nothing is said of its signatures.  Raises NotTrusted (``root-malformed``), and BadInput
    (``root-unreadable``, and ``root-order`` unless ``after`` is the next version).
    """
    old, new = (parse_root(read_document(path), str(path)).document for path in (before, after))
    if new.version != old.version + 1:
        raise BadInput(
            "root-order",
            "these two documents do not follow each other",
            where=str(after),
            expected=f"version {old.version + 1}",
            found=f"version {new.version}",
            hint="give the previous document first: appliance root diff 1.root.json 2.root.json",
        )
    return in_words(old, new)


def in_words(before: RootDocument, after: RootDocument) -> list[str]:
    """All that is different; what is not said is as it was."""
    told = [f"valid until {after.expires}, previously until {before.expires}"]
    for keyid in sorted({*before.keys, *after.keys, *before.revoked, *after.revoked}):
        told += _of_key(keyid, before, after)
    for name, act in _ACTS.items():
        had, has = _counts(_roles(before).get(name)), _counts(_roles(after).get(name))
        if had != has:
            told.append(f"to {act} takes {has}, previously {had}")
    return told


def _counts(role: Role | None) -> str:
    return f"{role.threshold} of {len(role.keyids)} keys" if role else "no key"


def _roles(document: RootDocument) -> dict[RoleName, Role]:
    return dict(document.roles.items())


def _of_key(keyid: str, before: RootDocument, after: RootDocument) -> Iterator[str]:
    old, new = before.keys.get(keyid), after.keys.get(keyid)
    label = new.label if new else old.label if old else "an earlier key"
    who = f"{label} ({keyid})"
    for name, act in _ACTS.items():
        had, has = (name in _roles(one) and keyid in _roles(one)[name].keyids for one in (before, after))
        if had != has:
            yield f"{who} may {'now' if has else 'no longer'} {act}"
    if keyid in after.revoked and keyid not in before.revoked:
        yield f"{who} is revoked for good"
    if keyid in before.revoked and keyid not in after.revoked:
        yield f"{who} is no longer revoked, which no verifier accepts: do not sign"
    if old and new and old.label != new.label:
        yield f"{who} was called {old.label}"
    if old and new and old.use != new.use:
        yield f"{who} is a {new.use} key, previously a {old.use} key"
