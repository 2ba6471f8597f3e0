"""Which adapters are taken, what is said of them, and that each belongs to its model."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.artifacts.base import Context
from appliance.artifacts.weights.kind import Weights
from appliance.artifacts.weights.section import WeightsSection
from appliance.errors import ApplianceError, BadInput, NotTrusted
from appliance.model.documents.lock import LockedArtifact
from appliance.model.files import Content
from appliance.model.progress import Silent
from appliance.store.cache import Cache
from tests.support.adapters import BASE, HIDDEN, KEYS, adapter_files, adapter_tensors, base_files
from tests.support.locking import lock_one

KIND = Weights()
Q_PROJ = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "bundles").mkdir()
    return Context(tmp_path / "bundles", Cache(tmp_path / "cache"), Silent())


def lock(context: Context, name: str, files: Mapping[str, bytes], **fields: Any) -> LockedArtifact:
    for path, data in files.items():
        (context.base / name / path).parent.mkdir(parents=True, exist_ok=True)
        (context.base / name / path).write_bytes(data)
    section = {"directory": name, "licence": "CC0-1.0", **fields}
    return lock_one(KIND, name, WeightsSection.model_validate_json(json.dumps(section)), context)


def adapter(context: Context, files: Mapping[str, bytes] | None = None, **fields: Any) -> LockedArtifact:
    own = {"of": "tiny", "trained_on": BASE, **fields}
    return lock(context, "legal", adapter_files() if files is None else files, adapter=own)


def refusal(context: Context, files: Mapping[str, bytes], **fields: Any) -> ApplianceError:
    with pytest.raises(BadInput) as caught:
        adapter(context, files, **fields)
    return caught.value


def test_an_adapter_is_locked_with_what_its_files_say_and_laid_out_as_other_weights(context: Context) -> None:
    base, own = lock(context, "tiny", base_files()), adapter(context)
    assert own.adapter is not None
    assert own.adapter.model_dump() == {
        "of": "tiny",
        "base": BASE,
        "trained_on": BASE,
        "rank": 8,
        "modules": {"q_proj": 2 * (HIDDEN + HIDDEN), "v_proj": 2 * (HIDDEN + KEYS)},
    }
    assert own.model is None
    KIND.fetch(own, context)
    layouts, _ = KIND.lay_out([base, own], context)
    assert [file.path for file in layouts[1].files] == [f"models/legal/{path}" for path in sorted(adapter_files())]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("adapter_model.bin", "is or may be a Python pickle"),
        ("modeling.py", "is code"),
        ("tokenizer.json", "belongs to no adapter"),
        ("tokenizer_config.json", "belongs to no adapter"),
        ("chat_template.jinja", "belongs to no adapter"),
        ("config.json", "belongs to no adapter"),
        ("more.safetensors", "belongs to no adapter"),
        ("checkpoint-10/adapter_model.safetensors", "belongs to no adapter"),
    ],
)
def test_nothing_but_the_two_files_and_texts_is_taken(context: Context, path: str, said: str) -> None:
    error = refusal(context, {**adapter_files(), path: b"{}"})
    assert (error.reference, error.exit_code) == ("weights-refused", 2)
    assert said in error.what
    assert "allow" not in error.hint


def test_no_exception_can_be_made(context: Context) -> None:
    with pytest.raises(ValueError, match="must have no allow"):
        lock(context, "legal", adapter_files(), adapter={"of": "tiny"}, allow={"a.bin": "why"})


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_both_files_have_to_be_there(context: Context, missing: str) -> None:
    files = {path: data for path, data in adapter_files().items() if path != missing}
    assert refusal(context, files).reference in {"adapter-refused", "weights-empty"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"peft_type": ...}, "has no peft_type"),
        ({"base_model_name_or_path": None}, "does not name the model"),
        ({"base_model_name_or_path": "x\u202ey"}, "does not name the model"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"use_dora": True}, "use_dora"),
        ({"lora_bias": True}, "lora_bias"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"target_parameters": ["experts"]}, "target_parameters"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens"),
        ({"something_new": 1}, "something_new is 1, which vLLM does not serve or is not known here"),
        ({"init_lora_weights": "pissa"}, "changes the model's own weights"),
        ({"init_lora_weights": "lora_ga"}, "changes the model's own weights"),
        ({"init_lora_weights": "corda"}, "changes the model's own weights"),
        ({"auto_mapping": {"parent_library": "transformers_modules.evil"}}, "auto_mapping names code"),
        ({"auto_mapping": ["x"]}, "auto_mapping names code"),
        ({"rank_pattern": {"(a+)+": 8}}, "rank_pattern has to map plain names to numbers"),
        ({"alpha_pattern": {"(a+)+": 8}}, "alpha_pattern has to map plain names to numbers"),
        ({"r": 16}, "has layers of rank 8, which adapter_config.json does not name"),
        ({"lora_alpha": True}, "lora_alpha is True"),
        ({"lora_alpha": 0}, "lora_alpha is 0"),
        ({"alpha_pattern": {"q_proj": 10**9}}, "alpha_pattern has 1000000000 for q_proj, and has to have a number"),
        ({"alpha_pattern": {"q_proj": 0}}, "alpha_pattern has 0 for q_proj"),
        ({"alpha_pattern": {"q_proj": -1.5}}, "alpha_pattern has -1.5 for q_proj"),
        ({"rank_pattern": {"q_proj": 8, "v_proj": 0}}, "rank_pattern has 0 for v_proj, and has to have a whole number"),
        ({"rank_pattern": {"q_proj": 8.5}}, "rank_pattern has 8.5 for q_proj"),
        ({"rank_pattern": {"q_proj": 513}}, "rank_pattern has 513 for q_proj"),
        ({"rank_pattern": {"q_proj": 8}, "r": 1e-9}, "r is 1e-09, and has to be a whole number between 1 and 512"),
        ({"rank_pattern": {"q_proj": 8}, "r": True}, "r is True"),
        ({"target_modules": ["k_proj"]}, "is not among target_modules"),
        ({"target_modules": None}, "has no target_modules"),
    ],
)
def test_what_is_served_otherwise_than_it_was_trained_is_refused(
    context: Context, changes: dict[str, Any], said: str
) -> None:
    error = refusal(context, adapter_files(**changes), trained_on=None)
    assert error.reference == "adapter-refused"
    assert said in error.what


def test_code_by_name_in_the_configuration_is_refused(context: Context) -> None:
    assert "auto_map" in refusal(context, adapter_files(auto_map={"AutoModel": "x.Y"})).what


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({}, "changes no layer"),
        ({f"base_model.model.{Q_PROJ}.weight": ("BF16", [1, 1], b"xx")}, "is not lora_A or lora_B of a linear layer"),
        ({"base_model.model.lm_head.weight": ("BF16", [1, 1], b"xx")}, "is not lora_A or lora_B"),
        ({f"base_model.model.{Q_PROJ}.lora_A.weight": ("BF16", [1, 1], b"xx")}, "only one half"),
        (
            {
                f"base_model.model.{Q_PROJ}.lora_A.weight": ("BF16", [1, 4], b"x" * 8),
                f"base_model.model.{Q_PROJ}.lora_B.weight": ("BF16", [4, 2], b"x" * 16),
            },
            "with the ranks 1 and 2",
        ),
        ({f"base_model.model.{Q_PROJ}.lora_A.weight": ("I8", [1, 1], b"x")}, "of I8"),
        (adapter_tensors({"lm_head": (4, 4)}), "vocabularies and experts are not planned"),
        (adapter_tensors({"model.layers.0.mlp.experts.1.w1": (4, 4)}), "vocabularies and experts are not planned"),
    ],
)
def test_tensors_that_are_no_change_of_a_linear_layer_are_refused(context: Context, tensors: Any, said: str) -> None:
    assert said in refusal(context, adapter_files(tensors, target_modules="all-linear")).what


def test_patterns_may_name_layers_of_another_rank(context: Context) -> None:
    tensors = adapter_tensors({Q_PROJ: (HIDDEN, HIDDEN)}, 8) | adapter_tensors(
        {"model.layers.1.self_attn.v_proj": (KEYS, HIDDEN)}, 32
    )
    files = adapter_files(tensors, rank_pattern={"^model.layers.1.self_attn.v_proj": 32})
    locked = adapter(context, files)
    assert locked.adapter is not None
    assert locked.adapter.rank == 32


def test_another_name_of_the_model_has_to_be_vouched_for(context: Context) -> None:
    error = refusal(context, adapter_files(), trained_on="/data/other")
    assert "trained on 'lab/tiny-llama', and not on '/data/other'" in error.what
    base, own = lock(context, "tiny", base_files()), adapter(context, trained_on=None)
    with pytest.raises(BadInput, match="whose source does not tell their name") as caught:
        KIND.lay_out([base, own], context)
    assert "trained_on" in caught.value.hint


@pytest.mark.parametrize("commit", ["a" * 40])
def test_the_repository_of_the_model_is_its_name(context: Context, commit: str) -> None:
    base, own = lock(context, "tiny", base_files()), adapter(context, trained_on=None)
    source = {"type": "huggingface", "revision": "main", "commit": commit}
    KIND.lay_out([base.model_copy(update={"source": {**source, "repo": BASE}}), own], context)
    with pytest.raises(BadInput, match="which come from lab/other"):
        KIND.lay_out([base.model_copy(update={"source": {**source, "repo": "lab/other"}}), own], context)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"model.layers.7.self_attn.q_proj": (HIDDEN, HIDDEN)}, "layers.7.self_attn.q_proj, which the model does not"),
        ({Q_PROJ: (HIDDEN, HIDDEN * 2)}, f"with {HIDDEN * 2} inputs and {HIDDEN} outputs"),
        ({"model.layers.0.self_attn.v_proj": (HIDDEN, HIDDEN)}, f"has the shape {KEYS}x{HIDDEN}"),
    ],
)
def test_every_layer_has_to_be_one_of_the_models(
    context: Context, shapes: dict[str, tuple[int, int]], said: str
) -> None:
    base = lock(context, "tiny", base_files())
    own = adapter(context, adapter_files(adapter_tensors(shapes)))
    with pytest.raises(BadInput, match="does not belong to weights/tiny") as caught:
        KIND.lay_out([base, own], context)
    assert said in caught.value.what


def test_an_adapter_belongs_to_a_model_and_not_to_an_adapter(context: Context) -> None:
    own = adapter(context)
    with pytest.raises(BadInput, match="which are no model of this definition"):
        KIND.lay_out([own], context)
    with pytest.raises(BadInput, match="which are no model of this definition"):
        KIND.lay_out([own, own.model_copy(update={"name": "tiny"})], context)


class Counting(Cache):
    """A cache that counts how often each file is asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: Counter[str] = Counter()

    def path(self, content: Content) -> Path:
        self.asked[content.sha256] += 1
        return super().path(content)


def test_a_model_is_read_once_for_all_of_its_adapters(context: Context) -> None:
    base, own = lock(context, "tiny", base_files()), adapter(context)
    shards = [file.sha256 for file in base.files if file.path.endswith(".safetensors")]

    def asked(adapters: int) -> list[int]:
        sink = Counting(context.base.parent / "cache")
        more = [own.model_copy(update={"name": f"legal{number}"}) for number in range(adapters)]
        KIND.lay_out([base, *more], replace(context, sink=sink))
        return [sink.asked[shard] for shard in shards]

    assert asked(1) == asked(5)


def test_a_lock_that_was_changed_is_found_out(context: Context) -> None:
    own = adapter(context)
    assert own.adapter is not None
    forged = own.model_copy(update={"adapter": own.adapter.model_copy(update={"rank": 1})})
    with pytest.raises(NotTrusted, match="something else of the adapter"):
        KIND.fetch(forged, context)
