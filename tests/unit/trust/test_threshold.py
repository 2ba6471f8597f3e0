"""Thresholds, against a small model of them: a set of people, and a number."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import NotTrusted
from appliance.formats.dsse import pae
from appliance.model.documents.root import Role
from appliance.trust.dsse import Envelope
from appliance.trust.threshold import Quorum, count, require, tally
from tests.support.bundles import key, keyid

_PEOPLE = tuple(range(1, 8))
_NUMBERS = {keyid(number): number for number in _PEOPLE}
_SUBSETS = st.sets(st.sampled_from(_PEOPLE))
# What a person's entry in the envelope may be.
_ENTRIES = st.dictionaries(st.sampled_from(_PEOPLE), st.sampled_from(["right", "of another text", "another's", "cut"]))


def _signature(number: int, kind: str, message: bytes) -> bytes:
    forms: dict[str, Callable[[], bytes]] = {
        "right": lambda: key(number).sign(message),
        "of another text": lambda: key(number).sign(message + b"!"),
        "another's": lambda: key(number + 1).sign(message),
        "cut": lambda: key(number).sign(message)[:-1],
    }
    return forms[kind]()


def _envelope(entries: dict[int, str]) -> Envelope:
    message = pae("text/plain", b"x")
    signatures = tuple((keyid(number), _signature(number, kind, message)) for number, kind in entries.items())
    return Envelope("text/plain", b"x", signatures)


def _quorum(people: set[int], threshold: int) -> Quorum:
    role = Role(keyids=tuple(sorted(keyid(number) for number in people)), threshold=threshold)
    return Quorum("role", role, {keyid(number): key(number).public for number in people})


@st.composite
def _roles(draw: st.DrawFn) -> tuple[set[int], int]:
    people = draw(st.sets(st.sampled_from(_PEOPLE), min_size=1))
    return people, draw(st.integers(1, len(people)))


@given(_ENTRIES, st.lists(_roles(), min_size=1, max_size=3))
def test_enough_different_people_have_to_sign_rightly(
    entries: dict[int, str], roles: list[tuple[set[int], int]]
) -> None:
    envelope = _envelope(entries)
    quorums = [_quorum(people, threshold) for people, threshold in roles]
    invited = set().union(*(people for people, _ in roles))
    signed = {number for number, kind in entries.items() if kind == "right"}
    if set(entries) != signed or not signed <= invited:
        with pytest.raises(NotTrusted) as caught:
            count(envelope, quorums, subject="root", where="x")
        assert caught.value.reference == "root-signature"
        return
    tallies = count(envelope, quorums, subject="root", where="x")
    for (people, threshold), result in zip(roles, tallies, strict=True):
        assert {_NUMBERS[one] for one in result.signed} == people & signed
        assert {_NUMBERS[one] for one in result.missing} == people - signed
        assert result.met == (len(people & signed) >= threshold)
    if all(len(people & signed) >= threshold for people, threshold in roles):
        require(tallies, subject="root", where="x")
    else:
        with pytest.raises(NotTrusted) as caught:
            require(tallies, subject="root", where="x")
        assert caught.value.reference == "root-threshold"


@given(_roles(), st.lists(st.sampled_from(_PEOPLE)))
def test_who_signs_again_is_not_counted_again(role: tuple[set[int], int], signers: list[int]) -> None:
    people, threshold = role
    quorum = _quorum(people, threshold)
    result = tally("role", quorum.role, [keyid(number) for number in signers])
    assert result.met == (len(people & set(signers)) >= threshold)


def test_who_is_missing_is_told() -> None:
    quorum = _quorum({1, 2, 3}, 2)
    with pytest.raises(NotTrusted) as caught:
        require(count(_envelope({2: "right"}), [quorum], subject="root", where="2.root.json"), subject="root", where="")
    error = caught.value
    assert (error.expected, error.found) == ("2 valid signatures", "1")
    assert keyid(1) in error.hint
    assert keyid(3) in error.hint
    assert keyid(2) not in error.hint
