"""Small LoRA adapters for tests, and models that they belong to, as PEFT and transformers lay them out."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.weights import Tensors, safetensors

BASE = "lab/tiny-llama"
HIDDEN, INNER, KEYS = 64, 128, 32
_SIZES = {  # outputs and inputs of each kind of layer
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (KEYS, HIDDEN),
    "self_attn.v_proj": (KEYS, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}
_QUARTER = (b"\x80\x3e", b"\x80\xbe")  # 0.25 and -0.25 in bfloat16


def base_files(layers: int = 2) -> dict[str, bytes]:
    """A model of Llama's form, without a tokenizer."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": layers,
        "max_position_embeddings": 4096,
        "torch_dtype": "bfloat16",
    }
    weights = {f"{name}.weight": _tensor(name, shape) for name, shape in _linear(layers)}
    return {"config.json": json.dumps(config).encode(), "model.safetensors": safetensors(weights)}


def adapter_config(**changes: Any) -> dict[str, Any]:
    """``adapter_config.json`` as PEFT 0.17 writes it; ``...`` leaves a field out."""
    fields = {
        "alpha_pattern": {},
        "auto_mapping": None,
        "base_model_name_or_path": BASE,
        "bias": "none",
        "corda_config": None,
        "eva_config": None,
        "exclude_modules": None,
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layer_replication": None,
        "layers_pattern": None,
        "layers_to_transform": None,
        "loftq_config": {},
        "lora_alpha": 32,
        "lora_bias": False,
        "lora_dropout": 0.05,
        "megatron_config": None,
        "megatron_core": "megatron.core",
        "modules_to_save": None,
        "peft_type": "LORA",
        "qalora_group_size": 16,
        "r": 8,
        "rank_pattern": {},
        "revision": None,
        "target_modules": ["q_proj", "v_proj"],
        "target_parameters": None,
        "task_type": "CAUSAL_LM",
        "trainable_token_indices": None,
        "use_dora": False,
        "use_qalora": False,
        "use_rslora": False,
        **changes,
    }
    return {key: value for key, value in fields.items() if value is not ...}


def adapter_tensors(
    shapes: Mapping[str, tuple[int, int]], rank: int = 8, seed: str = ""
) -> dict[str, tuple[str, list[int], bytes]]:
    """Both halves of the change of each layer, whose outputs and inputs ``shapes`` has."""
    found = {}
    for name, (outputs, inputs) in shapes.items():
        for half, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
            full = f"base_model.model.{name}.lora_{half}.weight"
            found[full] = _tensor(seed + full, shape)
    return found


def tiny_chat_adapter(seed: str, *kinds: str, trained_on: str = BASE) -> dict[str, bytes]:
    """An adapter of the demo's tiny-chat that changes ``kinds`` of its layers, differently for each ``seed``."""
    sizes = {
        "self_attn.q_proj": (128, 128),
        "self_attn.v_proj": (64, 128),
        "self_attn.o_proj": (128, 128),
        "mlp.gate_proj": (256, 128),
        "mlp.up_proj": (256, 128),
        "mlp.down_proj": (128, 256),
    }
    shapes = {
        f"model.layers.{layer}.{name}": shape
        for layer in range(2)
        for name, shape in sizes.items()
        if name.rpartition(".")[2] in kinds
    }
    changes: dict[str, Any] = {"target_modules": list(kinds), "base_model_name_or_path": trained_on}
    return adapter_files(adapter_tensors(shapes, 8, seed), **changes)


def adapter_files(
    tensors: Tensors | None = None, *, layers: int = 2, rank: int = 8, **changes: Any
) -> dict[str, bytes]:
    """An adapter of ``base_files``: of its q_proj and v_proj, where nothing else is said."""
    own = {name: shape for name, shape in _linear(layers) if name.endswith(("q_proj", "v_proj"))}
    return {
        "README.md": b"# An adapter\n",
        "adapter_config.json": json.dumps(adapter_config(**{"r": rank, **changes})).encode(),
        "adapter_model.safetensors": safetensors(adapter_tensors(own, rank) if tensors is None else tensors),
    }


def _linear(layers: int) -> Iterator[tuple[str, tuple[int, int]]]:
    for layer in range(layers):
        for name, shape in _SIZES.items():
            yield f"model.layers.{layer}.{name}", shape


def _tensor(name: str, shape: tuple[int, int]) -> tuple[str, list[int], bytes]:
    """Numbers that follow from the name, each a quarter or minus a quarter."""
    drawn = hashlib.shake_256(name.encode()).digest(shape[0] * shape[1])
    return "BF16", list(shape), b"".join(_QUARTER[byte & 1] for byte in drawn)
