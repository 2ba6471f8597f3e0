"""``appliance root``: make a root chain, and change who may sign.

Each verb writes one more document, signed by the keys that are at hand; the others sign it
on their own machines with ``appliance sign``.  A document counts when all have signed that
it asks for, and nothing is ever overwritten but a document by itself with more signatures.
"""

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadInput
from appliance.model.documents.root import RELEASE_ROLES, ROLE_NAMES, ROOT_ROLES, RootDocument
from appliance.steps.documents.chain import Link, document_path, read_link, read_links
from appliance.steps.host.clock import span
from appliance.store.disk import make_directory
from appliance.store.whole import changing, write_whole
from appliance.trust.collect import add_signatures, sign_envelope
from appliance.trust.dsse import Envelope, encode_envelope
from appliance.trust.issue import DUTIES, Amendment, Duty, NewKey, first_document, next_document, role_for, unsigned
from appliance.trust.keys import PublicKey, Signer
from appliance.trust.root import Root, count_link, parse_root, walk_chain

Thresholds = Mapping[Duty, int | None]


@dataclass(frozen=True)
class Difference:
    """One thing that a document changes: ``what`` (added, removed, revoked, threshold), for
    which ``role``, and the key or the numbers.
    """

    what: str
    role: str
    subject: str


def new(
    path: Path, keys: Mapping[Duty, Sequence[NewKey]], thresholds: Thresholds, signers: Sequence[Signer], *, years: int
) -> Link:
    """Write root version 1 to ``path``, a .json file or the directory of a chain that begins.

    Raises BadInput (``root-exists``, ``root-threshold-missing`` and more).
    """
    target = path if path.suffix == ".json" else document_path(path, 1)
    _check_free(target)
    created, expires = span(365 * years)
    wanted = {duty: _threshold(duty, len(keys[duty]), thresholds.get(duty)) for duty in DUTIES}
    document = first_document(keys, wanted, created=created, expires=expires)
    return _write(target, None, document, signers)


def rotate(
    source: Path,
    add: Mapping[Duty, Sequence[NewKey]],
    remove: Sequence[str],
    thresholds: Thresholds,
    signers: Sequence[Signer],
    *,
    years: int,
) -> Link:
    """Write the next document of a chain, with keys added and removed; without any, it lasts longer.

    Where the same keys sign roots and bundles, a key that is added to sign bundles signs
    roots too.  ``remove`` are key ids or labels.  Raises BadInput (``root-*``).
    """
    links = _complete_chain(source)
    before = links[-1].root
    roles = before.document.roles
    if not add["root"] and all(
        getattr(roles, root) == getattr(roles, release) for root, release in zip(ROOT_ROLES, RELEASE_ROLES, strict=True)
    ):
        add = {**add, "root": add["release"]}
    change = Amendment(add, remove=frozenset(_find_key(name, links[-1:]) for name in remove), thresholds=thresholds)
    return _write_next(links[-1], change, signers, years)


def revoke(
    source: Path,
    names: Sequence[str],
    replace: Sequence[NewKey],
    thresholds: Thresholds,
    signers: Sequence[Signer],
    *,
    years: int,
) -> Link:
    """Write the next document of a chain, in which the keys ``names`` can never sign again.

    ``names`` are key ids or labels, of keys that any document has held.  The keys of
    ``replace`` take over the roles of the revoked keys of their type.
    """
    links = _complete_chain(source)
    document = links[-1].root.document
    revoked = frozenset(_find_key(name, links) for name in names)
    add = {
        duty: [one for one in replace if (role := role_for(document, one.key, duty)) and revoked & set(role.keyids)]
        for duty in DUTIES
    }
    for one in replace:
        if not any(one in added for added in add.values()):
            raise BadInput(
                "root-replace",
                "no revoked key of this type has a role that the new key could take over",
                where=f"{one.label}, {one.key.type}",
                hint="give it a role with appliance root rotate",
            )
    return _write_next(links[-1], Amendment(add, revoke=revoked, thresholds=thresholds), signers, years)


def show(source: Path) -> list[Link]:
    """A chain or a document with who has signed what.  Raises NotTrusted for one that breaks a rule."""
    links = read_links(source)
    if links[0].root.document.version == 1:
        complete = [link.root.data for link in links if link.tallies.complete]
        if complete:
            walk_chain(complete[0], complete)
    return links


def differences(before: RootDocument, after: RootDocument) -> list[Difference]:
    """What ``after`` changes."""
    entries = {**before.keys, **after.keys}

    def named(keyids: Iterable[str]) -> list[str]:
        return [f"{keyid}  {entries[keyid].label if keyid in entries else ''}".rstrip() for keyid in sorted(keyids)]

    found = []
    old, young = dict(before.roles.items()), dict(after.roles.items())
    for name in ROLE_NAMES:
        had, has = (set(roles[name].keyids) if name in roles else set() for roles in (old, young))
        found += [Difference("added", name, key) for key in named(has - had)]
        found += [Difference("removed", name, key) for key in named(had - has)]
        if name in old and name in young and old[name].threshold != young[name].threshold:
            found.append(Difference("threshold", name, f"{old[name].threshold} -> {young[name].threshold}"))
    return found + [Difference("revoked", "", key) for key in named(set(after.revoked) - set(before.revoked))]


def sign_root(path: Path, signers: Sequence[Signer], additions: Mapping[str, bytes]) -> Link:
    """Put signatures into a document: of ``signers``, and those that were made elsewhere.

    ``additions`` are copies of the document or bare signatures, by the names of their files.
    Raises BadInput (``key-not-in-root``) and NotTrusted for what does not hold; then nothing
    has changed.
    """
    with changing(path.parent, glob.escape(path.name)):
        link = read_link(path)
        envelope = link.root.envelope
        for name, content in additions.items():
            envelope = add_signatures(envelope, content, link.signing_keys, where=name)
        envelope = _signed(envelope, link.signing_keys, signers, path)
        if envelope != link.root.envelope:
            write_whole(path, encode_envelope(envelope), mode=0o644)
        return read_link(path)


def _complete_chain(source: Path) -> list[Link]:
    if not source.is_dir():
        raise BadInput(
            "root-chain-expected",
            "a single file cannot be continued: a chain must be a directory",
            where=str(source),
            hint="mkdir roots; cp ROOT.json roots/1.root.json; then give roots, and ROOT=roots to make bundle",
        )
    links = read_links(source)
    for link in links:
        if not link.tallies.complete:
            raise BadInput(
                "root-incomplete",
                "the document lacks signatures, so none can follow it yet",
                where=str(link.path),
                hint=f"see appliance root show {source}; to start over, remove the file",
            )
    chain = [link.root.data for link in links]
    walk_chain(chain[0], chain)
    return links


def _find_key(name: str, links: Sequence[Link]) -> str:
    """The id of the key that is called so, in the newest document that has one."""
    for link in reversed(links):
        keys = link.root.document.keys
        found = [keyid for keyid, entry in keys.items() if name in (keyid, entry.label)]
        if len(found) == 1:
            return found[0]
        if found:
            raise BadInput(
                "root-key-ambiguous",
                "several keys have this label",
                where=name,
                expected=f"one of the key ids {', '.join(found)}",
            )
    known = links[-1].root.document.keys
    raise BadInput(
        "root-key-unknown",
        "no key has this id or label",
        where=name,
        expected="one of " + ", ".join(entry.label for entry in known.values()),
        hint="appliance root show lists the keys",
    )


def _write_next(link: Link, change: Amendment, signers: Sequence[Signer], years: int) -> Link:
    created, expires = span(365 * years)
    document = next_document(link.root.document, change, created=created, expires=expires)
    target = document_path(link.path.parent, document.version)
    return _write(target, link.root, document, signers)


def _write(target: Path, before: Root | None, document: RootDocument, signers: Sequence[Signer]) -> Link:
    envelope = unsigned(document)
    root = parse_root(encode_envelope(envelope), str(target))
    keys = Link(target, before, root, count_link(before, root, str(target))).signing_keys
    data = encode_envelope(_signed(envelope, keys, signers, target))
    make_directory(target.parent)
    write_whole(target, data, mode=0o644, replace=False)
    return read_link(target)


def _signed(envelope: Envelope, keys: Mapping[str, PublicKey], signers: Sequence[Signer], path: Path) -> Envelope:
    for signer in signers:
        if signer.public.keyid not in keys:
            raise BadInput(
                "key-not-in-root",
                "the root role does not hold this key, neither before nor after the change",
                where=f"{path}, key {signer.public.keyid}",
                expected=f"one of {', '.join(sorted(keys))}",
                hint="if the previous document has it, put that one beside this one",
            )
        envelope = sign_envelope(envelope, signer)
    return envelope


def _check_free(target: Path) -> None:
    if os.path.lexists(target):
        raise BadInput(
            "root-exists",
            "the file exists and is not overwritten",
            where=str(target),
            hint="choose another name; to change a chain: appliance root rotate, appliance root revoke",
        )


def _threshold(duty: Duty, keys: int, given: int | None) -> int:
    if given is None and keys > 1:
        option = "--root-threshold" if duty == "root" else "--threshold"
        raise BadInput(
            "root-threshold-missing",
            f"several keys are given, but not how many of them must sign for the {duty} role",
            expected=f"{option} K, at least 2 so that nobody signs alone",
            found=f"{keys} keys",
        )
    return given or 1
