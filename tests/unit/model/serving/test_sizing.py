"""Which GPUs hold a model, and what is said where none do."""

from typing import Any

import pytest

from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.gpus import GPUS, overhead_gib
from appliance.model.serving.memory import GIB, AttentionLayers
from appliance.model.serving.sizing import as_wanted, on
from appliance.model.serving.wanted import WantedProfile
from tests.support.real_models import real_model
from tests.unit.model.serving.test_profile import GPU

WANTED = {**GPU, "gpu": "H200-141", "memory": None, "max_model_len": 8192}


def wanted(**changes: Any) -> WantedProfile:
    return WantedProfile(**{**WANTED, **changes})


LLAMA_70B = real_model("llama-3.1-70b").facts


@pytest.mark.parametrize(
    ("gpu", "gpus", "fits"),
    [("H100-80", 2, True), ("H200-141", 2, True), ("L40S-48", 4, True), ("RTX-4090-24", 8, False)],
)
def test_the_fewest_gpus_are_those_of_the_manual(gpu: str, gpus: int, fits: bool) -> None:
    """docs/sizing.md has the same for 70B in BF16 and 8192 tokens."""
    answer = on(wanted(), LLAMA_70B, gpu)
    assert (answer.gpus, answer.fits) == (gpus, fits)


def test_the_longest_sequence_is_the_last_that_fits() -> None:
    answer = on(wanted(), LLAMA_70B, "H100-80")
    assert answer.memory is not None
    assert answer.longest == answer.memory.tokens == 13_524
    assert on(wanted(max_model_len=answer.longest + 1), LLAMA_70B, "H100-80").gpus != 2
    assert on(wanted(), LLAMA_70B, "RTX-4090-24").longest == 0
    small = real_model("qwen3-8b").facts
    assert on(wanted(), small, "H200-141").longest == small.context  # and no further than the model can


def test_a_window_makes_the_longest_longer() -> None:
    (all_layers,) = LLAMA_70B.attention
    layers = (
        AttentionLayers(layers=79, kv_heads=8, head_dim=128, window=1024),
        all_layers.model_copy(update={"layers": 1}),
    )
    windowed = LLAMA_70B.model_copy(update={"attention": layers})
    answer = on(wanted(max_num_batched_tokens=1024), windowed, "H100-80")
    assert answer.longest == LLAMA_70B.context


def test_the_bound_of_speed_is_bandwidth_over_what_a_step_reads() -> None:
    answer = on(wanted(), LLAMA_70B, "H100-80")
    assert answer.most_one == pytest.approx(2 * 3350e9 / (141_107_412_992 - 128_256 * 8192 * 2))
    assert answer.most_all == pytest.approx((answer.most_one or 0) * 16)


def test_a_slice_has_its_part_of_memory_and_bandwidth_and_stands_alone() -> None:
    small = real_model("llama-3.1-8b").facts
    whole, half = on(wanted(), small, "H100-80"), on(wanted(), small, "H100-80-3g.40gb")
    assert (half.gpus, half.fits, half.most_one) == (1, True, (whole.most_one or 0) / 2)
    assert whole.memory is not None
    assert half.memory is not None
    assert whole.memory.budget - half.memory.budget == pytest.approx((79.1 - 39.5) * 0.92 * GIB, abs=1)
    assert (on(wanted(), LLAMA_70B, "H100-80-3g.40gb").gpus, on(wanted(), LLAMA_70B, "H100-80").gpus) == (1, 2)


def test_a_model_cannot_be_laid_over_slices() -> None:
    with pytest.raises(ValueError, match=r"a slice of a GPU \(MIG\), and the profile takes gpus: 2: a model takes one"):
        wanted(gpu="H100-80-3g.40gb", gpus=2, tensor_parallel_size=2)


def test_heads_that_cannot_be_divided_are_no_answer() -> None:
    odd = ModelFacts(**{**dict(LLAMA_70B), "heads": 28, "weights_bytes": 400 * GIB, "step_bytes": 400 * GIB})
    answer = on(wanted(), odd, "H100-80")
    assert (answer.gpus, answer.fits, answer.memory) == (8, False, None)
    assert answer.problem == "28 attention heads cannot be divided by tensor_parallel_size 8"


def test_a_gpu_of_ones_own_has_a_plan_and_no_speed() -> None:
    answer = as_wanted(wanted(gpu="a GPU of ours", memory={"gpu_gib": 139.7}), LLAMA_70B)
    assert (answer.fits, answer.most_one, answer.most_all) == (True, None, None)


def test_the_table_is_of_what_cuda_reports() -> None:
    for name, gpu in GPUS.items():
        assert name.endswith(f"-{gpu.sold_gb}") or name.endswith(f".{gpu.sold_gb}gb")
        assert gpu.sold_gb * 0.88 < gpu.gib < gpu.sold_gb
        assert gpu.reported
        assert gpu.sheet
    assert [overhead_gib(count) for count in (1, 2, 4, 8)] == [4.0, 5.0, 5.0, 6.0]
