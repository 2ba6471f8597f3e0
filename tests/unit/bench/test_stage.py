from pathlib import Path

import pytest

from appliance.artifacts.weights.content_gate import refusal
from tests.bench.cases import Case
from tests.bench.stage import Sizes, write_weights

GB = 1_000_000_000
SIZES = Sizes(weights=5 * GB, one=10 * GB, small=9000, tiny=100_000)


def test_only_what_is_measured_needs_room() -> None:
    assert SIZES.needed({"start"}) == 1 * GB
    assert SIZES.needed({"start", "weights"}) == 16 * GB
    assert SIZES.needed({"one"}) == 21 * GB
    assert SIZES.needed({"one", "weights", "small"}) == 26 * GB


def test_every_part_has_a_row(every_case: list[Case]) -> None:
    assert {case.part for case in every_case} == {"start", "weights", "model-signing", "one", "small", "tiny"}


@pytest.mark.parametrize("size", [1_000, 20_000_001])
def test_weights_have_the_size_that_was_asked_for_and_are_accepted(size: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_weights(path, size)

    data = path.read_bytes()
    assert len(data) == size
    assert refusal(path.name, size, lambda offset, length: data[offset : offset + length], {path.name}) == ""
