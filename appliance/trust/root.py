"""The root chain: who may sign, learnt link by link from one document that is trusted.

N+1 is signed by the threshold of N's root role and of its own.  A verifier is given one
document it trusts; the chain has to hold that very document and goes on from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from appliance.errors import NotTrusted
from appliance.model.jsonform import canonical_json, parse_canonical
from appliance.model.limits import MAX_CHAIN, MAX_ENVELOPE
from appliance.model.root import ROOT_PAYLOAD_TYPE, ROOT_SCHEMA, RoleName, RootDocument
from appliance.trust.dsse import Envelope, decode_envelope, encode_envelope, pae
from appliance.trust.keys import KeyType, PublicKey, Signer
from appliance.trust.statement import format_time
from appliance.trust.threshold import Quorum, count, require, tally, valid_signers

_KEY_TYPES: Mapping[RoleName, KeyType] = {
    "root": "ecdsa-p256",
    "release": "ecdsa-p256",
    "root_post_quantum": "ml-dsa-87",
    "release_post_quantum": "ml-dsa-87",
}


@dataclass(frozen=True)
class Root:
    """A root document with its keys ready for use.

    ``epoch`` is the version of the first document since which the release role (its keys
    and threshold) has not changed; of a document that was read alone, its own version.
    """

    document: RootDocument
    envelope: Envelope
    data: bytes
    keys: Mapping[str, PublicKey]
    epoch: int

    def quorums(self, *names: RoleName) -> list[Quorum]:
        """Those of the named roles that the document has."""
        return [
            Quorum(f"{name.replace('_', ' ')} role of version {self.document.version}", role, self.keys)
            for name, role in self.document.roles.items()
            if name in names
        ]


def new_root(
    keys: Sequence[tuple[str, str, PublicKey]],
    *,
    threshold: int,
    created: datetime,
    expires: datetime,
    signer: Signer,
) -> bytes:
    """A first root document: every key (label, use, key) in both roles, signed by ``signer``."""
    keyids = sorted(key.keyid for _, _, key in keys)
    role = {"keyids": keyids, "threshold": threshold}
    payload = canonical_json(
        {
            "schema": ROOT_SCHEMA,
            "version": 1,
            "created": format_time(created),
            "expires": format_time(expires),
            "keys": {key.keyid: {"label": label, "use": use, "spki": key.spki()} for label, use, key in keys},
            "roles": {"root": role, "release": role},
            "revoked": [],
        }
    )
    signature = signer.sign(pae(ROOT_PAYLOAD_TYPE, payload))
    return encode_envelope(Envelope(ROOT_PAYLOAD_TYPE, payload, ((signer.public.keyid, signature),)))


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
        first = error.errors()[0]
        raise _malformed(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}", where) from None
    except ValueError as error:
        raise _malformed(str(error), where) from None
    return Root(document, envelope, data, keys, document.version)


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


def walk_chain(trusted: bytes, chain: Sequence[bytes], *, trusted_name: str = "the trusted root") -> Root:
    """The newest root that ``trusted`` leads to.

    ``chain`` holds the bundle's documents in order, from version 1.  Raises NotTrusted:
    ``root-unknown`` when the chain does not hold ``trusted``, ``root-chain`` when
    versions are skipped or a link is not signed by its predecessor.
    """
    anchor = read_root(trusted, trusted_name)
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise NotTrusted("root-chain", f"the root chain has {len(chain)} documents", where="trust/")
    version = anchor.document.version
    if version > len(chain):
        raise NotTrusted(
            "root-stale",
            "the bundle's root chain is older than the trusted root",
            where="trust/",
            expected=f"at least version {version}",
            found=f"version {len(chain)}",
        )
    if chain[version - 1] != trusted:
        raise NotTrusted(
            "root-unknown",
            "the bundle's root chain does not hold the trusted root",
            where=f"trust/{version}.root.json",
            hint="use the root document that you got from the signers by another way, not the bundle's",
        )
    newest = _follow(None, chain[0], 1)
    for number, data in enumerate(chain[1:], start=2):
        newest = _follow(newest, data, number)
    return newest


def _follow(before: Root | None, data: bytes, number: int) -> Root:
    """The next link after ``before``, which is None for the first."""
    where = _name(number)
    root = read_root(data, where)
    if root.document.version != number:
        raise NotTrusted(
            "root-chain", "wrong version", where=where, expected=str(number), found=str(root.document.version)
        )
    links = [root] if before is None else [before, root]
    post_quantum = [quorum for link in links for quorum in link.quorums("root_post_quantum")]
    needed = [quorum for link in links for quorum in link.quorums("root")]
    tallies = count(root.envelope, [*needed, *post_quantum], subject="root", where=where)
    require(tallies[: len(needed)], subject="root", where=where)
    if before is None or before.document.roles.release != root.document.roles.release:
        return root
    return replace(root, epoch=before.epoch)


def _name(number: int) -> str:
    return f"trust/{number}.root.json"


def _check_keys(document: RootDocument, keys: Mapping[str, PublicKey]) -> None:
    for keyid, key in keys.items():
        if key.keyid != keyid:
            raise ValueError(f"key {keyid} is not the SHA-256 of its key")
    for name, role in document.roles.items():
        for keyid in role.keyids:
            if keys[keyid].type != _KEY_TYPES[name]:
                raise ValueError(f"key {keyid} is {keys[keyid].type}, which the role {name} does not take")


def _malformed(problem: str, where: str) -> NotTrusted:
    return NotTrusted("root-malformed", f"this is no root document: {problem}", where=where)
