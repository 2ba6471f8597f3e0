"""Which ways to guess tokens a profile may name, what vLLM is told of them, and what the memory plan counts."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.memory import GIB, AttentionLayers
from appliance.model.serving.profile import ServingProfile, arguments, memory_plan
from appliance.model.serving.sizing import on
from appliance.model.serving.wanted import WantedProfile, serving_profile
from tests.support.real_models import real_model
from tests.unit.model.serving.test_profile import CPU, GPU

NGRAM = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3, "prompt_lookup_min": 2}
EAGLE = {"method": "eagle3", "num_speculative_tokens": 3, "weights": "llama-eagle3"}
SMALL = {"method": "draft_model", "num_speculative_tokens": 5, "weights": "llama-8b"}
LLAMA_70B = real_model("llama-3.1-70b").facts
LLAMA_8B = real_model("llama-3.1-8b").facts
# One layer for the 70B, made by hand: as many numbers for a token, KV heads and tokens as that has.
HEAD = LLAMA_70B.model_copy(
    update={
        "architecture": "LlamaForCausalLMEagle3",
        "weights_bytes": 3 * GIB,
        "step_bytes": 3 * GIB,
        "attention": (AttentionLayers(layers=1, kv_heads=8, head_dim=128),),
    }
)


def wanted(speculation: dict[str, Any], **changes: Any) -> WantedProfile:
    base = {**GPU, "gpu": "H200-141", "memory": None, "max_model_len": 8192}
    return WantedProfile(**{**base, "speculative_config": speculation, **changes})


def refused(speculation: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        wanted(speculation, **changes)
    return str(caught.value.errors()[0]["msg"]).removeprefix("Value error, ")


def unmatched(speculation: dict[str, Any], draft: ModelFacts | None, model: ModelFacts = LLAMA_70B) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it says is looked at
        serving_profile(wanted(speculation), model, draft)
    return str(caught.value)


def told(speculation: dict[str, Any]) -> dict[str, Any]:
    words = arguments(ServingProfile(**{**CPU, "speculative_config": speculation}), "chat")
    value = words[words.index("--speculative-config") + 1]
    assert value.isprintable()
    found: dict[str, Any] = json.loads(value)
    return found


def test_vllm_is_told_in_its_own_words() -> None:
    assert told(NGRAM) == NGRAM
    assert told(EAGLE) == {"method": "eagle3", "num_speculative_tokens": 3, "model": "/srv/draft"}


def test_a_profile_without_it_says_what_it_said_before() -> None:
    assert "speculative_config" not in ServingProfile(**CPU).model_dump()
    assert "--speculative-config" not in arguments(ServingProfile(**CPU), "chat")


MISTAKES = {
    "code by name": ({"method": "custom_class", "num_speculative_tokens": 1}, "Input should be 'ngram'"),
    "a repository": ({**SMALL, "model": "meta-llama/Llama-3.2-1B"}, "Extra inputs are not permitted"),
    "nobody guesses": ({"method": "eagle", "num_speculative_tokens": 3}, "method eagle needs weights"),
    "weights for ngram": ({**NGRAM, "weights": "small"}, "method ngram takes no weights"),
    "no length": ({"method": "ngram", "num_speculative_tokens": 3}, "method ngram needs prompt_lookup_max"),
    "lengths": ({**NGRAM, "prompt_lookup_min": 4}, "prompt_lookup_min is 4, more than prompt_lookup_max 3"),
    "lookup in weights": ({**EAGLE, "prompt_lookup_max": 3}, "are for ngram, not for eagle3"),
    "too many": ({**NGRAM, "num_speculative_tokens": 33}, "less than or equal to 32"),
}


@pytest.mark.parametrize(("speculation", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told(speculation: dict[str, Any], message: str) -> None:
    assert message in refused(speculation)


def test_what_vllm_would_not_start_with_is_refused() -> None:
    for task in ("embedding", "rerank"):
        assert f"the task {task} generates none" in refused(NGRAM, task=task)
    assert "leave async-scheduling out" in refused(NGRAM, options={"async-scheduling": True})
    staged = {"tensor_parallel_size": 1, "pipeline_parallel_size": 2}
    assert "needs pipeline_parallel_size 1" in refused(EAGLE, **staged)
    assert wanted(NGRAM, **staged)
    assert "--speculative-config has a field of its own" in refused(NGRAM, options={"speculative-config": "{}"})
    assert "the field speculative_config says it" in refused(NGRAM, options={"spec-method": "ngram"})


def test_the_plan_counts_what_guessing_takes() -> None:
    without = memory_plan(
        serving_profile(WantedProfile(**{**dict(wanted(NGRAM)), "speculative_config": None}), LLAMA_70B)
    )
    ngram = memory_plan(serving_profile(wanted(NGRAM), LLAMA_70B))
    eagle = memory_plan(serving_profile(wanted(EAGLE), LLAMA_70B, HEAD))
    assert without is not None
    assert ngram is not None
    assert eagle is not None
    # 16 sequences, each with 4 guesses, and float32 for each of 128,256 tokens.
    assert ngram.overhead - without.overhead == 16 * 4 * 128_256 * 4
    assert (ngram.weights, ngram.kv_per_token) == (without.weights, without.kv_per_token)
    # On two GPUs: half of the layer's weights, and 4 of its 8 heads, for keys and values, of 128 numbers of 2 bytes.
    assert eagle.weights - without.weights == 3 * GIB // 2
    assert eagle.kv_per_token - without.kv_per_token == 4 * 2 * 128 * 2
    assert eagle.kv_available < without.kv_available


def test_a_model_that_fits_only_without_its_draft_is_refused_with_the_figures() -> None:
    tight = {"gpu": "H100-80", "max_model_len": 13_000}
    assert serving_profile(wanted(NGRAM, **tight), LLAMA_70B)
    with pytest.raises(ValueError, match=r"does not fit: vLLM gets 72\.8 GiB of each GPU; 73\.2 GiB of weights"):
        serving_profile(wanted(SMALL, **tight), LLAMA_70B, LLAMA_8B)


def test_weights_that_cannot_guess_for_a_model_are_refused() -> None:
    fewer = LLAMA_8B.model_copy(update={"vocabulary": 32_000})
    assert "guess among 32000 tokens, and the model has 128256" in unmatched(SMALL, fewer)
    other = HEAD.model_copy(update={"hidden": 4096})
    assert "hidden size of 4096, and this one has 8192" in unmatched(EAGLE, other)
    assert "write method: eagle3" in unmatched({**EAGLE, "method": "eagle"}, HEAD)
    assert "write method: eagle3" in unmatched({**SMALL, "weights": "llama-eagle3"}, HEAD)
    assert "weights/llama-eagle3, which are to guess, were not read" in unmatched(EAGLE, None)
    of_before = LLAMA_70B.model_copy(update={"vocabulary": None, "hidden": None})
    assert "needs the model's vocab_size" in unmatched(NGRAM, None, of_before)


def test_heads_of_the_draft_have_to_be_divided_too() -> None:
    odd = LLAMA_8B.model_copy(update={"heads": 14, "attention": (AttentionLayers(layers=24, kv_heads=2, head_dim=64),)})
    split = {"gpus": 4, "tensor_parallel_size": 4}
    problem = "weights/llama-8b, which guess: 14 attention heads cannot be divided by tensor_parallel_size 4"
    with pytest.raises(ValueError, match=problem):
        serving_profile(wanted(SMALL, **split), LLAMA_70B, odd)
    assert serving_profile(wanted(SMALL), LLAMA_70B, odd)
    answer = on(wanted(SMALL, gpu_memory_utilization=0.3), LLAMA_70B, "H200-141", odd)
    assert (answer.gpus, answer.memory, answer.problem) == (8, None, problem.replace("size 4", "size 8"))


def test_on_cpus_the_vocabulary_counts_too() -> None:
    on_cpu = WantedProfile(**{**CPU, "speculative_config": SMALL})
    assert serving_profile(on_cpu, LLAMA_70B, LLAMA_8B).memory is None
    with pytest.raises(ValueError, match="guess among 32000 tokens"):
        serving_profile(on_cpu, LLAMA_70B, LLAMA_8B.model_copy(update={"vocabulary": 32_000}))


def test_a_signed_plan_says_what_guessing_takes() -> None:
    signed = serving_profile(wanted(EAGLE), LLAMA_70B, HEAD).model_dump()
    assert ServingProfile(**signed)
    with pytest.raises(ValidationError, match="both or neither"):
        ServingProfile(**{**signed, "speculative_config": None})


def test_the_bound_of_speed_has_every_guess_right() -> None:
    plain = on(WantedProfile(**{**dict(wanted(NGRAM)), "speculative_config": None}), LLAMA_70B, "H200-141").most_one
    ngram = on(wanted(NGRAM), LLAMA_70B, "H200-141").most_one
    eagle = on(wanted(EAGLE), LLAMA_70B, "H200-141", HEAD).most_one
    assert plain is not None
    assert ngram == pytest.approx(5 * plain)
    read = LLAMA_70B.step_bytes
    assert eagle == pytest.approx(4 * plain * read / (read + 3 * 3 * GIB))


def test_a_lock_from_before_agrees_with_files_that_say_more() -> None:
    of_before = LLAMA_70B.model_copy(update={"vocabulary": None, "hidden": None})
    assert LLAMA_70B.as_told_by(of_before) == of_before
    assert LLAMA_70B.as_told_by(LLAMA_70B) == LLAMA_70B
    assert (LLAMA_70B.vocabulary, LLAMA_70B.hidden) == (128_256, 8192)
