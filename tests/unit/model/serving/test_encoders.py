"""Encoders on GPUs: what a profile of one has to say, because vLLM would start it otherwise and answer wrongly."""

from typing import Any

import pytest

from appliance.model.serving.profile import memory_plan
from appliance.model.serving.sizing import on
from appliance.model.serving.wanted import WantedProfile, serving_profile
from tests.support.real_models import real_model

FACTS = real_model("bge-reranker-v2-m3").facts
RERANKER: dict[str, Any] = {
    **{"weights": "bge", "image": "vllm", "task": "rerank", "gpu": "L4-24", "gpus": 1, "max_model_len": 8192},
    **{"gpu_memory_utilization": 0.92, "enable_prefix_caching": False, "enable_chunked_prefill": False},
    **{"max_num_seqs": 32, "max_num_batched_tokens": 8192, "max_num_queued_reqs": 64},
}


def test_it_is_planned_by_its_weights_alone() -> None:
    profile = serving_profile(WantedProfile.model_validate(RERANKER), FACTS)
    assert profile.memory is not None
    assert profile.memory.attention == ()
    plan = memory_plan(profile)
    assert plan is not None
    assert (plan.fits, plan.keeps) == (True, False)


def test_another_gpu_is_answered_with_the_context_and_no_speed() -> None:
    answer = on(WantedProfile.model_validate(RERANKER), FACTS, "A10G-24")
    assert (answer.gpus, answer.fits, answer.longest, answer.most_one) == (1, True, 8192, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "chat"}, "it cannot do the task chat"),
        ({"enable_prefix_caching": True}, "write enable_prefix_caching: false"),
        ({"enable_chunked_prefill": True}, "write enable_chunked_prefill: false"),
        ({"gpus": 2, "pipeline_parallel_size": 2}, "write pipeline_parallel_size: 1"),
        ({"max_model_len": 8194, "max_num_batched_tokens": 8194}, "the model's context is 8192 tokens"),
        ({"gpu_memory_utilization": 0.1}, "the model does not fit: vLLM gets 2.2 GiB"),
    ],
)
def test_what_it_cannot_do_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        serving_profile(WantedProfile.model_validate({**RERANKER, **changes}), FACTS)
