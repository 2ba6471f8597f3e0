"""Overrides: made, signed, and checked against the one site and bundle that they are for.

Signed by as many of the release role of the newest root as a bundle is; so a thief of some
keys gets no further with an override than with a bundle, and revoking them ends both.
"""

from dataclasses import dataclass, replace

from pydantic import ValidationError

from appliance.errors import NotTrusted
from appliance.model.documents.bundle import Statement
from appliance.model.documents.override import OVERRIDE_PAYLOAD_TYPE, Override
from appliance.model.jsonform import canonical_json, parse_canonical
from appliance.model.limits import MAX_ENVELOPE
from appliance.model.value_problem import first_problem
from appliance.trust.dsse import Envelope, decode_envelope
from appliance.trust.root import Root
from appliance.trust.threshold import count, require


@dataclass(frozen=True)
class SignedOverride:
    """An override that was read, whoever has signed it; ``where`` names its file."""

    content: Override
    envelope: Envelope
    where: str

    def check(self, statement: Statement, site: str | None, time: str) -> None:
        """Check that it is for this bundle on this site, now.

        Raises NotTrusted: ``override-site``, ``override-bundle``, ``override-expired``.
        """
        if self.content.site != site:
            raise NotTrusted(
                "override-site",
                "the override is for another site",
                where=self.where,
                expected=site or "a site whose policy gives it a name",
                found=self.content.site,
                hint="the key `site` in the policy is the name that signers address overrides to",
            )
        head = statement.predicate
        expected = (head.name, head.version, statement.subject[0].digest.sha256)
        found = (self.content.name, self.content.version, self.content.sha256sums)
        if found != expected:
            raise NotTrusted(
                "override-bundle",
                "the override is for another bundle",
                where=self.where,
                expected=" ".join(expected),
                found=" ".join(found),
            )
        if time >= self.content.expires:
            raise NotTrusted(
                "override-expired",
                "the override has expired",
                where=self.where,
                expected=f"a time before {self.content.expires}",
                found=time,
                hint="check this machine's clock; otherwise ask the signers for another one",
            )

    def check_signed(self, root: Root, threshold: int, *, post_quantum: bool) -> None:
        """Check that ``threshold`` keys of the release role have signed it.

        With ``post_quantum`` it has to be co-signed as a bundle is.  Raises NotTrusted:
        ``override-signature``, ``override-threshold``.
        """
        (release,) = root.quorums("release")
        raised = replace(release, role=release.role.model_copy(update={"threshold": threshold}))
        co_signers = root.quorums("release_post_quantum")
        tallies = count(self.envelope, [raised, *co_signers], subject="override", where=self.where)
        require(tallies if post_quantum else tallies[:1], subject="override", where=self.where)


def override_payload(override: Override) -> bytes:
    """What signers sign: canonical JSON."""
    return canonical_json(override.model_dump(mode="json", by_alias=True))


def read_override(data: bytes, where: str) -> SignedOverride:
    """Read an override.  Raises NotTrusted (``override-malformed``)."""
    try:
        envelope = decode_envelope(data, OVERRIDE_PAYLOAD_TYPE)
        parse_canonical(envelope.payload, limit=MAX_ENVELOPE)
        override = Override.model_validate_json(envelope.payload)
    except ValidationError as error:
        raise _malformed(first_problem(error), where) from None
    except ValueError as error:
        raise _malformed(str(error), where) from None
    return SignedOverride(override, envelope, where)


def _malformed(problem: str, where: str) -> NotTrusted:
    return NotTrusted("override-malformed", f"this is not an override: {problem}", where=where)
