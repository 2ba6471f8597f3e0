"""What a model's files say of the model: README.md, config.json, safetensors headers.

Formats: model cards (https://huggingface.co/docs/hub/model-cards, YAML between two lines ``---``) and
the configuration of transformers.  Both are written by hand, so whatever is not of the usual
form is passed over: nothing is guessed.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from appliance.formats.licences import licence_name
from appliance.formats.safetensors import Tensor
from appliance.model.parts import ModelCard
from appliance.model.visible import shown
from appliance.model.yamlform import YamlError, read_yaml

_FENCE = "---"
_LONGEST = 300  # characters of a name
_MOST = 200  # names of one sort
_CONFIGURED = ("dtype", "torch_dtype", "max_position_embeddings", "vocab_size", "transformers_version")
_QUANTISED = ("quant_method", "bits", "group_size", "fmt", "weight_block_size")


def read_card(readme: str) -> tuple[dict[str, Any], str]:
    """The fields of a model card, and why they cannot be read; both are empty where it has none."""
    lines = readme.lstrip("\ufeff").splitlines()
    if not lines or lines[0].strip() != _FENCE or _FENCE not in (line.strip() for line in lines[1:]):
        return {}, ""
    end = next(number for number, line in enumerate(lines[1:], 1) if line.strip() == _FENCE)
    try:
        value = read_yaml("\n".join(lines[1:end]).encode()).data
    except YamlError as error:
        return {}, f"the head of README.md: {error}"
    return (value, "") if isinstance(value, dict) else ({}, "")


def read_config(data: bytes) -> tuple[dict[str, Any], str]:
    """The fields of config.json, and why they cannot be read."""
    try:
        value = json.loads(data)  # the content gate has looked at its size and for keys that are there twice
    except (ValueError, RecursionError) as error:
        return {}, f"config.json: {error}"
    return (value, "") if isinstance(value, dict) else ({}, "config.json is no object")


def card_licence(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Licences as the card names them; ``other`` is what ``license_name`` says."""
    names = _names(card.get("license"))
    if names == ("other",):
        names = _names(card.get("license_name"))
    return tuple(licence_name(name) for name in names)


def model_card(card: Mapping[str, Any], config: Mapping[str, Any], elements: Mapping[str, int]) -> ModelCard:
    """Put together what card and configuration say; ``elements`` are numbers of tensor elements by type."""
    quantisation = config.get("quantization_config")
    facts = {f"config.{key}": _word(config.get(key)) for key in _CONFIGURED}
    if isinstance(quantisation, dict):
        facts |= {f"quantization.{key}": _word(quantisation.get(key)) for key in _QUANTISED}
    facts |= {f"tensor-elements.{kind}": str(count) for kind, count in sorted(elements.items())}
    facts["licence-link"] = _word(card.get("license_link"))
    return ModelCard(
        task=_word(card.get("pipeline_tag")),
        family=_word(config.get("model_type")),
        architectures=_names(config.get("architectures")),
        datasets=_names(card.get("datasets")),
        base_models=_names(card.get("base_model")),
        facts=tuple((key, text) for key, text in facts.items() if text),
    )


def count_elements(tensors: Iterable[Tensor]) -> dict[str, int]:
    """Elements of tensors by their type.  Packed types hold more parameters than elements, or fewer."""
    counts: dict[str, int] = {}
    for tensor in tensors:
        size = 1
        for extent in tensor.shape:
            size *= extent
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + size
    return counts


def _names(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(word for item in items[:_MOST] if (word := _word(item))))


def _word(value: Any) -> str:
    match value:
        case bool() | None:
            return ""
        case str() | int() | float():
            return shown(" ".join(str(value).split()))[:_LONGEST]
        case list() if all(type(item) is int for item in value):
            return "x".join(map(str, value))[:_LONGEST]
    return ""
