"""``appliance override``: what signers allow one site to do with one bundle that it refuses.

Made by one of them, signed by the others in their own time, as a root document is.  Who has
to sign is the release role of the newest root document; without one at hand, signatures are
made and not judged.
"""

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from appliance.errors import BadInput
from appliance.model.documents.bundle import ROOTS, STATEMENT, Statement
from appliance.model.documents.override import OVERRIDE_PAYLOAD_TYPE, OVERRIDE_SCHEMA, Override
from appliance.model.documents.root import RELEASE_ROLES
from appliance.model.limits import MAX_STATEMENT
from appliance.model.times import format_time
from appliance.model.value_problem import first_problem
from appliance.steps.documents.chain import labels, read_chain
from appliance.steps.documents.policy import read_override
from appliance.steps.host.clock import span
from appliance.store.disk import read_bounded
from appliance.store.whole import changing, write_whole
from appliance.trust.collect import add_signatures, sign_envelope
from appliance.trust.dsse import Envelope, encode_envelope
from appliance.trust.keys import PublicKey, Signer
from appliance.trust.override import SignedOverride, override_payload
from appliance.trust.root import Root, read_root, walk_chain
from appliance.trust.statement import parse_statement
from appliance.trust.threshold import Tally, tally, valid_signers


@dataclass(frozen=True)
class Standing:
    """An override in ``path`` and how far it has come; ``tallies`` are empty when no root says who has to sign."""

    path: Path
    signed: SignedOverride
    tallies: tuple[Tally, ...]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Wish:
    """What a person asks for: ``allows`` of ``site``, because of ``reason``, for ``days``."""

    site: str
    allows: Sequence[str]
    reason: str
    days: int


def new(bundle: Path, wish: Wish, signers: Sequence[Signer], *, root: Path | None, out: Path | None) -> Standing:
    """Write an override for a bundle, or for its statement.json alone.

    It goes to ``out``, or beside where this runs under the names of bundle and site.
    ``root`` is a root document or the directory of a chain; a bundle has its own.  Raises
    BadInput: ``override-value``, ``file-exists``, ``key-not-in-root``, and for what cannot be read.
    """
    statement = _read_statement(bundle)
    head = statement.predicate
    created, expires = span(wish.days)
    try:
        override = Override(
            schema_=OVERRIDE_SCHEMA,
            site=wish.site,
            name=head.name,
            version=head.version,
            sha256sums=statement.subject[0].digest.sha256,
            allows=tuple(sorted(set(wish.allows))),  # type: ignore[arg-type]
            reason=wish.reason,
            created=format_time(created),
            expires=format_time(expires),
        )
    except ValidationError as error:
        found = str(error.errors()[0]["input"])
        raise BadInput("override-value", first_problem(error), found=found) from None
    path = out or Path(f"{head.name}-{head.version}.{wish.site}.override.json")
    envelope = Envelope(OVERRIDE_PAYLOAD_TYPE, override_payload(override), ())
    source = root or (bundle / ROOTS if bundle.is_dir() else None)
    trusted = _newest_root(source) if source else None
    envelope = _signed(envelope, signers, trusted, path)
    write_whole(path, encode_envelope(envelope), mode=0o644, replace=False)
    return _standing(path, trusted)


def show(path: Path, *, root: Path | None) -> Standing:
    """An override, and who has signed it by ``root``."""
    return _standing(path, _newest_root(root) if root else None)


def sign(path: Path, signers: Sequence[Signer], additions: Mapping[str, bytes], *, root: Path | None) -> Standing:
    """Put signatures into an override: of ``signers``, and those that were made elsewhere.

    ``additions`` are copies of it or bare signatures, by the names of their files; to judge
    them takes ``root``.  Raises BadInput (``key-not-in-root``, ``usage``) and NotTrusted for
    what does not hold; then nothing has changed.
    """
    trusted = _newest_root(root) if root else None
    if additions and trusted is None:
        raise BadInput(
            "usage",
            "to check a signature made elsewhere, the root document is needed",
            hint="give the newest one, or the directory of the chain: --root CHAIN",
        )
    with changing(path.parent, glob.escape(path.name)):
        override = read_override(path)
        envelope = override.envelope
        for name, content in additions.items():
            envelope = add_signatures(envelope, content, _keys(trusted), where=name)
        envelope = _signed(envelope, signers, trusted, path)
        if envelope != override.envelope:
            write_whole(path, encode_envelope(envelope), mode=0o644)
        return _standing(path, trusted)


def _signed(envelope: Envelope, signers: Sequence[Signer], root: Root | None, path: Path) -> Envelope:
    for signer in signers:
        keyid = signer.public.keyid
        if root is not None and keyid not in _keys(root):
            raise BadInput(
                "key-not-in-root",
                "the root document does not let this key sign bundles",
                where=f"{path}, key {keyid}",
                expected=f"one of {', '.join(_keys(root))}",
                hint="if a newer root document does, give that one: --root CHAIN",
            )
        envelope = sign_envelope(envelope, signer)
    return envelope


def _standing(path: Path, root: Root | None) -> Standing:
    signed = read_override(path)
    if root is None:
        return Standing(path, signed, (), {})
    signers = valid_signers(signed.envelope, _keys(root))
    tallies = tuple(tally(quorum.name, quorum.role, signers) for quorum in root.quorums(*RELEASE_ROLES))
    return Standing(path, signed, tallies, labels(root))


def _keys(root: Root | None) -> dict[str, PublicKey]:
    if root is None:
        return {}
    return {keyid: quorum.keys[keyid] for quorum in root.quorums(*RELEASE_ROLES) for keyid in quorum.role.keyids}


def _newest_root(source: Path) -> Root:
    chain = read_chain(source)
    return walk_chain(chain[-1], chain) if source.is_dir() else read_root(chain[0], str(source))


def _read_statement(bundle: Path) -> Statement:
    path = bundle / STATEMENT if bundle.is_dir() else bundle
    hint = "give a bundle or its statement.json"
    data = read_bounded(path, MAX_STATEMENT, "statement-unreadable", "the statement", hint)
    try:
        return parse_statement(data)
    except ValueError as error:
        raise BadInput(
            "statement-malformed", f"this is not a statement of a known form: {error}", where=str(path)
        ) from None
