"""Who of a role has signed, and whether that is enough: the one place that counts.

Different keys count, and only by signatures that hold.  A signature that does not hold, or
by a key that none of the roles names, is refused even where enough others have signed: its
bytes would be free, and it would look as if it meant something.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from appliance.errors import NotTrusted
from appliance.model.documents.root import Role
from appliance.trust.dsse import Envelope
from appliance.trust.keys import PublicKey


@dataclass(frozen=True)
class Quorum:
    """A role whose threshold is to be met; ``name`` tells people which it is."""

    name: str
    role: Role
    keys: Mapping[str, PublicKey]


@dataclass(frozen=True)
class Tally:
    """How far a threshold is met: the ids of the keys that have signed, and of the others."""

    name: str
    threshold: int
    signed: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether enough have signed."""
        return len(self.signed) >= self.threshold


def tally(name: str, role: Role, signers: Collection[str]) -> Tally:
    """Count ``signers``, the ids of keys whose signatures hold."""
    signed = tuple(keyid for keyid in role.keyids if keyid in signers)
    return Tally(name, role.threshold, signed, tuple(keyid for keyid in role.keyids if keyid not in signed))


def valid_signers(envelope: Envelope, keys: Mapping[str, PublicKey]) -> frozenset[str]:
    """The ids of those of ``keys`` that have signed, whoever else has."""
    message = envelope.pae()
    return frozenset(
        keyid for keyid, signature in envelope.signatures if keyid in keys and keys[keyid].verifies(signature, message)
    )


def count(envelope: Envelope, quorums: Sequence[Quorum], *, subject: str, where: str) -> tuple[Tally, ...]:
    """Who has signed ``envelope``, for each quorum.

    ``subject`` is what the envelope is, such as ``root``.  Raises NotTrusted
    (``<subject>-signature``) for a signature that does not hold, or by a key of no quorum.
    """
    keys = {keyid: quorum.keys[keyid] for quorum in quorums for keyid in quorum.role.keyids}
    signers = valid_signers(envelope, keys)
    for keyid, _ in envelope.signatures:
        if keyid not in keys:
            raise NotTrusted(f"{subject}-signature", f"key {keyid} may not sign this", where=where)
        if keyid not in signers:
            raise NotTrusted(f"{subject}-signature", f"the signature of key {keyid} is not valid", where=where)
    return tuple(tally(quorum.name, quorum.role, signers) for quorum in quorums)


def require(tallies: Sequence[Tally], *, subject: str, where: str) -> None:
    """Raise NotTrusted (``<subject>-threshold``) unless every threshold is met."""
    for role in tallies:
        if not role.met:
            raise NotTrusted(
                f"{subject}-threshold",
                f"too few keys of the {role.name} have signed it",
                where=where,
                expected=f"{role.threshold} valid signatures",
                found=str(len(role.signed)),
                hint=f"signatures are missing from as many as are needed of: {', '.join(role.missing)}",
            )
