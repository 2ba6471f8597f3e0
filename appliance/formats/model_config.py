"""A model's ``config.json`` and the headers of its weights: how it keeps keys and values, and how large it is.

Format: that of transformers (https://huggingface.co/docs/transformers/main_classes/configuration), as
vLLM 0.32.0 takes it up (``config/model.py``, ``transformers_utils/model_arch_config_convertor.py``).  A
form that is not known here is refused: a plan for another model than the one that runs is worse than none.
Only bytes are looked at; the caller reads them.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from appliance.formats.safetensors import Tensor
from appliance.model.limits import MAX_MODEL_JSON
from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.memory import AttentionLayers
from appliance.model.value_problem import first_problem

T = TypeVar("T")

# Latent attention is known by its fields, but not every model that has them is served by it (MiniCPM3).
_LATENT = {"deepseek_v2", "deepseek_v3", "kimi_k2"}
# Every layer has the window.
_ALL_WINDOWED = {"mistral", "mixtral", "phi3", "starcoder2"}
# Each sixth layer sees everything where nothing else is said.
_GEMMA3 = {"gemma3", "gemma3_text"}
# One word of these, and there are layers whose memory does not grow with tokens (Mamba, linear attention).
_STATE_KEYS = (
    *("attn_layer_period", "full_attention_interval", "hybrid_override_pattern", "layers_block_type", "mamba_d_state"),
    *("linear_attn_config", "ssm_cfg", "state_size"),
)
# They keep nothing of a text (``model_executor/models/bert.py``, ``roberta.py``).  What others do is not known here.
_PLANNED_ENCODERS = {
    "BertForSequenceClassification",
    "RobertaForSequenceClassification",
    "XLMRobertaForSequenceClassification",
}
_ENCODERS = ("Bert", "Roberta", "XLMRoberta", "ModernBert", "DistilBert", "NomicBert")
_INPUT_EMBEDDINGS = ("embed_tokens.weight", "word_embeddings.weight", "wte.weight", "tok_embeddings.weight")
_SAME_LENGTH = {"default", "llama3", "longrope", "mrope", "su"}


def read_model(config: bytes, generation: bytes | None, tensors: Iterable[Tensor]) -> ModelFacts:
    """What ``config.json``, ``generation_config.json`` and the ``tensors`` of all files say of a model.

    Raises ValueError that says what cannot be understood.
    """
    whole = _object(config, "config.json")
    text = _text(whole)
    sizes, names = _sizes(tensors)
    quantization = _quantization(whole, text)
    try:
        return ModelFacts(
            architecture=_architecture(whole),
            dtype=str(_first(text, "dtype", "torch_dtype") or _first(whole, "dtype", "torch_dtype") or "float32"),
            quantization=None if quantization is None else _field(quantization, "quant_method", str),
            context=_context(text),
            heads=_field(text, "num_attention_heads", int),
            answer=_answer(generation),
            weights_bytes=sizes["all"],
            step_bytes=_step(text, sizes, tied="output" not in names),
            attention=_attention(text),
            vocabulary=_optional(text, "vocab_size"),
            hidden=_optional(text, "target_hidden_size") or _optional(text, "hidden_size"),
            kv_scales=True if quantization and quantization.get("kv_cache_scheme") is not None else None,
        )
    except ValidationError as error:
        raise ValueError(f"the model's files say what cannot be: {first_problem(error)}") from None


def indexed_files(index: bytes) -> set[str]:
    """The files that ``model.safetensors.index.json`` names.  Raises ValueError."""
    shards = _object(index, "model.safetensors.index.json").get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise ValueError("model.safetensors.index.json has no weight_map from tensors to files")
    return set(shards.values())


def _object(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > MAX_MODEL_JSON:
        raise ValueError(f"{name} has {len(data)} bytes, more than {MAX_MODEL_JSON}")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError(f"{name} is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not a JSON object")
    return value


def _text(whole: dict[str, Any]) -> dict[str, Any]:
    """The part that writes text: a model that also sees or hears has it inside."""
    inner = _first(whole, "text_config", "llm_config")
    return inner if isinstance(inner, dict) else whole


def _architecture(whole: dict[str, Any]) -> str:
    names = whole.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise ValueError("config.json names no architecture")
    return names[0]


def _quantization(*parts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Of the first part that has it, as vLLM takes it; older compressed-tensors have it under another name."""
    told = [_first(part, "quantization_config", "compression_config") for part in parts]
    found = next((one for one in told if one is not None), None)
    return found if isinstance(found, dict) else None


def _first(fields: Mapping[str, Any], *names: str) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _field(fields: Mapping[str, Any], name: str, form: type[T]) -> T:
    value = fields.get(name)
    if type(value) is not form:
        raise ValueError(f"config.json has no {name} that is a {'number' if form is int else 'text'}")
    return value


def _optional(fields: Mapping[str, Any], name: str) -> int | None:
    return None if fields.get(name) is None else _field(fields, name, int)


def _context(text: dict[str, Any]) -> int:
    """As vLLM derives it: what scales positions makes the context longer, unless it is counted already."""
    tokens = _field(text, "max_position_embeddings", int)
    if _planned_encoder(text) and "roberta" in str(text.get("model_type", "")):
        # Their positions begin behind that of padding (``model_executor/models/roberta.py``).
        return tokens - _field(text, "pad_token_id", int) - 1
    rope = _first(text, "rope_scaling", "rope_parameters")
    if not isinstance(rope, dict) or str(text.get("model_type", "")) in _GEMMA3:
        return tokens
    form = _first(rope, "rope_type", "type")
    if form is None or form in _SAME_LENGTH:
        return tokens
    if form == "yarn":
        tokens = _optional(rope, "original_max_position_embeddings") or tokens
    elif form not in ("linear", "dynamic"):
        raise ValueError(f"config.json scales positions in a way that is not known here: {str(form)[:40]!r}")
    factor = rope.get("factor", 1)
    if type(factor) not in (int, float) or not 1 <= factor <= 1024:
        raise ValueError("config.json has no factor between 1 and 1024 to scale positions by")
    return int(tokens * factor)


def _answer(generation: bytes | None) -> int | None:
    if generation is None:
        return None
    return _optional(_object(generation, "generation_config.json"), "max_new_tokens")


def _attention(text: dict[str, Any]) -> tuple[AttentionLayers, ...]:
    if _planned_encoder(text):
        return ()
    layers = _field(text, "num_hidden_layers", int)
    if layers < 1:
        raise ValueError(f"the model's files say what cannot be: num_hidden_layers is {layers}")
    _refuse_others(text)
    if _first(text, "kv_lora_rank") is not None:
        return (_latent(text, layers),)
    heads = _field(text, "num_attention_heads", int)
    width = _optional(text, "head_dim") or _field(text, "hidden_size", int) // max(1, heads)
    # Falcon and GPT-BigCode say it this way; newer Falcons then have num_kv_heads as well.
    single = text.get("multi_query") is True and not text.get("new_decoder_architecture")
    keys = 1 if single else _optional(text, "num_key_value_heads") or _optional(text, "num_kv_heads") or heads
    windows = _windows(text, layers)
    return tuple(
        AttentionLayers(layers=count, kv_heads=keys, head_dim=width, window=window)
        for window, count in sorted(Counter(windows).items(), key=lambda item: (item[0] is not None, item[0] or 0))
    )


def _planned_encoder(text: dict[str, Any]) -> bool:
    names = text.get("architectures") or [""]
    return names[0] in _PLANNED_ENCODERS and text.get("position_embedding_type", "absolute") == "absolute"


def _refuse_others(text: dict[str, Any]) -> None:
    architectures = [str(name) for name in text.get("architectures") or []]
    if any(name.startswith(_ENCODERS) for name in architectures):
        raise ValueError(f"{architectures[0]} is an encoder of a kind that is planned for no GPU")
    kinds = {str(kind) for kind in text.get("layer_types") or []} - {"full_attention", "sliding_attention"}
    states = sorted({*kinds, *(key for key in _STATE_KEYS if text.get(key) is not None)})
    if states:
        raise ValueError(f"config.json has layers that no plan is made for: {', '.join(states)[:200]}")
    if text.get("index_topk") is not None:
        raise ValueError("config.json has sparse attention with an index of its own, which no plan is made for")


def _latent(text: dict[str, Any], layers: int) -> AttentionLayers:
    if (kind := text.get("model_type")) not in _LATENT:
        raise ValueError(f"config.json has latent attention, which is not known of the model type {str(kind)[:40]!r}")
    width = _field(text, "kv_lora_rank", int) + _field(text, "qk_rope_head_dim", int)
    return AttentionLayers(layers=layers, kv_heads=1, head_dim=width, value_head_dim=0)


def _windows(text: dict[str, Any], layers: int) -> list[int | None]:
    """The window of each layer; None for one that sees everything."""
    window = _optional(text, "sliding_window")
    kinds = text.get("layer_types")
    if isinstance(kinds, list):
        if len(kinds) != layers:
            raise ValueError(f"config.json has {layers} layers and the types of {len(kinds)}")
        if "sliding_attention" in kinds and window is None:
            raise ValueError("config.json has layers with a window, but not how long it is")
        return [window if kind == "sliding_attention" else None for kind in kinds]
    if window is None or text.get("use_sliding_window") is False:
        return [None] * layers
    kind = str(text.get("model_type", ""))
    if text.get("use_sliding_window") is True:
        first = _field(text, "max_window_layers", int)
        return [window if layer >= first else None for layer in range(layers)]
    if kind in _ALL_WINDOWED:
        return [window] * layers
    if kind == "gemma2":
        return [window if layer % 2 == 0 else None for layer in range(layers)]
    if kind in _GEMMA3:
        every = _optional(text, "sliding_window_pattern") or 6
        return [window if (layer + 1) % every else None for layer in range(layers)]
    raise ValueError(f"config.json has a window of {window} tokens, but not in which layers")


def _sizes(tensors: Iterable[Tensor]) -> tuple[Counter[str], set[str]]:
    """Bytes of all tensors, of the experts and of the input embeddings; and whether there is an output layer."""
    sizes: Counter[str] = Counter()
    names = set()
    for tensor in tensors:
        count = tensor.end - tensor.begin
        sizes["all"] += count
        if ".experts." in tensor.name:
            sizes["experts"] += count
        elif tensor.name.endswith(_INPUT_EMBEDDINGS):
            sizes["embeddings"] += count
        elif tensor.name.rpartition(".")[0].endswith(("lm_head", "embed_out")) or tensor.name == "output.weight":
            names.add("output")
    return sizes, names


def _step(text: dict[str, Any], sizes: Mapping[str, int], *, tied: bool) -> int:
    """A table that is the output layer too is read whole."""
    embeddings = 0 if tied else sizes["embeddings"]
    read = sizes["all"] - embeddings - sizes["experts"]
    if not sizes["experts"]:
        return read
    experts = _first(text, "num_local_experts", "n_routed_experts", "num_experts")
    asked = _first(text, "num_experts_per_tok", "experts_per_token")
    if type(experts) is not int or type(asked) is not int or not 1 <= asked <= experts:
        raise ValueError("config.json does not say how many of how many experts a token asks")
    return read + sizes["experts"] * asked // experts
