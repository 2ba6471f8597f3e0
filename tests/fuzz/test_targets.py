"""The same input in every run: seeds, their random relatives, what was found before, and hardly bearable amounts."""

import tracemalloc
from pathlib import Path
from random import Random

import pytest

from appliance.formats.safetensors import LENGTH_BYTES
from tests.fuzz import guided
from tests.fuzz.target import mutated
from tests.fuzz.targets import TARGETS

_FINDINGS = Path(__file__).parent / "findings"


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_right_is_accepted(name: str) -> None:
    assert [seed for seed in TARGETS[name].seeds if not TARGETS[name].run(seed)] == []


@pytest.mark.parametrize("name", TARGETS)
def test_random_relatives_are_refused_in_our_own_way(name: str) -> None:
    mutated(TARGETS[name], Random(name), times=1000)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_mended(name: str) -> None:
    for path in (_FINDINGS / name).glob("*"):
        TARGETS[name].run(path.read_bytes())


def test_findings_belong_to_targets() -> None:
    assert {path.name for path in _FINDINGS.iterdir() if path.is_dir()} <= set(TARGETS)


_SIZE = 64 * 1024
_AMOUNTS = (
    b"[",
    b"[],",
    b'{"":',
    b'"',
    b'"\\',
    b"\\",
    b",",
    b"1",
    b"-",
    b"\n",
    b"\0",
    b"\xff",
    b" ",
    b"0" * 64 + b"  \n",
)


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_takes_memory_out_of_proportion(name: str) -> None:
    run = TARGETS[name].run
    worst = 0
    for piece in _AMOUNTS:
        data = piece * (_SIZE // len(piece))
        header = len(data).to_bytes(LENGTH_BYTES, "little") + b"{" + data[1:-1] + b"}"
        for whole in (data, b"[" + data, b'{"a":"' + data, header):
            tracemalloc.start()
            run(whole)
            worst = max(worst, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert worst < 64 * _SIZE  # an empty list takes 56 bytes, and three in JSON


@pytest.mark.skipif(not guided.AVAILABLE, reason="needs atheris: x86-64 and Python 3.11 to 3.13")
def test_the_guided_run_works_and_finds_what_is_there(tmp_path: Path) -> None:
    outcome = guided.run("safetensors", tmp_path, tmp_path / "found", "-runs=2000", "-seed=1")
    assert outcome.finding == ""
    assert outcome.executions >= 2000
    outcome = guided.run("planted", tmp_path, tmp_path / "found", "-runs=200000", "-seed=1")
    assert "the planted fault" in outcome.finding
    (found,) = (tmp_path / "found").iterdir()
    assert found.read_bytes().startswith(b"FUZZ")
