"""What is read of real models' configurations, and what is refused."""

import json
from typing import Any

import pytest

from appliance.formats.model_config import read_model
from appliance.formats.safetensors import Tensor
from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.memory import AttentionLayers
from tests.support.real_models import NAMES, real_model

GQA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_attention_heads": 8,
    "num_hidden_layers": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}
TENSORS = (
    Tensor("model.embed_tokens.weight", "BF16", (10, 5), 0, 100),
    Tensor("model.norm.weight", "BF16", (5,), 100, 110),
    Tensor("lm_head.weight", "BF16", (10, 5), 110, 210),
)


def read(generation: bytes | None = None, tensors: tuple[Tensor, ...] = TENSORS, **fields: Any) -> ModelFacts:
    config = {name: value for name, value in {**GQA, **fields}.items() if value is not ...}
    return read_model(json.dumps(config).encode(), generation, tensors)


def windows(**fields: Any) -> list[tuple[int, int | None]]:
    return [(group.layers, group.window) for group in read(**fields).attention]


@pytest.mark.parametrize("name", [name for name in NAMES if real_model(name).total_size])
def test_the_shapes_of_a_real_model_come_to_what_its_index_says(name: str) -> None:
    assert real_model(name).facts.weights_bytes == real_model(name).total_size


@pytest.mark.parametrize(
    ("name", "layers", "context", "quantization"),
    [
        ("llama-3.1-8b", 32, 131072, None),
        ("llama-3.1-70b-awq", 80, 131072, "awq"),
        ("llama-3.1-405b-fp8", 126, 131072, "compressed-tensors"),
        ("qwen3-8b", 36, 40960, None),
        ("qwen2.5-72b", 80, 32768, None),
        ("mistral-small-24b", 40, 32768, None),
        ("mixtral-8x22b", 56, 65536, None),
    ],
)
def test_a_real_model_is_read(name: str, layers: int, context: int, quantization: str | None) -> None:
    facts = real_model(name).facts
    assert facts.attention == (AttentionLayers(layers=layers, kv_heads=8, head_dim=128),)
    assert (facts.context, facts.quantization) == (context, quantization)


def test_scales_for_keys_and_values_are_told_of_weights_that_name_their_scheme() -> None:
    form = {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}
    plain = {**form, "kv_cache_scheme": None}
    found = [
        (facts.quantization, facts.kv_scales)
        for facts in (
            read(quantization_config=form),
            read(compression_config=form),
            read(quantization_config=plain),
            read(quantization_config=None, text_config={**GQA, "quantization_config": form}),
            read(),
        )
    ]
    scaled = ("compressed-tensors", True)
    assert found == [scaled, scaled, ("compressed-tensors", None), scaled, (None, None)]
    assert "kv_scales" not in read(quantization_config=plain).model_dump()
    with pytest.raises(ValueError, match="no quant_method"):
        read(quantization_config={})


def test_every_head_has_keys_of_its_own_where_nothing_else_is_said() -> None:
    assert read(num_key_value_heads=...).attention == (AttentionLayers(layers=6, kv_heads=8, head_dim=8),)
    assert read(num_key_value_heads=..., multi_query=True).attention[0].kv_heads == 1
    assert read(head_dim=128).attention[0].head_dim == 128


def test_latent_attention_keeps_one_vector() -> None:
    """DeepSeek-V3 (deepseek-ai/DeepSeek-V3): 61 layers, rank 512 and 64 for positions, 4096 tokens times 40."""
    rope = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}
    deepseek: dict[str, Any] = {
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "num_hidden_layers": 61,
        "rope_scaling": rope,
    }
    facts = read(model_type="deepseek_v3", max_position_embeddings=163840, **deepseek)
    assert facts.attention == (AttentionLayers(layers=61, kv_heads=1, head_dim=576, value_head_dim=0),)
    assert facts.context == 163840


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model_type": "mistral", "sliding_window": 4096}, [(6, 4096)]),
        ({"model_type": "mistral", "sliding_window": None}, [(6, None)]),
        ({"model_type": "qwen2", "sliding_window": 512, "use_sliding_window": False}, [(6, None)]),
        (
            {"model_type": "qwen2", "sliding_window": 512, "use_sliding_window": True, "max_window_layers": 4},
            [(4, None), (2, 512)],
        ),
        ({"model_type": "gemma2", "sliding_window": 512}, [(3, None), (3, 512)]),
        ({"model_type": "gemma3_text", "sliding_window": 512}, [(1, None), (5, 512)]),
        (
            {"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 3},
            [(3, None), (3, 128)],
        ),
    ],
)
def test_a_window_is_known_layer_by_layer(fields: dict[str, Any], expected: list[tuple[int, int | None]]) -> None:
    assert windows(**fields) == expected


def test_a_model_that_also_sees_says_it_inside() -> None:
    text = {name: value for name, value in GQA.items() if name != "architectures"}
    whole = {"architectures": ["Mistral3ForConditionalGeneration"], "text_config": text}
    facts = read_model(json.dumps(whole).encode(), None, TENSORS)
    assert (facts.architecture, facts.context) == ("Mistral3ForConditionalGeneration", 4096)


@pytest.mark.parametrize(
    ("rope", "context"),
    [
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}, 4096),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}, 8192),
        ({"type": "linear", "factor": 2}, 8192),
        ({"rope_type": "default", "rope_theta": 1e6}, 4096),
    ],
)
def test_what_scales_positions_counts_once(rope: dict[str, Any], context: int) -> None:
    assert read(rope_scaling=rope).context == context


def test_a_step_reads_no_input_embeddings_and_only_the_experts_that_are_asked() -> None:
    assert (read().weights_bytes, read().step_bytes) == (210, 110)
    assert read(tensors=TENSORS[:2]).step_bytes == 110  # the table is the output layer too
    experts = (*TENSORS, Tensor("model.layers.0.mlp.experts.0.up_proj.weight", "BF16", (50, 8), 210, 1010))
    assert read(tensors=experts, num_experts=8, num_experts_per_tok=2).step_bytes == 310
    mixtral = real_model("mixtral-8x22b").facts
    assert 3 < mixtral.weights_bytes / mixtral.step_bytes < 4


def test_the_longest_answer_is_what_the_publisher_allows() -> None:
    assert read(b'{"max_new_tokens": 2048}').answer == 2048
    assert read(b"{}").answer is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architectures": ...}, "names no architecture"),
        ({"num_hidden_layers": "six"}, "no num_hidden_layers that is a number"),
        ({"num_hidden_layers": 0}, "what cannot be"),
        ({"sliding_window": 512}, "a window of 512 tokens, but not in which layers"),
        ({"layer_types": ["linear_attention", "full_attention"] * 3}, "no plan is made for: linear_attention"),
        ({"full_attention_interval": 4}, "no plan is made for: full_attention_interval"),
        ({"hybrid_override_pattern": "M-M*"}, "no plan is made for: hybrid_override_pattern"),
        ({"kv_lora_rank": 256, "qk_rope_head_dim": 32, "model_type": "minicpm3"}, "latent attention"),
        ({"index_topk": 2048}, "sparse attention"),
        ({"architectures": ["BertModel"]}, "is an encoder"),
        ({"architectures": ["ModernBertForSequenceClassification"]}, "is an encoder"),
        (
            {"architectures": ["XLMRobertaForSequenceClassification"], "position_embedding_type": "rotary"},
            "is an encoder of a kind",
        ),
        (
            {"architectures": ["XLMRobertaForSequenceClassification"], "model_type": "xlm-roberta"},
            "no pad_token_id that is a number",
        ),
        ({"rope_scaling": {"rope_type": "new", "factor": 2}}, "in a way that is not known here: 'new'"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": "2"}}, "no factor between"),
        ({"layer_types": ["full_attention"]}, "6 layers and the types of 1"),
    ],
)
def test_what_is_not_understood_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(**fields)


def test_what_is_no_configuration_is_refused() -> None:
    for data in (b"[]", b"{", b'{"a":' * 5000):
        with pytest.raises(ValueError, match="is not"):
            read_model(data, None, TENSORS)


def test_an_encoder_that_classifies_keeps_nothing() -> None:
    bert = read(architectures=["BertForSequenceClassification"], model_type="bert")
    assert (bert.attention, bert.context) == ((), 4096)


def test_positions_of_roberta_begin_behind_its_padding() -> None:
    """The publisher says 8,192 tokens (github.com/FlagOpen/FlagEmbedding, issue 920), the repository 2.27 GB."""
    facts = real_model("bge-reranker-v2-m3").facts
    assert (facts.attention, facts.context) == ((), 8192)
    assert round(facts.weights_bytes / 10**9, 2) == 2.27
