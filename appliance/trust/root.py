"""The root chain: who may sign, learnt link by link from one document that is trusted.

N+1 is signed by the threshold of N's root role and of its own.  A verifier is given one
document it trusts; the chain has to hold that very document and goes on from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from appliance.errors import NotTrusted
from appliance.model.jsonform import canonical_json, parse_canonical
from appliance.model.limits import MAX_CHAIN, MAX_ENVELOPE
from appliance.model.root import ROOT_PAYLOAD_TYPE, ROOT_SCHEMA, Role, RootDocument
from appliance.trust.dsse import Envelope, decode_envelope, encode_envelope, pae
from appliance.trust.keys import PrivateKey, PublicKey
from appliance.trust.statement import format_time


@dataclass(frozen=True)
class Root:
    """A root document that its own threshold has signed, with its keys ready for use."""

    document: RootDocument
    envelope: Envelope
    data: bytes
    keys: Mapping[str, PublicKey]


def new_root(
    keys: Sequence[tuple[str, str, PublicKey]],
    *,
    threshold: int,
    created: datetime,
    expires: datetime,
    signer: PrivateKey,
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


def read_root(data: bytes, where: str) -> Root:
    """Read a root document and check that its own root threshold has signed it.

    That alone makes nothing trusted.  Raises NotTrusted (``root-malformed``,
    ``root-threshold``); ``where`` names the file.
    """
    try:
        envelope = decode_envelope(data, ROOT_PAYLOAD_TYPE)
        parse_canonical(envelope.payload, limit=MAX_ENVELOPE)
        document = RootDocument.model_validate_json(envelope.payload)
        keys = {keyid: PublicKey.from_spki(entry.spki) for keyid, entry in document.keys.items()}
        for keyid, key in keys.items():
            if key.keyid != keyid:
                raise ValueError(f"key {keyid} is not the SHA-256 of its key")
    except ValidationError as error:
        first = error.errors()[0]
        raise _malformed(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}", where) from None
    except ValueError as error:
        raise _malformed(str(error), where) from None
    root = Root(document, envelope, data, keys)
    _check_threshold(envelope, document.roles.root, keys, where)
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
    roots = [read_root(data, f"trust/{number}.root.json") for number, data in enumerate(chain, start=1)]
    for number, root in enumerate(roots, start=1):
        where = f"trust/{number}.root.json"
        if root.document.version != number:
            raise NotTrusted(
                "root-chain", "wrong version", where=where, expected=str(number), found=str(root.document.version)
            )
        before = roots[max(number - 2, 0)]
        _check_threshold(root.envelope, before.document.roles.root, before.keys, where)
        _check_no_stray(root.envelope, {**before.keys, **root.keys}, where)
    return roots[-1]


def _check_threshold(envelope: Envelope, role: Role, keys: Mapping[str, PublicKey], where: str) -> None:
    message = envelope.pae()
    valid = {
        keyid
        for keyid, signature in envelope.signatures
        if keyid in role.keyids and keys[keyid].verifies(signature, message)
    }
    if len(valid) < role.threshold:
        raise NotTrusted(
            "root-threshold",
            "too few keys of the root role have signed the root document",
            where=where,
            expected=f"{role.threshold} valid signatures",
            found=str(len(valid)),
        )


def _check_no_stray(envelope: Envelope, keys: Mapping[str, PublicKey], where: str) -> None:
    # A signature beyond the threshold must hold too, or its bytes would be free.
    message = envelope.pae()
    for keyid, signature in envelope.signatures:
        if keyid not in keys or not keys[keyid].verifies(signature, message):
            raise NotTrusted("root-signature", f"the signature of key {keyid} does not hold", where=where)


def _malformed(problem: str, where: str) -> NotTrusted:
    return NotTrusted("root-malformed", f"this is no root document: {problem}", where=where)
