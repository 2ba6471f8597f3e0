"""Ten thousand times something happens to a bundle on its way: not once it is accepted."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.damage import MEMORY, Victim, spoil_often
from tests.support.bundles import PLAIN, Recipe


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory in memory, where there is one."""
    with tempfile.TemporaryDirectory(prefix="damage-", dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


@pytest.mark.parametrize(("recipe", "times"), [(Recipe(), 1000), (PLAIN, 9000)], ids=["two signers", "one signer"])
def test_no_damage_is_accepted(recipe: Recipe, times: int, folder: Path) -> None:
    tally = spoil_often(Victim(recipe, folder), Random(times), times)
    assert tally.accepted == [], tally
    assert sum(tally.refused.values()) + tally.unchanged == times
    assert tally.unchanged < times // 50  # damage is what it is about
    # It reached every part of a bundle: chain, signatures, list, set, files.
    reached = {"root-unknown", "root-chain", "signature-malformed", "signatures-missing"}
    reached |= {"signature-other-statement", "sums-mismatch", "file-mismatch", "file-type", "file-unlisted"}
    assert reached <= set(tally.refused), tally


def test_a_victim_is_whole_again_after_each_damage(folder: Path) -> None:
    victim = Victim(PLAIN, folder)
    random = Random(3)
    for _ in range(300):
        victim.spoil(random)
        victim.mend()
        assert victim.is_whole()
    assert list(victim.outside.iterdir()) == []
    assert victim.verdict() == ""


def test_what_is_accepted_would_be_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with a verifier that sees no file but those of sigs/, damage comes through."""
    victim = Victim(PLAIN, folder)
    monkeypatch.setattr("appliance.trust.verify._verify_digests", lambda *arguments: None)
    monkeypatch.setattr("appliance.trust.verify._verify_size", lambda *arguments: None)
    tally = spoil_often(victim, Random(4), 200)
    assert any(what.startswith("other bytes in models/") for what in tally.accepted)
    assert "ACCEPTED" in str(tally)
