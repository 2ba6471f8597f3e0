"""Profiles that name adapters: what is signed of them, what they take, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.artifacts.base import Context
from appliance.cli.main import run
from appliance.errors import BadInput
from appliance.model.documents.definition import DefinitionHead
from appliance.model.documents.lock import Lock
from appliance.model.progress import Silent
from appliance.model.serving.adapters import AdapterFacts, adapter_bytes
from appliance.model.serving.host_memory import host_memory
from appliance.model.serving.memory import GIB
from appliance.model.serving.profile import ServingProfile, arguments, memory_plan
from appliance.model.serving.wanted import WantedProfile, serving_profile
from appliance.steps.documents.definition import read_definition
from appliance.steps.documents.lock import lock_text, read_lock
from appliance.steps.lock import resolve
from appliance.store.cache import Cache
from tests.support.adapters import HIDDEN, INNER, adapter_files, base_files
from tests.support.real_models import real_model
from tests.unit.model.serving.test_profile import CPU as PLAIN

LEGAL = AdapterFacts(of="tiny", base="lab/tiny", rank=16, modules={"q_proj": 1000, "v_proj": 600})
MEDICAL = AdapterFacts(of="tiny", base="lab/tiny", rank=8, modules={"down_proj": 4000})
KNOWN = {"legal": LEGAL, "medical": MEDICAL}
CPU: dict[str, Any] = PLAIN | {"image": "vllm", "adapters": {"tiny-legal": "legal", "tiny-medical": "medical"}}
NGRAM = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4}
LAYERS = {"layers": 2, "kv_heads": 2, "head_dim": 32}
GPU = CPU | {"gpus": 1, "gpu": "H100-80", "gpu_memory_utilization": 0.9, "max_num_batched_tokens": 4096}
DEFINITION = """\
schema: appliance.definition/v1
name: small
version: 1.0.0
description: A definition of a test
serving:
  tiny:
    weights: tiny
    image: vllm
    task: chat
    gpus: 0
    max_model_len: 4096
    enable_prefix_caching: true
    enable_chunked_prefill: true
    max_num_seqs: 16
    max_num_queued_reqs: 64
    adapters: {tiny-legal: legal}
weights:
  tiny: {directory: tiny, licence: CC0-1.0}
  legal: {directory: legal, licence: CC0-1.0, adapter: {of: tiny, trained_on: lab/tiny-llama}}
images:
  vllm:
    registry: {image: registry.invalid/vllm:1, platform: linux/amd64}
    licence: Apache-2.0
"""


def signed(**changes: Any) -> ServingProfile:
    return serving_profile(WantedProfile(**{**CPU, **changes}), None, adapters=KNOWN)


def test_vllm_makes_room_for_all_adapters_and_for_what_they_change() -> None:
    words = arguments(signed(), "tiny")
    place = words.index("--enable-lora")
    assert words[place : place + 11] == (
        # On a CPU one more than there are: see ``profile.py``.
        *("--enable-lora", "--max-loras", "3", "--max-cpu-loras", "3", "--max-lora-rank", "16"),
        *("--lora-target-modules", "down_proj", "q_proj", "v_proj"),
    )


def test_a_profile_without_adapters_says_nothing_of_them() -> None:
    plain = signed(adapters={})
    assert not {"adapters", "max_loras", "max_lora_rank", "lora_target_modules"} & plain.model_dump().keys()
    assert not any("lora" in word for word in arguments(plain, "tiny"))


def test_a_profile_may_let_fewer_into_a_batch() -> None:
    profile = signed(max_lora_rank=64).model_dump()
    memory = {"gpu_gib": 79.1, "overhead_gib": 4.0, "weights_bytes": GIB, "adapter_bytes": 1, "attention": (LAYERS,)}
    on_gpu = {**GPU, "adapters": profile["adapters"], "memory": memory, "max_loras": 1}
    words = arguments(ServingProfile.model_validate(profile | on_gpu), "tiny")
    assert words[words.index("--max-loras") + 1] == "1"
    assert words[words.index("--max-cpu-loras") + 1] == "2"
    assert words[words.index("--max-lora-rank") + 1] == "64"


def test_room_is_counted_as_vllm_makes_it() -> None:
    # v_proj and q_proj come with k_proj, which is planned as wide as the wider of them.
    widths = 1000 + 600 + 1000 + 4000
    assert adapter_bytes(KNOWN.values(), places=2, rank=16, number=2) == 2 * 16 * widths * 2
    assert adapter_bytes([], places=2, rank=16, number=2) == 0


def test_the_memory_plan_has_less_for_keys_and_values() -> None:
    facts = real_model("llama-3.1-8b").facts
    each = 32 * (4096 + 4096)
    adapter = AdapterFacts(of="tiny", base="x", rank=16, modules={"o_proj": each})
    without = memory_plan(serving_profile(WantedProfile(**{**GPU, "adapters": {}}), facts))
    beside = memory_plan(
        serving_profile(WantedProfile(**{**GPU, "adapters": {"a": "a"}}), facts, adapters={"a": adapter})
    )
    assert without is not None
    assert beside is not None
    assert without.kv_available - beside.kv_available == 16 * each * 2
    many = {f"a{number}": "a" for number in range(64)}
    wide = AdapterFacts(of="tiny", base="x", rank=512, modules={"o_proj": each * 8})
    with pytest.raises(ValueError, match="the model does not fit"):
        serving_profile(WantedProfile(**{**GPU, "adapters": many, "max_lora_rank": 512}), facts, adapters={"a": wide})
    assert adapter_bytes([wide], 64, 512, 2) > 64 * GIB


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adapters": {"tiny-legal": "other"}}, "weights/other, which is not locked as an adapter"),
        ({"weights": "another"}, "adapters.tiny-legal belongs to weights/tiny, but the profile serves another"),
        ({"max_lora_rank": 8}, "adapters.tiny-legal has rank 16, more than max_lora_rank 8"),
        ({"max_loras": 1}, "on a CPU"),
        ({"max_loras": 3}, "max_loras is 3, but there are 2 adapters"),
        ({"adapters": {}, "max_loras": 1}, "max_loras is for adapters"),
        ({"max_lora_rank": 17}, "max_lora_rank"),
        ({"speculative_config": NGRAM}, "speculative_config and adapters exclude each other"),
        ({"options": {"enable-lora": True}}, "the profile names them"),
        ({"options": {"lora-modules": "x=/y"}}, "the profile names them"),
        ({"options": {"lora-target-modules": "q_proj"}}, "the profile names them"),
        ({"options": {"max-loras": 4}}, "has a field of its own"),
    ],
)
def test_what_cannot_be_served_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        signed(**changes)


def test_a_signed_profile_says_all_or_nothing_of_adapters() -> None:
    whole = signed().model_dump()
    for field in ("max_loras", "max_lora_rank", "lora_target_modules", "adapters"):
        with pytest.raises(ValidationError):
            ServingProfile.model_validate({key: value for key, value in whole.items() if key != field})
    with pytest.raises(ValidationError, match="pattern"):
        ServingProfile.model_validate(whole | {"lora_target_modules": ("--config",)})


@pytest.mark.parametrize(
    "serving",
    [
        {"tiny": CPU, "tiny-legal": {**CPU, "adapters": {}}},
        {"tiny": CPU, "other": {**CPU, "adapters": {"tiny-legal": "legal"}}},
        {"tiny": {**CPU, "adapters": {"tiny": "legal"}}},
    ],
)
def test_no_name_is_served_twice(serving: dict[str, Any]) -> None:
    head = {"schema": "appliance.definition/v1", "name": "x", "version": "1.0.0", "description": "x"}
    with pytest.raises(ValidationError, match="is served twice"):
        DefinitionHead.model_validate(head | {"serving": serving})


def resolved(folder: Path) -> Lock:
    """The lock of DEFINITION without its image, which is at no registry."""
    for name, files in (("tiny", base_files()), ("legal", adapter_files())):
        (folder / name).mkdir()
        for path, data in files.items():
            (folder / name / path).write_bytes(data)
    definition = read_definition(folder / "small.yaml")
    weights = tuple(section for section in definition.sections if section.kind.name == "weights")
    return resolve(replace(definition, sections=weights), Context(folder, Cache(folder / "cache"), Silent()))


def test_a_lock_keeps_what_is_signed_of_an_adapter(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(DEFINITION)
    lock = resolved(tmp_path)
    assert read_lock(tmp_path / "small.lock.yaml") == lock
    assert b"  adapter:\n    of: tiny\n    base: lab/tiny-llama\n" in lock_text(lock)
    profile = lock.profile("tiny")
    assert (profile.max_loras, profile.max_lora_rank, profile.lora_target_modules) == (1, 16, ("q_proj", "v_proj"))
    assert lock.artifacts[1].adapter is not None
    assert lock.artifacts[1].adapter.modules["q_proj"] == 4 * HIDDEN < 4 * INNER


ON_GPU = """\
    gpu: L4-24
    gpus: 1
    gpu_memory_utilization: 0.9
    max_num_batched_tokens: 4096
    max_model_len: 256
"""


def test_a_plan_has_the_memory_of_the_host_that_a_site_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A site counts what it mounts: all files, and those of an adapter under two names twice."""
    two = DEFINITION.replace("    gpus: 0\n    max_model_len: 4096\n", ON_GPU).replace(
        "legal}", "legal, law: legal}", 1
    )
    (tmp_path / "small.yaml").write_text(two)
    model, adapter = (sum(file.size for file in artifact.files) for artifact in resolved(tmp_path).artifacts)
    assert run(["plan", str(tmp_path / "small.yaml"), "--json", "--cache", str(tmp_path / "cache")]) == 0
    (planned,) = json.loads(capsys.readouterr().out)["models"]
    assert planned["answers"][0]["ram"] == host_memory(1, model + 2 * adapter)
    assert planned["weights_size"] == model + adapter


def test_a_definition_names_weights_that_are_there_and_are_an_adapter(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(DEFINITION.replace("tiny-legal: legal", "tiny-legal: leagl"))
    with pytest.raises(BadInput, match="weights has no entry 'leagl'") as caught:
        read_definition(path)
    assert "did you mean 'legal'" in caught.value.hint
    path.write_text(DEFINITION.replace("    adapters:", f"    speculative_config: {NGRAM}\n    adapters:"))
    with pytest.raises(BadInput, match="exclude each other"):
        read_definition(path)
    path.write_text(DEFINITION.replace(", adapter: {of: tiny, trained_on: lab/tiny-llama}", ""))
    with pytest.raises(BadInput, match="which is not locked as an adapter") as caught:
        resolved(tmp_path)
    assert caught.value.where.endswith("serving.tiny")
