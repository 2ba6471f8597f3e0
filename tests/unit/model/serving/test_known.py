"""The memory plan against what vLLM has logged for real models: ``tests/models/known.yaml``."""

import json
from typing import Any

import pytest
import yaml

from appliance.formats.model_config import read_model
from appliance.formats.safetensors import Tensor
from appliance.model.serving.gpus import GPUS, overhead_gib
from appliance.model.serving.memory import GIB, AttentionLayers, Limits, MemoryFacts, MemoryPlan, Split, plan_memory
from tests.support.real_models import FOLDER, real_model

KNOWN: list[dict[str, Any]] = yaml.safe_load((FOLDER / "known.yaml").read_text())
FINDINGS = [fact for fact in KNOWN if "finding" in fact]
WITHIN = 0.1
AT_LEAST = 20
ANYTHING = {"architectures": ["AnyForCausalLM"], "hidden_size": 1, "max_position_embeddings": 1}


def with_keys(*keys: str) -> list[Any]:
    chosen = [fact for fact in KNOWN if set(keys) <= fact.keys() and "finding" not in fact]
    return [pytest.param(fact, id=f"{fact['model']} {fact['max_model_len']}") for fact in chosen]


def attention(fact: dict[str, Any]) -> tuple[AttentionLayers, ...]:
    if "config" not in fact:
        return real_model(fact["model"]).facts.attention
    config = {**ANYTHING, **fact["config"]}
    if config.pop("alternating", False):
        config["layer_types"] = ["sliding_attention", "full_attention"] * (config["num_hidden_layers"] // 2)
    return read_model(json.dumps(config).encode(), None, [Tensor("w", "U8", (1,), 0, 1)]).attention


def split(fact: dict[str, Any]) -> Split:
    return Split(fact.get("tensor_parallel", 1), fact.get("pipeline_parallel", 1))


def planned(fact: dict[str, Any], length: int) -> MemoryPlan:
    """The plan for a GPU that has the logged memory for KV, beside a GiB of weights and one of overhead."""
    ranks, left = fact.get("tensor_parallel", 1) * fact.get("pipeline_parallel", 1), fact.get("kv_gib", 1.0)
    facts = MemoryFacts(gpu_gib=left + 2, overhead_gib=1.0, weights_bytes=ranks * GIB, attention=attention(fact))
    return plan_memory(facts, split(fact), Limits(1.0, length, fact.get("batch", 8192), kv_bytes=2))


def planned_from_scratch(fact: dict[str, Any]) -> MemoryPlan:
    """The plan as ``appliance plan`` makes it: the table's memory of the GPU, the model's weights, our overhead."""
    facts = MemoryFacts(
        gpu_gib=GPUS[fact["gpu"]].gib,
        overhead_gib=overhead_gib(fact.get("tensor_parallel", 1)),
        weights_bytes=weights(fact),
        attention=attention(fact),
    )
    return plan_memory(facts, split(fact), Limits(fact["utilization"], fact["max_model_len"], 8192, kv_bytes=2))


def weights(fact: dict[str, Any]) -> int:
    return int(fact["weights_bytes"]) if "weights_bytes" in fact else real_model(fact["model"]).facts.weights_bytes


@pytest.mark.parametrize("fact", with_keys("kv_gib", "tokens"))
def test_as_many_tokens_fit_as_vllm_has_logged(fact: dict[str, Any]) -> None:
    assert planned(fact, fact["max_model_len"]).tokens == pytest.approx(fact["tokens"], rel=WITHIN)


@pytest.mark.parametrize("fact", with_keys("needed_gib"))
def test_a_sequence_needs_what_vllm_has_logged(fact: dict[str, Any]) -> None:
    plan = planned(fact, fact["max_model_len"])
    assert plan.kv_per_sequence / GIB == pytest.approx(fact["needed_gib"], rel=WITHIN)


@pytest.mark.parametrize("fact", with_keys("kv_gib", "longest"))
def test_the_longest_sequence_is_what_vllm_has_estimated(fact: dict[str, Any]) -> None:
    least, most = (round(fact["longest"] * part) for part in (1 - WITHIN, 1 + WITHIN))
    assert planned(fact, least).fits
    assert not planned(fact, most).fits


@pytest.mark.parametrize("fact", with_keys("weights_gib"))
def test_weights_take_what_vllm_has_logged(fact: dict[str, Any]) -> None:
    """vLLM counts a little more: buffers beside the tensors."""
    taken = real_model(fact["model"]).facts.weights_bytes / fact.get("tensor_parallel", 1) / GIB
    assert taken == pytest.approx(fact["weights_gib"], rel=WITHIN)


@pytest.mark.parametrize("fact", with_keys("left_gib"))
def test_as_much_is_left_for_kv_as_vllm_has_logged(fact: dict[str, Any]) -> None:
    assert planned_from_scratch(fact).kv_available / GIB == pytest.approx(fact["left_gib"], rel=WITHIN)


@pytest.mark.parametrize("fact", with_keys("all_tokens"))
def test_the_whole_plan_has_as_many_tokens_as_vllm_has_logged(fact: dict[str, Any]) -> None:
    assert planned_from_scratch(fact).tokens == pytest.approx(fact["all_tokens"], rel=WITHIN)


@pytest.mark.parametrize("fact", [pytest.param(fact, id=fact["model"]) for fact in FINDINGS])
def test_a_finding_goes_on_to_differ_until_somebody_moves_it(fact: dict[str, Any]) -> None:
    """Whoever changes the plan so that one agrees takes its ``finding`` away."""
    if "all_tokens" in fact:
        ours, theirs = float(planned_from_scratch(fact).tokens), fact["all_tokens"]
    elif "tokens" in fact:
        ours, theirs = float(planned(fact, fact["max_model_len"]).tokens), fact["tokens"]
    else:
        ours, theirs = planned(fact, fact["max_model_len"]).kv_per_sequence / GIB, fact["needed_gib"]
    assert ours != pytest.approx(theirs, rel=WITHIN)


def test_every_fact_is_compared_and_has_a_source() -> None:
    logged = ("tokens", "needed_gib", "longest", "weights_gib", "left_gib", "all_tokens")
    compared = [fact for key in logged for fact in with_keys(key)]
    assert len(compared) + len(FINDINGS) == len(KNOWN)
    assert len(compared) >= AT_LEAST
    assert all(fact["source"] for fact in KNOWN)
