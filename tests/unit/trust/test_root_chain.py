"""The rules of the root chain, against a small model of them: sets of people and numbers."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import NotTrusted
from appliance.trust.root import walk_chain
from tests.support.bundles import (
    FIRST,
    FIRST_PQ,
    NOW,
    SECOND,
    SECOND_PQ,
    Change,
    keyid,
    payload_of,
    root_chain,
    root_document,
)
from tests.support.forging import put

_PEOPLE = (1, 2, 3, 4)


@dataclass(frozen=True)
class Link:
    """A root document, as people would tell it."""

    version: int
    root: frozenset[int]
    threshold: int
    release: frozenset[int]
    revoked: frozenset[int]
    signers: frozenset[int]

    def sound(self) -> bool:
        return self.threshold <= len(self.root) and not self.revoked & (self.root | self.release)

    def meets(self, other: "Link") -> bool:
        return len(self.signers & other.root) >= other.threshold


def _epoch(chain: Sequence[Link]) -> int | None:
    """The model: when a chain is right, the version since which the same people release."""
    for number, link in enumerate(chain, start=1):
        before = chain[max(number - 2, 0)]
        right = (
            link.sound()
            and link.version == number
            and link.meets(link)
            and link.meets(before)
            and link.signers <= link.root | before.root
            and link.revoked >= before.revoked
        )
        if not right:
            return None
    epoch = len(chain)
    while epoch > 1 and chain[epoch - 2].release == chain[-1].release:
        epoch -= 1
    return epoch


@cache
def _document(link: Link) -> bytes:
    def roles(document: dict[str, object]) -> None:
        put("roles/root/keyids", sorted(keyid(number) for number in link.root))(document)
        put("roles/root/threshold", link.threshold)(document)
        put("roles/release/keyids", sorted(keyid(number) for number in link.release))(document)

    return root_document(
        link.version,
        tuple(sorted(link.root | link.release)),
        threshold=1,
        revoked=tuple(sorted(link.revoked)),
        signed_by=tuple(sorted(link.signers)),
        change=roles,
    )


_SOME = st.frozensets(st.sampled_from(_PEOPLE), min_size=1)


@st.composite
def _chains(draw: st.DrawFn) -> list[Link]:
    """Chains that grow rightly, and then in up to two places do not."""
    chain: list[Link] = []
    revoked: frozenset[int] = frozenset()
    for version in range(1, draw(st.integers(1, 4)) + 1):
        allowed = frozenset(_PEOPLE) - revoked
        gone = draw(st.frozensets(st.sampled_from(sorted(allowed)), max_size=1)) if len(allowed) > 2 else frozenset()
        revoked |= gone
        root = draw(_SOME) - revoked or allowed - gone
        release = draw(_SOME) - revoked or allowed - gone
        signers = root | (chain[-1].root if chain else frozenset())
        chain.append(Link(version, root, draw(st.integers(1, len(root))), release, revoked, signers))
    for _ in range(draw(st.integers(0, 2))):
        number = draw(st.integers(0, len(chain) - 1))
        field = draw(st.sampled_from(["version", "root", "threshold", "release", "revoked", "signers"]))
        new: object = draw(_SOME if field not in ("version", "threshold") else st.integers(1, 4))
        chain[number] = replace(chain[number], **{field: new})  # type: ignore[arg-type]
    return chain


@settings(max_examples=300)
@given(_chains(), st.data())
def test_a_chain_is_followed_exactly_when_the_model_follows_it(chain: list[Link], data: st.DataObject) -> None:
    documents = [_document(link) for link in chain]
    trusted = data.draw(st.sampled_from(documents))
    epoch = _epoch(chain)
    if epoch is None:
        with pytest.raises(NotTrusted):
            walk_chain(trusted, documents)
        return
    newest = walk_chain(trusted, documents)
    assert newest.data == documents[-1]
    assert newest.lineage.epoch == epoch


@given(_chains(), _chains(), st.data())
def test_who_has_accepted_a_history_accepts_no_other(ours: list[Link], theirs: list[Link], data: st.DataObject) -> None:
    """Both histories are right, and begin at the same document."""
    theirs = [ours[0], *theirs[1:]]
    if _epoch(ours) is None or _epoch(theirs) is None:
        return
    trusted = _document(ours[0])
    accepted = {link.version: _digest(link) for link in ours}
    known = dict(data.draw(st.sets(st.sampled_from(sorted(accepted.items())))))
    here = {number: _digest(link) for number, link in enumerate(theirs, start=1)}
    if any(here.get(version, digest) != digest for version, digest in known.items()):
        assert _refusal(theirs, trusted, known) == "root-forked"  # the graver one, also where documents are missing too
    elif known.keys() - here.keys():
        assert _refusal(theirs, trusted, known) == "root-stale"
    else:
        assert walk_chain(trusted, [_document(link) for link in theirs], accepted=known).data == _document(theirs[-1])


def test_a_damaged_copy_of_the_trusted_document_is_refused_as_that() -> None:
    document = _document(Link(1, frozenset({1}), 1, frozenset({1}), frozenset(), frozenset({1})))
    with pytest.raises(NotTrusted) as caught:
        walk_chain(document, [document[:-1]])
    assert caught.value.reference == "root-malformed"


def _digest(link: Link) -> str:
    return hashlib.sha256(payload_of(_document(link))).hexdigest()


def _refusal(chain: Sequence[Link], trusted: bytes, accepted: Mapping[int, str]) -> str:
    with pytest.raises(NotTrusted) as caught:
        walk_chain(trusted, [_document(link) for link in chain], accepted=accepted)
    assert caught.value.hint
    return caught.value.reference


# The roles that co-sign ------------------------------------------------------------------------

_BOTH = (FIRST, SECOND, FIRST_PQ, SECOND_PQ)


def _co_signed(version: int, signed_by: tuple[int, ...] = _BOTH, change: Change = lambda document: None) -> bytes:
    return root_document(version, _BOTH, signed_by=signed_by, change=change)


def _post_quantum_refusal(trusted: bytes, chain: Sequence[bytes]) -> str:
    with pytest.raises(NotTrusted) as caught:
        walk_chain(trusted, chain, post_quantum=True)
    return caught.value.reference


def test_a_chain_that_is_co_signed_leads_on_with_and_without_that_demand() -> None:
    chain = [root_document(1, (FIRST, SECOND)), _co_signed(2), _co_signed(3), _co_signed(4)]
    for trusted in chain[1:]:
        assert walk_chain(trusted, chain, post_quantum=True).data == chain[-1]
    assert walk_chain(chain[0], chain).data == chain[-1]


def test_a_trusted_root_without_co_signers_leads_nowhere_when_they_are_demanded() -> None:
    chain = [root_document(1, (FIRST, SECOND)), _co_signed(2)]
    assert _post_quantum_refusal(chain[0], chain) == "root-not-co-signed"
    assert _post_quantum_refusal(root_chain()[0], root_chain()) == "root-not-co-signed"


@pytest.mark.parametrize("signers", [(FIRST, SECOND), (FIRST, SECOND, FIRST_PQ)])
def test_who_breaks_p256_alone_moves_no_root_that_is_co_signed(signers: tuple[int, ...]) -> None:
    first, forged = _co_signed(1), _co_signed(2, signers)
    assert walk_chain(first, [first, forged]).document.version == 2
    assert _post_quantum_refusal(first, [first, forged]) == "root-threshold"
    dropped = root_document(2, (FIRST, SECOND))
    assert _post_quantum_refusal(first, [first, dropped]) == "root-not-co-signed"


def test_new_co_signers_are_brought_in_by_the_old_ones() -> None:
    def new(signed_by: tuple[int, ...]) -> bytes:
        return root_document(2, (FIRST, SECOND, 1021, 1022), signed_by=(FIRST, SECOND, *signed_by))

    first = _co_signed(1)
    assert walk_chain(first, [first, new((1021, 1022, FIRST_PQ, SECOND_PQ))], post_quantum=True).document.version == 2
    assert _post_quantum_refusal(first, [first, new((1021, 1022))]) == "root-threshold"
    assert _post_quantum_refusal(first, [first, new((FIRST_PQ, SECOND_PQ))]) == "root-threshold"


def test_a_co_signature_that_nobody_needs_has_to_hold_all_the_same() -> None:
    expired = NOW + timedelta(days=3)
    first = _co_signed(1)
    stranger = root_document(2, _BOTH, signed_by=(*_BOTH, 1099), expires=expired)
    with pytest.raises(NotTrusted) as caught:
        walk_chain(first, [first, stranger])
    assert caught.value.reference == "root-signature"
