"""Keys and values in eight bits: what the plan makes of them, and on which GPUs they are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from appliance.model.serving.profile import memory_plan
from appliance.model.serving.sizing import on
from appliance.model.serving.wanted import WantedProfile, serving_profile
from tests.support.real_models import real_model
from tests.unit.model.serving.test_profile import CPU, GPU

LLAMA_70B = real_model("llama-3.1-70b").facts
FP8 = ("fp8", "fp8_e4m3", "fp8_e5m2")


def wanted(dtype: str, **changes: Any) -> WantedProfile:
    base = {**GPU, "gpu": "H200-141", "memory": None, "max_model_len": 8192}
    return WantedProfile(**{**base, "kv_cache_dtype": dtype, **changes})


@pytest.mark.parametrize("dtype", FP8)
def test_a_token_takes_half(dtype: str) -> None:
    whole = memory_plan(serving_profile(wanted("auto"), LLAMA_70B))
    half = memory_plan(serving_profile(wanted(dtype), LLAMA_70B))
    assert whole is not None
    assert half is not None
    assert (2 * half.kv_per_token, half.kv_available) == (whole.kv_per_token, whole.kv_available)


@pytest.mark.parametrize("dtype", FP8)
@pytest.mark.parametrize("gpu", ["A100-80", "A100-80-3g.40gb", "A10G-24"])
def test_gpus_before_ada_are_refused_when_the_definition_is_read(gpu: str, dtype: str) -> None:
    with pytest.raises(ValidationError) as caught:
        wanted(dtype, gpu=gpu, gpus=1, tensor_parallel_size=1)
    assert f"kv_cache_dtype {dtype} needs compute capability 8.9, and {gpu} has 8." in str(caught.value)
    assert wanted("auto", gpu=gpu, gpus=1, tensor_parallel_size=1)


@pytest.mark.parametrize("gpu", ["L4-24", "L40S-48", "H100-80", "H100-80-3g.40gb"])
def test_ada_and_hopper_are_not(gpu: str) -> None:
    assert wanted("fp8", gpu=gpu, gpus=1, tensor_parallel_size=1)


def test_a_plan_says_so_of_a_gpu_that_is_only_asked_about() -> None:
    answer = on(wanted("fp8"), LLAMA_70B, "A100-80")
    assert (answer.fits, answer.memory) == (False, None)
    assert answer.problem.startswith("kv_cache_dtype fp8 needs compute capability 8.9")
    assert on(wanted("fp8"), LLAMA_70B, "H100-80").fits


def test_cpus_and_gpus_of_ones_own_are_not_judged() -> None:
    assert WantedProfile(**{**CPU, "kv_cache_dtype": "fp8"})
    assert wanted("fp8", gpu="a GPU of ours", memory={"gpu_gib": 139.7})


@pytest.mark.parametrize("form", ["fp8", "modelopt", "modelopt_mixed", "quark"])
def test_e5m2_does_not_go_with_weights_in_a_form_that_may_bring_scales(form: str) -> None:
    weights = LLAMA_70B.model_copy(update={"quantization": form})
    with pytest.raises(ValueError, match=f"fp8_e5m2 does not go with weights quantised as {form}"):
        serving_profile(wanted("fp8_e5m2"), weights)
    assert serving_profile(wanted("fp8"), weights)


def test_e5m2_goes_with_fp8_that_vllm_makes_itself_and_with_other_weights() -> None:
    assert serving_profile(wanted("fp8_e5m2", quantization="fp8"), LLAMA_70B)
    assert serving_profile(wanted("fp8_e5m2"), LLAMA_70B.model_copy(update={"quantization": "awq"}))


def test_e5m2_goes_with_compressed_tensors_that_bring_no_scales() -> None:
    plain = LLAMA_70B.model_copy(update={"quantization": "compressed-tensors"})
    assert serving_profile(wanted("fp8_e5m2"), plain)
    scaled = plain.model_copy(update={"kv_scales": True})
    with pytest.raises(ValueError, match=r"quantised as compressed-tensors.*kv_cache_scheme"):
        serving_profile(wanted("fp8_e5m2"), scaled)
    assert serving_profile(wanted("fp8"), scaled)
