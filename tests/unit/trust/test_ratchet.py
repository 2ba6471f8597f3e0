"""What a site's memory lets in, by examples, and against a model that remembers everything."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import NotTrusted
from appliance.model.documents.bundle import Statement
from appliance.model.documents.root import Lineage
from appliance.model.documents.state import SiteState
from appliance.trust import ratchet
from appliance.trust.root import check_accepted


@dataclass(frozen=True)
class Carried:
    """A bundle as far as the rules look at it; ``day`` is when it was created, ``chain`` its root documents."""

    version: str
    day: int = 1
    chain: int = 1
    name: str = "tiny"
    content: int = 0

    @property
    def statement(self) -> Statement:
        digest = {"sha256": f"{self.content:064x}", "sha384": "0" * 96}
        return Statement.model_validate(
            {
                "_type": "https://in-toto.io/Statement/v1",
                "subject": ({"name": "SHA256SUMS", "digest": digest},),
                "predicateType": "urn:appliance:bundle:v1",
                "predicate": {
                    "name": self.name,
                    "version": self.version,
                    "created": day(self.day),
                    "expires": day(99),
                    "previous": None,
                    "minimum_root_version": 1,
                    "files": 1,
                    "bytes": 1,
                },
            }
        )


def day(number: int) -> str:
    return f"2026-{1 + number // 28:02}-{1 + number % 28:02}T00:00:00Z"


# Root document N is created on day 10 N; numbers 2 and 4 change the release role.
EPOCHS = (1, 2, 2, 4)


def lineage(length: int) -> Lineage:
    documents = tuple(f"{number:064x}" for number in range(1, length + 1))
    epoch = EPOCHS[length - 1]
    return Lineage(documents, epoch, day(10 * epoch), day(10 * length))


def judge(state: SiteState, carried: Carried) -> str:
    """The reference of the refusal, or nothing."""
    chain = lineage(carried.chain)
    try:
        check_accepted(chain.documents, dict(enumerate(state.roots, start=1)))
        ratchet.check_reuse(state, chain, carried.statement)
    except NotTrusted as error:
        return error.reference
    problem = ratchet.rollback(state, chain, carried.statement.predicate)
    return problem.reference if problem else ""


def after(*accepted: Carried) -> SiteState:
    state = SiteState()
    for carried in accepted:
        state = ratchet.accept(state, lineage(carried.chain), carried.statement)
    return state


FAST_FORWARD = Carried("999999999.0", day=9)
CASES: dict[str, tuple[tuple[Carried, ...], Carried, str]] = {
    "the first one": ((), Carried("1.0"), ""),
    "a newer one": ((Carried("1.0"),), Carried("1.1"), ""),
    "the same again": ((Carried("1.0"),), Carried("1.0"), ""),
    "an older one": ((Carried("1.10"),), Carried("1.9"), "bundle-rollback"),
    "a pre-release of what was accepted": ((Carried("1.0"),), Carried("1.0-rc.1"), "bundle-rollback"),
    "the same version with other content": ((Carried("1.0"),), Carried("1.0", content=1), "version-reused"),
    "the same version in other words": ((Carried("1.0"),), Carried("1.0.0", content=1), "version-reused"),
    "an old version of another bundle": ((Carried("2.0"),), Carried("1.0", name="other"), ""),
    "back by one, after two": ((Carried("1.0"), Carried("2.0")), Carried("1.0"), "bundle-rollback"),
    "a new epoch starts low": ((FAST_FORWARD,), Carried("1.0", day=20, chain=2), ""),
    "an old bundle under a new chain": ((FAST_FORWARD,), Carried("1.0", day=19, chain=2), "bundle-rollback"),
    "an old bundle that was never accepted, under a new chain": ((Carried("1.0"),), Carried("1.1", day=9, chain=2), ""),
    "the newest one again, under a new chain": ((Carried("1.0"),), Carried("1.0", chain=2), ""),
    "its number with other content, under a new chain": (
        (Carried("1.0"),),
        Carried("1.0", chain=2, content=1),
        "version-reused",
    ),
    "its number with other content, signed by new people": (
        (Carried("1.0"),),
        Carried("1.0", day=20, chain=2, content=1),
        "",
    ),
    "an older one in a new epoch that has a higher one": (
        (Carried("1.0"), Carried("3.0", day=21, chain=2)),
        Carried("2.0", day=22, chain=2),
        "bundle-rollback",
    ),
    "a root document that changes nothing begins no epoch": (
        (Carried("3.0", day=21, chain=2),),
        Carried("2.0", day=31, chain=3),
        "bundle-rollback",
    ),
    "an epoch between is remembered": (
        (Carried("1.0"), Carried("3.0", day=21, chain=2), Carried("1.0", day=41, chain=4)),
        Carried("2.0", day=22, chain=4),
        "bundle-rollback",
    ),
    "a chain that ends before": ((Carried("1.0", chain=2),), Carried("9.0", day=50), "root-stale"),
}


@pytest.mark.parametrize(("accepted", "carried", "reference"), CASES.values(), ids=list(CASES))
def test_what_comes_in(accepted: tuple[Carried, ...], carried: Carried, reference: str) -> None:
    assert judge(after(*accepted), carried) == reference


def test_time_goes_on_with_what_was_accepted_and_starts_over_with_new_people() -> None:
    state = after(Carried("1.0", day=90))
    assert (ratchet.latest(state), ratchet.latest_of(state, lineage(1))) == (day(90), day(90))
    assert ratchet.latest_of(state, lineage(2)) == day(20)
    assert ratchet.latest(after(Carried("1.0", day=90), Carried("1.0", day=25, chain=2))) == day(25)
    assert ratchet.latest_of(after(Carried("1.0", day=25, chain=2)), lineage(3)) == day(30)
    assert ratchet.latest(SiteState()) == ""


def test_what_an_override_lets_in_takes_nothing_back() -> None:
    state = after(Carried("2.0", day=5))
    assert ratchet.accept(state, lineage(1), Carried("1.0", day=3).statement) == state


# An independent model: it keeps every accepted bundle, and knows nothing of a state's form.

BUNDLES = st.builds(
    Carried,
    version=st.sampled_from(("1.0", "2.0", "10.0")),
    day=st.integers(1, 50),
    chain=st.integers(1, 4),
    name=st.sampled_from(("tiny", "other")),
    content=st.integers(0, 1),
)


def model(history: list[Carried], carried: Carried) -> str:
    if any(carried.chain < other.chain for other in history):
        return "root-stale"
    epoch = EPOCHS[carried.chain - 1]
    rivals = [
        other
        for other in history
        if other.name == carried.name and (carried.day < 10 * epoch or EPOCHS[other.chain - 1] == epoch)
    ]
    numbers = {other: int(other.version.split(".")[0]) for other in [*rivals, carried]}
    highest = {EPOCHS[other.chain - 1]: other for other in sorted(rivals, key=lambda other: numbers[other])}
    same = [other for other in highest.values() if numbers[other] == numbers[carried]]
    if any(other.content != carried.content for other in same):
        return "version-reused"
    return "bundle-rollback" if any(numbers[other] > numbers[carried] for other in rivals) else ""


@settings(max_examples=300)
@given(st.lists(BUNDLES, min_size=1, max_size=12))
def test_a_state_remembers_what_counts(bundles: list[Carried]) -> None:
    state = SiteState()
    history: list[Carried] = []
    for carried in bundles:
        verdict = judge(state, carried)
        assert verdict == model(history, carried)
        if not verdict:
            state = ratchet.accept(state, lineage(carried.chain), carried.statement)
            history.append(carried)
            assert SiteState.from_bytes(state.to_bytes()) == state


@given(st.lists(BUNDLES, max_size=12))
def test_nothing_in_a_state_goes_down(bundles: list[Carried]) -> None:
    state = SiteState()
    for carried in bundles:
        following = ratchet.accept(state, lineage(carried.chain), carried.statement)
        assert len(following.roots) >= len(state.roots)
        for number, epoch in state.epochs.items():
            assert following.epochs[number].time >= epoch.time
            assert set(following.epochs[number].bundles) >= set(epoch.bundles)
        state = following
