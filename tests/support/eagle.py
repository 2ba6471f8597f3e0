"""Layers that guess for a small Llama: EAGLE-3's form, made of nothing, so that they guess badly.

Names and shapes are those that vLLM 0.32.0 reads (``model_executor/models/llama_eagle3.py``).
"""

import json
from pathlib import Path
from typing import Any

from tests.support.umask import umask
from tests.support.weights import safetensors

_TOLD_OF = (1, 2)  # what the model makes before these layers; of a real one, there are three places


@umask(0o022)  # whoever makes it is not who serves it
def eagle3(model: dict[str, Any], folder: Path) -> None:
    """Write into ``folder``, which is made, layers for the model that has this ``config.json``."""
    hidden, heads, keys = model["hidden_size"], model["num_attention_heads"], model["num_key_value_heads"]
    width, inner, tokens = model["head_dim"], model["intermediate_size"], model["vocab_size"]
    shapes = {
        "fc.weight": [hidden, len(_TOLD_OF) * hidden],
        "lm_head.weight": [tokens, hidden],
        "midlayer.mlp.down_proj.weight": [hidden, inner],
        "midlayer.mlp.gate_proj.weight": [inner, hidden],
        "midlayer.mlp.up_proj.weight": [inner, hidden],
        # It sees the token beside what the model made of the one before.
        "midlayer.self_attn.k_proj.weight": [keys * width, 2 * hidden],
        "midlayer.self_attn.o_proj.weight": [hidden, heads * width],
        "midlayer.self_attn.q_proj.weight": [heads * width, 2 * hidden],
        "midlayer.self_attn.v_proj.weight": [keys * width, 2 * hidden],
    }
    norms = ("midlayer.hidden_norm", "midlayer.input_layernorm", "midlayer.post_attention_layernorm", "norm")
    ones = {f"{name}.weight": ("BF16", [hidden], b"\x80\x3f" * hidden) for name in norms}
    # Small numbers that are not all alike: the high byte of a bfloat16, with its sign in turn.
    numbers = {
        name: ("BF16", [rows, columns], (b"\x00\x3c\x00\xbc\x40\x3c" * (rows * columns))[: 2 * rows * columns])
        for name, (rows, columns) in shapes.items()
    }
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(safetensors(dict(sorted((ones | numbers).items()))))
    kept = {key: value for key, value in model.items() if key != "architectures"}
    config = {
        **kept,
        "architectures": ["LlamaForCausalLMEagle3"],
        "num_hidden_layers": 1,
        "draft_vocab_size": tokens,
        "num_aux_hidden_states": len(_TOLD_OF),
        "eagle_aux_hidden_state_layer_ids": _TOLD_OF,
    }
    (folder / "config.json").write_text(json.dumps(config))
