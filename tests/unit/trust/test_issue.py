"""Root documents as they are made; what people see of it is in tests/unit/cli/test_root.py."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadInput
from appliance.model.documents.root import RootDocument
from appliance.trust.collect import sign_envelope
from appliance.trust.dsse import encode_envelope
from appliance.trust.issue import Amendment, NewKey, first_document, next_document, unsigned
from appliance.trust.root import walk_chain
from tests.support.bundles import NOW, key, keyid

_LATER = NOW + timedelta(days=365)
_PEOPLE = tuple(range(1, 7))


def _new(number: int) -> NewKey:
    return NewKey(f"person {number}", "production", key(number).public)


def _first(people: set[int], threshold: int) -> RootDocument:
    keys = [_new(number) for number in sorted(people)]
    both = {"root": threshold, "release": threshold}
    return first_document({"root": keys, "release": keys}, both, created=NOW, expires=_LATER)  # type: ignore[arg-type]


_CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "revoke"]), st.sampled_from(_PEOPLE), st.sampled_from([None, 1, 2, 3])),
    max_size=6,
)


@given(st.sets(st.sampled_from(_PEOPLE), min_size=2), _CHANGES)
def test_whatever_is_made_every_verifier_follows(people: set[int], changes: list[tuple[str, int, int | None]]) -> None:
    """Against a model: a set of people, a set of those who never come back, a number."""
    threshold, gone = 1, set[int]()
    documents = [_first(people, threshold)]
    for verb, number, new in changes:
        keyids = frozenset([keyid(number)])
        added = [_new(number)] if verb == "add" else []
        change = Amendment(
            {"root": added, "release": added},
            remove=keyids if verb == "remove" else frozenset(),
            revoke=keyids if verb == "revoke" else frozenset(),
            thresholds={"root": new, "release": new},
        )
        wanted = people | {number} if verb == "add" else people - {number}
        refused = (verb == "add" and number in people | gone) or len(wanted) < (new or threshold)
        if refused:
            with pytest.raises(BadInput):
                next_document(documents[-1], change, created=NOW, expires=_LATER)
            continue
        documents.append(next_document(documents[-1], change, created=NOW, expires=_LATER))
        gone |= {number} if verb == "revoke" else set()
        people, threshold = wanted, new or threshold
        newest = documents[-1]
        assert set(newest.roles.release.keyids) == set(newest.keys) == {keyid(one) for one in people}
        assert set(newest.revoked) == {keyid(one) for one in gone}
        assert newest.roles.release.threshold == threshold
    chain = [_between(documents, number) for number in range(len(documents))]
    assert walk_chain(chain[0], chain).document == documents[-1]


def _between(documents: list[RootDocument], number: int) -> bytes:
    """A document with the signatures of all whom it and the one before it name."""
    named = set(documents[number].roles.root.keyids) | set(documents[max(number - 1, 0)].roles.root.keyids)
    envelope = unsigned(documents[number])
    for person in _PEOPLE:
        if keyid(person) in named:
            envelope = sign_envelope(envelope, key(person))
    return encode_envelope(envelope)


def test_more_keys_than_a_role_holds_make_no_document() -> None:
    crowd = [NewKey(f"person {number}", "production", key(number).public) for number in range(1, 66)]
    with pytest.raises(BadInput) as caught:
        first_document({"root": crowd[:1], "release": crowd}, {"root": 1, "release": 1}, created=NOW, expires=_LATER)
    assert caught.value.reference == "root-impossible"


def test_keys_of_nobody_are_dropped() -> None:
    document = next_document(_first({1, 2}, 1), Amendment(remove=frozenset([keyid(1)])), created=NOW, expires=_LATER)
    assert set(document.keys) == {keyid(2)}
    assert document.revoked == ()
