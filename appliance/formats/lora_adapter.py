"""A LoRA adapter's ``adapter_config.json`` and the header of its weights, and whether they belong to a model.

Format: PEFT's (https://huggingface.co/docs/peft/package_reference/lora: LoraConfig), as far as vLLM 0.32.0 serves it
(``lora/peft_helper.py``, ``lora/utils.py``).  vLLM leaves out what it does not know, and then answers otherwise than
the adapter was trained to: here such a field is refused.  Only bytes are looked at; the caller reads them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.formats.safetensors import Tensor
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_ADAPTER_CONFIG
from appliance.model.visible import is_seen

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_DEPTH = 4
_HIGHEST_RANK = 512  # of those that vLLM makes room for
_HIGHEST_ALPHA = 65_536
_RANK = f"a whole number between 1 and {_HIGHEST_RANK}"
_ALPHA = f"a number between 0 and {_HIGHEST_ALPHA}"
_READ = {"alpha_pattern", "base_model_name_or_path", "lora_alpha", "r", "rank_pattern", "target_modules", "use_rslora"}
# What tells how it was trained, or how PEFT loads it: it changes nothing of what is served.
_TRAINING = {
    *("arrow_config", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules", "inference_mode"),
    *("layers_pattern", "layers_to_transform", "lora_dropout", "lora_ga_config", "megatron_core", "peft_version"),
    *("qalora_group_size", "revision", "runtime_config", "task_type"),
}
_FIXED = {"peft_type": ("LORA",), "bias": ("none", None)}
# Other beginnings change the model's own weights, which then are not those that are carried.
# LoRA-GA subtracts what it begins with from the base weights, as PiSSA does (PEFT, tuners/lora/layer.py: lora_ga_init).
_BEGINNINGS = ("gaussian", "eva", "orthogonal", "mica")
_OWN_MODELS = "transformers.models."
# vLLM takes the keys of patterns for regular expressions: plain names alone, so that none runs for hours.
_PATTERN = re.compile(r"\^?[A-Za-z0-9_.]{1,200}", re.ASCII)
_TENSOR = re.compile(r"base_model\.model\.([A-Za-z0-9_.]{1,300})\.lora_([AB])\.weight", re.ASCII)
_MODULE = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_NUMBERS = {"BF16", "F16", "F32"}
_VOCABULARY = {"embed_tokens", "lm_head"}


@dataclass(frozen=True)
class Layer:
    """A linear layer that an adapter changes: numbers that go in and come out, and the rank in between."""

    inputs: int
    outputs: int
    rank: int


@dataclass(frozen=True)
class Adapter:
    """``base`` is the model's name as the adapter has it; ``layers`` are by the model's own names."""

    base: str
    layers: Mapping[str, Layer]

    @property
    def rank(self) -> int:
        """The highest of all layers."""
        return max(layer.rank for layer in self.layers.values())

    @property
    def modules(self) -> dict[str, int]:
        """Inputs and outputs together, by the last part of the layers' names."""
        sums: Counter[str] = Counter()
        for name, layer in self.layers.items():
            sums[name.rpartition(".")[2]] += layer.inputs + layer.outputs
        return dict(sorted(sums.items()))


def read_adapter(config: bytes, tensors: Iterable[Tensor]) -> Adapter:
    """The adapter of these two files.  Raises ValueError that says what cannot be served."""
    fields = strict_json(config, limit=MAX_ADAPTER_CONFIG, max_depth=_DEPTH)
    if not isinstance(fields, dict):
        raise ValueError(f"{CONFIG} is not a JSON object")
    _check_fields(fields)
    base = fields.get("base_model_name_or_path")
    if not isinstance(base, str) or not 1 <= len(base) <= 500 or not is_seen(base):
        raise ValueError(f"{CONFIG} does not name the model that it was trained on (base_model_name_or_path)")
    layers = _layers(tensors)
    _check_ranks(fields, layers)
    _check_targets(fields.get("target_modules"), layers)
    return Adapter(base, layers)


def check_fits(adapter: Adapter, model: Iterable[Tensor]) -> None:
    """Raise ValueError unless the model with these tensors has every layer of the adapter, in the same size."""
    shapes = {tensor.name: tensor.shape for tensor in model}
    for name, layer in adapter.layers.items():
        shape = shapes.get(f"{name}.weight")
        # Packed weights of 4 bits have another shape, which says no more than their bits.
        if shape is None and f"{name}.qweight" not in shapes:
            raise ValueError(f"it changes {name}, which the model does not have")
        if shape is not None and shape != (layer.outputs, layer.inputs):
            raise ValueError(
                f"it changes {name} with {layer.inputs} inputs and {layer.outputs} outputs, but the model's has the "
                f"shape {'x'.join(map(str, shape))}"
            )


def _check_fields(fields: Mapping[str, Any]) -> None:
    for key, value in fields.items():
        if key in _FIXED and value not in _FIXED[key]:
            raise ValueError(f"{CONFIG}: {key} is {_short(value)}, and has to be {_FIXED[key][0]!r}")
    if "peft_type" not in fields:
        raise ValueError(f"{CONFIG} has no peft_type: only 'LORA' is served")
    mapping = fields.get("auto_mapping")
    library = mapping.get("parent_library") if isinstance(mapping, dict) else ""
    if mapping is not None and not str(library).startswith(_OWN_MODELS):
        raise ValueError(f"{CONFIG}: auto_mapping names code outside of {_OWN_MODELS}*")
    beginning = fields.get("init_lora_weights")
    if isinstance(beginning, str) and beginning.lower() not in _BEGINNINGS:
        raise ValueError(f"{CONFIG}: init_lora_weights is {_short(beginning)}, which changes the model's own weights")
    known = {*_READ, *_TRAINING, *_FIXED, "auto_mapping", "init_lora_weights"}
    for key, value in fields.items():
        # 0, false, null and what is empty ask for nothing.
        if key not in known and value:
            raise ValueError(f"{CONFIG}: {key} is {_short(value)}, which vLLM does not serve or is not known here")


def _layers(tensors: Iterable[Tensor]) -> dict[str, Layer]:
    sides: dict[str, dict[str, tuple[int, ...]]] = {}
    for tensor in tensors:
        found = _TENSOR.fullmatch(tensor.name)
        if found is None:
            raise ValueError(f"has the tensor {_short(tensor.name)}, which is not lora_A or lora_B of a linear layer")
        if tensor.dtype not in _NUMBERS or len(tensor.shape) != 2:
            raise ValueError(
                f"has the tensor {_short(tensor.name)} of {tensor.dtype}, in {len(tensor.shape)} dimensions"
            )
        sides.setdefault(found[1], {})[found[2]] = tensor.shape
    if not sides:
        raise ValueError("changes no layer")
    return {name: _layer(name, shapes) for name, shapes in sorted(sides.items())}


def _layer(name: str, shapes: Mapping[str, tuple[int, ...]]) -> Layer:
    if shapes.keys() != {"A", "B"}:
        raise ValueError(f"has only one half of the change of {name}: lora_{next(iter(shapes))}")
    (rank, inputs), (outputs, same) = shapes["A"], shapes["B"]
    if rank != same or not 1 <= rank <= _HIGHEST_RANK:
        raise ValueError(
            f"changes {name} with the ranks {rank} and {same}: one is wanted, between 1 and {_HIGHEST_RANK}"
        )
    last = name.rpartition(".")[2]
    if last in _VOCABULARY or ".experts." in name or not _MODULE.fullmatch(last):
        raise ValueError(f"changes {name}: vocabularies and experts are not planned, and not served")
    return Layer(inputs, outputs, rank)


def _check_ranks(fields: Mapping[str, Any], layers: Mapping[str, Layer]) -> None:
    rank = fields.get("r")
    if not _is_rank(rank):
        raise ValueError(f"{CONFIG}: r is {_short(rank)}, and has to be {_RANK}")
    named = {str(rank)}
    for key in ("rank_pattern", "alpha_pattern"):
        pattern = fields.get(key) or {}
        if not isinstance(pattern, dict) or not all(
            _PATTERN.fullmatch(name) and type(number) in (int, float) for name, number in pattern.items()
        ):
            raise ValueError(f"{CONFIG}: {key} has to map plain names to numbers")
        fits, wanted = (_is_rank, _RANK) if key == "rank_pattern" else (_is_alpha, _ALPHA)
        for name, number in pattern.items():
            if not fits(number):
                raise ValueError(f"{CONFIG}: {key} has {_short(number)} for {name}, and has to have {wanted}")
        if key == "rank_pattern":
            named |= {str(number) for number in pattern.values()}
    # PEFT scales by the rank that is said, and vLLM by none but these.
    if strange := sorted({str(layer.rank) for layer in layers.values()} - named):
        raise ValueError(f"has layers of rank {strange[0]}, which {CONFIG} does not name (r, rank_pattern)")
    alpha = fields.get("lora_alpha")
    if not _is_alpha(alpha):
        raise ValueError(f"{CONFIG}: lora_alpha is {_short(alpha)}, and has to be {_ALPHA}")


def _is_rank(value: object) -> bool:
    return type(value) is int and 1 <= value <= _HIGHEST_RANK


def _is_alpha(value: object) -> bool:
    return type(value) in (int, float) and isinstance(value, int | float) and 0 < value <= _HIGHEST_ALPHA


def _check_targets(targets: object, layers: Mapping[str, Layer]) -> None:
    """A list has to explain every layer; a pattern is not run, since the header alone decides."""
    if isinstance(targets, str):
        return
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise ValueError(f"{CONFIG} has no target_modules")
    for name in layers:
        if not any(name == target or name.endswith(f".{target}") for target in targets):
            raise ValueError(f"changes {name}, which is not among target_modules of {CONFIG}")


def _short(value: object) -> str:
    return repr(value)[:80]
