"""The root chain: who may sign, learnt link by link from one document that is trusted.

N+1 is signed by the threshold of N's root role and of its own, and revokes whatever N
revokes.  A verifier is given one document it trusts; the chain has to hold that very
document, and every other that was accepted before, and goes on from there.  A document is
known by its payload: others may have signed a copy of it since.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from pydantic import ValidationError

from appliance.errors import NotTrusted
from appliance.model.documents.root import RELEASE_ROLES, ROOT_PAYLOAD_TYPE, ROOT_ROLES, Lineage, RoleName, RootDocument
from appliance.model.jsonform import parse_canonical
from appliance.model.limits import (
    MAX_CHAIN,
    MAX_CHAIN_BYTES,
    MAX_CHAIN_KEYS,
    MAX_CHAIN_SIGNATURES,
    MAX_ENVELOPE,
)
from appliance.model.value_problem import first_problem
from appliance.trust.algorithms import CO_SIGNING
from appliance.trust.dsse import Envelope, decode_envelope
from appliance.trust.keys import PublicKey
from appliance.trust.threshold import Quorum, Tally, count, require, tally, valid_signers


@dataclass(frozen=True)
class Root:
    """A root document with its keys ready for use.

    A document that was read alone has a lineage of its own, as if nothing had been before.
    """

    document: RootDocument
    envelope: Envelope
    data: bytes
    keys: Mapping[str, PublicKey]
    lineage: Lineage

    @property
    def identity(self) -> str:
        """What the document is known by: the SHA-256 of its payload, whoever has signed it."""
        return self.lineage.documents[-1]

    def quorums(self, *names: RoleName) -> list[Quorum]:
        """Those of the named roles that the document has."""
        return [
            Quorum(f"{name.replace('_', ' ')} role of version {self.document.version}", role, self.keys)
            for name, role in self.document.roles.items()
            if name in names
        ]


@dataclass(frozen=True)
class LinkTallies:
    """How far the thresholds are met that a link of the chain has to meet.

    Every verifier wants those of ``signing``, one that demands CNSA 2.0 also the others.
    """

    signing: tuple[Tally, ...]
    co_signing: tuple[Tally, ...]

    @property
    def complete(self) -> bool:
        """Whether nobody has to sign any more."""
        return all(tally.met for tally in (*self.signing, *self.co_signing))


def role_of(key: PublicKey, names: tuple[RoleName, RoleName]) -> RoleName:
    """Which of two roles, one that signs and one that co-signs the same, takes a key of this type."""
    signing, co_signing = names
    return co_signing if key.algorithm.co_signs else signing


def parse_root(data: bytes, where: str) -> Root:
    """Read a root document, whoever has signed it.  That alone makes nothing trusted.

    Raises NotTrusted (``root-malformed``); ``where`` names the file.
    """
    try:
        envelope = decode_envelope(data, ROOT_PAYLOAD_TYPE)
        parse_canonical(envelope.payload, limit=MAX_ENVELOPE)
        document = RootDocument.model_validate_json(envelope.payload)
        keys = {keyid: PublicKey.from_spki(entry.spki) for keyid, entry in document.keys.items()}
        _check_keys(document, keys)
    except ValidationError as error:
        raise _malformed(first_problem(error), where) from None
    except ValueError as error:
        raise _malformed(str(error), where) from None
    lineage = Lineage((_digest(envelope),), document.version, document.created, document.created)
    return Root(document, envelope, data, keys, lineage)


def identity_of(data: bytes) -> str | None:
    """What a file's root document is known by; None for a file that holds none."""
    try:
        return parse_root(data, "").identity
    except NotTrusted:
        return None


def read_root(data: bytes, where: str) -> Root:
    """Read a root document and check that its own root threshold has signed it.

    That alone makes nothing trusted.  Raises NotTrusted (``root-malformed``,
    ``root-threshold``); ``where`` names the file.
    """
    root = parse_root(data, where)
    signers = valid_signers(root.envelope, root.keys)
    own = [tally(quorum.name, quorum.role, signers) for quorum in root.quorums("root")]
    require(own, subject="root", where=where)
    return root


def walk_chain(
    trusted: bytes,
    chain: Sequence[bytes],
    *,
    accepted: Mapping[int, str] = MappingProxyType({}),
    post_quantum: bool = False,
    trusted_name: str = "the trusted root",
) -> Root:
    """The newest root that ``trusted`` leads to.

    ``chain`` holds the bundle's documents in order, from version 1.  ``accepted`` holds what
    was accepted before: version to SHA-256 of the payload.  With ``post_quantum``, from the
    trusted document on, each has to be co-signed as it is signed.

    Raises NotTrusted: ``root-malformed``, ``root-unknown`` when the chain does not hold
    ``trusted``, ``root-stale`` when it ends before a document that is known, ``root-forked``
    when it holds another in place of one that was accepted, ``root-skipped`` and
    ``root-looped`` for a version in the wrong place, ``root-signature``, ``root-threshold``,
    ``root-unrevoked``, ``root-not-co-signed``, and ``root-chain`` for an absurd size.
    """
    trusted_root = parse_root(trusted, trusted_name)
    anchor = trusted_root.document.version
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise NotTrusted("root-chain", f"the root chain has {len(chain)} documents", where="trust/")
    _check_trusted(chain, anchor, trusted_root.envelope.payload)
    _check_amount("bytes", sum(map(len, chain)), MAX_CHAIN_BYTES)
    roots: list[Root] = []
    keys: set[str] = set()
    signatures = 0
    for number, data in enumerate(chain, start=1):
        roots.append(_follow(roots[-1] if roots else None, data, number))
        keys |= roots[-1].keys.keys()
        signatures += len(roots[-1].envelope.signatures)
        _check_amount("different keys", len(keys), MAX_CHAIN_KEYS)
        _check_amount("signatures", signatures, MAX_CHAIN_SIGNATURES)
    check_accepted(roots[-1].lineage.documents, accepted)
    if post_quantum:
        for number in range(anchor, len(roots) + 1):
            _check_co_signed(roots[max(anchor, number - 1) - 1 : number])
    return roots[-1]


def _check_amount(what: str, found: int, most: int) -> None:
    if found > most:
        raise NotTrusted(
            "root-chain",
            f"the root documents have too many {what} in total",
            where="trust/",
            expected=f"at most {most}",
            found=str(found),
        )


def _check_trusted(chain: Sequence[bytes], anchor: int, trusted: bytes) -> None:
    if anchor > len(chain):
        raise _stale("the trusted root", anchor, len(chain))
    try:
        found = decode_envelope(chain[anchor - 1], ROOT_PAYLOAD_TYPE).payload
    except ValueError:
        return  # the walk tells what is wrong with it
    if found != trusted:
        raise NotTrusted(
            "root-unknown",
            "the bundle's root chain does not hold the trusted root",
            where=_name(anchor),
            hint="use the root document that you got from the signers by another route, not the bundle's",
        )


def check_accepted(documents: Sequence[str], accepted: Mapping[int, str]) -> None:
    """Whoever comes later with another history must not be believed, nor with a shorter one.

    Both are SHA-256 of payloads: who has signed a document is not compared, because anybody
    can make another signature of an ECDSA signature, and it does not change what is said.
    Raises NotTrusted: ``root-forked``, ``root-stale``.
    """
    for version, digest in sorted(accepted.items()):
        if version <= len(documents) and documents[version - 1] != digest:
            raise NotTrusted(
                "root-forked",
                "the bundle's root chain holds a different document from the one that was accepted before",
                where=_name(version),
                expected=f"a payload with SHA-256 {digest}",
                found=documents[version - 1],
                hint="one version never has two contents: show both documents to the signers, and import nothing",
            )
    if (known := max(accepted, default=0)) > len(documents):
        raise _stale("one that was accepted before", known, len(documents))


def _stale(than: str, expected: int, found: int) -> NotTrusted:
    return NotTrusted(
        "root-stale",
        f"the bundle's root chain is older than {than}",
        where="trust/",
        expected=f"at least version {expected}",
        found=f"version {found}",
        hint="the bundle was made before keys changed: ask the signers for one that carries the newest root",
    )


def _digest(envelope: Envelope) -> str:
    return hashlib.sha256(envelope.payload).hexdigest()


def _follow(before: Root | None, data: bytes, number: int) -> Root:
    """The next link after ``before``, which is None for the first."""
    where = _name(number)
    root = read_root(data, where)
    if (version := root.document.version) != number:
        raise NotTrusted(
            "root-skipped" if version > number else "root-looped",
            "a version is left out" if version > number else "an older version comes again",
            where=where,
            expected=f"version {number}",
            found=f"version {version}",
            hint="the chain was put together wrongly: copy it again from where the root documents are kept",
        )
    require(count_link(before, root, where).signing, subject="root", where=where)
    if before is None:
        return root
    if forgotten := sorted(set(before.document.revoked) - set(root.document.revoked)):
        raise NotTrusted(
            "root-unrevoked",
            f"key {forgotten[0]} was revoked before and no longer is",
            where=where,
            hint="a key that was revoked stays revoked: ask the signers for a correct document",
        )
    return replace(root, lineage=_lineage(before, root))


def _lineage(before: Root, root: Root) -> Lineage:
    documents = before.lineage.documents + root.lineage.documents
    # A document that was made by a clock that was slow is not older than the one before it.
    created = max(before.lineage.created, root.document.created)
    if before.document.roles.release == root.document.roles.release:
        return replace(before.lineage, documents=documents, created=created)
    return Lineage(documents, root.document.version, created, created)


def count_link(before: Root | None, root: Root, where: str) -> LinkTallies:
    """Who has signed ``root``, which follows ``before``, as both ask for it.

    Raises NotTrusted (``root-signature``) for a signature that neither has a use for.  Where
    ``before`` is not at hand, only what ``root`` asks for itself is known and counted.
    """
    links = [root] if before is None else [before, root]
    signing, co_signing = ([quorum for link in links for quorum in link.quorums(name)] for name in ROOT_ROLES)
    if before is None and root.document.version > 1:
        signers = valid_signers(root.envelope, root.keys)
        own = [
            tuple(tally(quorum.name, quorum.role, signers) for quorum in quorums) for quorums in (signing, co_signing)
        ]
        return LinkTallies(*own)
    tallies = count(root.envelope, [*signing, *co_signing], subject="root", where=where)
    return LinkTallies(tallies[: len(signing)], tallies[len(signing) :])


def _check_co_signed(links: Sequence[Root]) -> None:
    """The last of ``links`` by the keys of all of them: the one before it, if that counts, and itself."""
    root = links[-1]
    where = _name(root.document.version)
    if root.document.roles.root_post_quantum is None:
        raise NotTrusted(
            "root-not-co-signed",
            f"the root document has no keys that co-sign root documents with {CO_SIGNING}",
            where=where,
            hint="trust a root document that has them; if it is the signers' newest, they must add them",
        )
    quorums = [quorum for link in links for quorum in link.quorums("root_post_quantum")]
    signers = valid_signers(root.envelope, {**links[0].keys, **root.keys})
    require([tally(quorum.name, quorum.role, signers) for quorum in quorums], subject="root", where=where)


def _name(number: int) -> str:
    return f"trust/{number}.root.json"


def _check_keys(document: RootDocument, keys: Mapping[str, PublicKey]) -> None:
    for keyid, key in keys.items():
        if key.keyid != keyid:
            raise ValueError(f"key {keyid} is not the SHA-256 of its key")
    for name, role in document.roles.items():
        for keyid in role.keyids:
            if name not in {role_of(keys[keyid], names) for names in (ROOT_ROLES, RELEASE_ROLES)}:
                raise ValueError(f"key {keyid} is {keys[keyid].type}, which the role {name} does not take")


def _malformed(problem: str, where: str) -> NotTrusted:
    return NotTrusted("root-malformed", f"this is not a root document: {problem}", where=where)
