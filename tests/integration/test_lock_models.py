"""What a lock learns of a model from its own files, at a hub that has the headers of real models and no weights."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.artifacts.base import Context
from appliance.artifacts.weights.kind import Weights
from appliance.errors import BadInput, NotTrusted, Stale
from appliance.model.documents.lock import Lock
from appliance.model.progress import Silent
from appliance.steps.documents.definition import read_definition
from appliance.steps.documents.lock import lock_path, profiles_of, read_lock
from appliance.steps.lock import resolve
from appliance.steps.plan import plan
from appliance.store.cache import Cache
from tests.support.hub import Hub
from tests.support.hub_weights import chosen_hub, context_in
from tests.support.hub_weights import lock as lock_tiny
from tests.support.real_models import by_repo, real_model
from tests.support.weights import model_files, safetensors

pytestmark = pytest.mark.integration

DEFINITION = """\
schema: appliance.definition/v1
name: small
version: 1.0.0
description: A definition of a test
weights:
  llama:
    huggingface: {repo: meta-llama/Llama-3.1-8B-Instruct}
    licence: llama3.1
"""
SERVING = """\
serving:
  llama:
    weights: llama
    image: vllm
    task: chat
    gpu: H100-80
    gpus: 1
    max_model_len: 131072
    gpu_memory_utilization: 0.92
    enable_prefix_caching: true
    enable_chunked_prefill: true
    max_num_seqs: 128
    max_num_batched_tokens: 8192
    max_num_queued_reqs: 256
images:
  vllm:
    registry: {image: registry.invalid/vllm:1, platform: linux/amd64}
    licence: Apache-2.0
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with chosen_hub(monkeypatch, tmp_path) as running:
        model = real_model("llama-3.1-8b")
        running.add(model.repo, model.files)
        yield running


def resolved(folder: Path, changes: str = "", serving: str = SERVING) -> Lock:
    """The lock of DEFINITION; the image, which is not at this hub, is left out of what is resolved."""
    path = folder / "small.yaml"
    path.write_text(DEFINITION + serving.replace("    max_num_seqs", f"{changes}    max_num_seqs"))
    definition = read_definition(path)
    weights = tuple(section for section in definition.sections if section.kind.name == "weights")
    return resolve(replace(definition, sections=weights), Context(folder, Cache(folder / "cache"), Silent()))


def refusal(folder: Path, changes: str = "", serving: str = SERVING) -> BadInput:
    with pytest.raises(BadInput) as caught:
        resolved(folder, changes, serving)
    return caught.value


def test_a_definition_states_what_it_wants_and_the_lock_finds_the_rest(hub: Hub, tmp_path: Path) -> None:
    locked = resolved(tmp_path)
    assert read_lock(lock_path(tmp_path / "small.yaml")) == locked
    (artifact,) = locked.artifacts
    assert artifact.model == by_repo("meta-llama/Llama-3.1-8B-Instruct").facts
    memory = profiles_of(locked)["llama"].memory
    assert memory is not None
    assert (memory.gpu_gib, memory.overhead_gib, memory.weights_bytes) == (79.1, 4.0, 16_060_522_496)
    assert hub.sent("^/lfs/") < 1_000_000  # of 16 GB


def test_what_is_stated_by_hand_has_to_agree(hub: Hub, tmp_path: Path) -> None:
    resolved(tmp_path, "    memory: {weights_bytes: 16060522496, gpu_gib: 79.1, overhead_gib: 3.0}\n")
    wrong = refusal(tmp_path, "    memory: {weights_bytes: 16060522497}\n")
    assert wrong.what == (
        "memory.weights_bytes is 16060522497, but the headers of the weights have 16060522496: leave it out"
    )
    assert wrong.where.endswith("small.yaml: serving.llama")
    heads = refusal(tmp_path, "    memory: {attention: [{layers: 32, kv_heads: 4, head_dim: 128}]}\n")
    assert "layers=32 kv_heads=4 head_dim=128, but config.json has layers=32 kv_heads=8" in heads.what
    assert (
        "is 80.0, but the table of GPUs has for H100-80 79.1" in refusal(tmp_path, "    memory: {gpu_gib: 80.0}\n").what
    )


def test_what_the_model_cannot_do_is_refused_when_it_is_locked(hub: Hub, tmp_path: Path) -> None:
    longer = refusal(tmp_path, serving=SERVING.replace("131072", "262144"))
    assert longer.what == "max_model_len is 262144, but the model's context is 131072 tokens"
    small = refusal(tmp_path, serving=SERVING.replace("H100-80", "RTX-4090-24"))
    assert "the model does not fit: vLLM gets 21.6 GiB of each GPU" in small.what
    awq = refusal(tmp_path, "    quantization: awq\n")
    assert awq.what == "quantization is awq, but the weights are not quantised"


GUESSES = """\
    speculative_config: {method: draft_model, num_speculative_tokens: 4, weights: small}
"""
SMALL = """\
  small:
    huggingface: {repo: REPO}
    licence: llama3.1
"""


def with_draft(repo: str) -> str:
    """What follows the weights of the model: those of another repository, which guess, and the profile."""
    return SMALL.replace("REPO", repo) + SERVING


def test_weights_that_guess_are_locked_beside_the_model_and_planned_with_it(hub: Hub, tmp_path: Path) -> None:
    model = real_model("llama-3.1-8b")
    hub.add("people/Llama-Draft", model.files)
    locked = resolved(tmp_path, GUESSES, with_draft("people/Llama-Draft"))
    assert [artifact.id for artifact in locked.artifacts] == ["weights/llama", "weights/small"]
    memory = profiles_of(locked)["llama"].memory
    assert memory is not None
    assert memory.guesses is not None
    assert (memory.guesses.vocabulary, memory.guesses.weights_bytes) == (128_256, 16_060_522_496)
    assert read_lock(lock_path(tmp_path / "small.yaml")) == locked
    (planned,) = plan(tmp_path / "small.yaml", Cache(tmp_path / "cache"), Silent(), gpus=["RTX-4090-24"]).models
    (answer,) = planned.answers
    assert planned.weights_size == sum(file.size for artifact in locked.artifacts for file in artifact.files)
    assert answer.gpus == 4, "the model alone takes two"


def test_weights_that_cannot_guess_are_refused_with_the_reason(hub: Hub, tmp_path: Path) -> None:
    other = real_model("qwen3-8b")
    hub.add(other.repo, other.files)
    refused = refusal(tmp_path, GUESSES, with_draft(other.repo))
    assert refused.what == (
        "weights/small guess among 151936 tokens, and the model has 128256: both must have one vocabulary"
    )
    unknown = refusal(tmp_path, GUESSES)
    assert (unknown.what, unknown.reference) == ("weights has no entry 'small'", "definition-reference")


def test_an_unknown_gpu_is_refused_and_may_be_told(hub: Hub, tmp_path: Path) -> None:
    unknown = refusal(tmp_path, serving=SERVING.replace("H100-80", "H100"))
    assert "gpu is 'H100', which is not in the table of GPUs (A10G-24" in unknown.what
    locked = resolved(tmp_path, "    memory: {gpu_gib: 90.0}\n", SERVING.replace("H100-80", "a GPU of ours"))
    assert locked.memory["llama"].gpu_gib == 90.0


def test_another_gpu_is_planned_without_asking_the_hub_again(hub: Hub, tmp_path: Path) -> None:
    resolved(tmp_path)
    with hub.watched() as seen:
        assert resolved(tmp_path, serving=SERVING.replace("H100-80", "H200-141")).memory["llama"].gpu_gib == 139.7
    assert seen == []


def test_the_headers_that_a_hub_shows_are_bounded(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.artifacts.weights.hub.MAX_MODEL_HEADERS", 20_000)
    refused = refusal(tmp_path)
    assert (refused.reference, "more than 20000 bytes" in refused.what) == ("hub-oversized", True)


def test_a_model_that_is_not_understood_is_told_and_needs_the_figures(hub: Hub, tmp_path: Path) -> None:
    model = real_model("llama-3.1-8b")
    hybrid = {**model.config, "hybrid_override_pattern": "M-M*"}
    hub.add(model.repo, {**model.files, "config.json": json.dumps(hybrid).encode()})
    assert "there is no weights_bytes" in refusal(tmp_path).what
    by_hand = "    memory: {weights_bytes: 1000, attention: [{layers: 2, kv_heads: 1, head_dim: 8}]}\n"
    assert resolved(tmp_path, by_hand).memory["llama"].weights_bytes == 1000


def test_a_lock_without_a_plan_is_stale_before_anything_is_fetched(hub: Hub, tmp_path: Path) -> None:
    locked = resolved(tmp_path)
    with pytest.raises(Stale, match="not enough to serve llama: there is no weights_bytes"):
        profiles_of(locked.model_copy(update={"memory": {}}))


def test_what_was_read_is_read_again_of_the_bytes_that_were_verified(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A hub that shows one header while locking and carries another is found out by the build."""
    config = {**real_model("llama-3.1-8b").config, "num_hidden_layers": 1}
    files = {**model_files(1), "config.json": json.dumps(config).encode()}
    shard = "model-00001-of-00001.safetensors"
    sizes = (safetensors({"m": ("U8", [size], bytes(size))}) for size in range(len(files[shard])))
    liar = next(file for file in sizes if len(file) == len(files[shard]))
    with chosen_hub(monkeypatch, tmp_path) as hub:
        hub.add("tiny/model", files)
        context = context_in(tmp_path)
        honest = lock_tiny(context)
        Weights().fetch(honest, context)
        hub.fail("^/lfs/", times=1, replaced=liar)
        lied = lock_tiny(context_in(tmp_path / "other"))
        assert (honest.files, honest.model and honest.model.weights_bytes) == (lied.files, 64)
        with pytest.raises(NotTrusted, match="something else of the model") as caught:
            Weights().fetch(lied, context)
    assert caught.value.reference == "weights-facts"
    assert "weights_bytes=64 " in caught.value.found
