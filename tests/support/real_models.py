"""Real models without their weights: configurations of ``tests/models/`` and headers that follow from them."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from appliance.formats.model_config import read_model
from appliance.formats.safetensors import Tensor
from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.profile import ServingProfile
from appliance.model.serving.wanted import serving_profile
from tests.support.hub import Huge

FOLDER = Path(__file__).parents[1] / "models"
_BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "I32": 4}
_AWQ_GROUP = 128
_AWQ_PACKED = 8  # weights of 4 bits in each I32


@dataclass(frozen=True)
class RealModel:
    """One file of ``tests/models/``; ``total_size`` is that of the published index, where it is known.

    ``others`` are files that the repository has too, and definitions name; a ``headless`` model has no
    output layer among its weights.
    """

    name: str
    repo: str
    shards: int
    total_size: int | None
    config: dict[str, Any]
    generation: dict[str, Any]
    others: tuple[str, ...]
    headless: bool = False

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors one after the other, as if they were in one file."""
        found, position = [], 0
        for name, dtype, shape in _tensors(self.config, headless=self.headless):
            end = position + _size(dtype, shape)
            found.append(Tensor(name, dtype, shape, position, end))
            position = end
        return tuple(found)

    @property
    def facts(self) -> ModelFacts:
        """What our own reading makes of it."""
        config, generation = (json.dumps(part).encode() for part in (self.config, self.generation))
        return read_model(config, generation, self.tensors)

    @property
    def files(self) -> dict[str, bytes]:
        """A repository; of the weights only the headers are there, and whoever asks for more gets nothing."""
        names = [f"model-{number:05}-of-{self.shards:05}.safetensors" for number in range(1, self.shards + 1)]
        tensors = self.tensors
        each = -(-len(tensors) // self.shards)
        parts = {name: tensors[place * each : (place + 1) * each] for place, name in enumerate(names)}
        weight_map = {tensor.name: name for name, part in parts.items() for tensor in part}
        index = {"metadata": {"total_size": tensors[-1].end}, "weight_map": weight_map}
        return {
            "config.json": json.dumps(self.config).encode(),
            "generation_config.json": json.dumps(self.generation).encode(),
            "model.safetensors.index.json": json.dumps(index).encode(),
            "tokenizer.json": b"{}",
            **dict.fromkeys(self.others, b"{}"),
            **{name: _file(part) for name, part in parts.items() if part},
        }


@cache
def real_model(name: str) -> RealModel:
    """The model of ``tests/models/<name>.json``."""
    data = json.loads((FOLDER / f"{name}.json").read_text())
    texts = data["config.json"], data["generation_config.json"]
    head = name, data["repo"], data["shards"], data.get("total_size")
    return RealModel(*head, *texts, tuple(data["others"]), headless=bool(data.get("headless")))


NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def by_repo(repo: str) -> RealModel:
    """The model that a hub has under this name."""
    return next(model for model in map(real_model, NAMES) if model.repo == repo)


def signed(definition: Path) -> dict[str, ServingProfile]:
    """The profiles that are signed for a definition, by the files of its models as ``tests/models/`` has them."""
    # Wants what our own environment has, and a machine with a GPU may have vLLM's alone: tests/bench/gpu.
    from appliance.steps.documents.definition import read_definition

    read = read_definition(definition)
    repos = {
        section.name: section.content.model_dump()["huggingface"]["repo"]
        for section in read.sections
        if section.kind.name == "weights"
    }
    return {
        name: serving_profile(wanted, by_repo(repos[wanted.weights]).facts)
        for name, wanted in read.head.serving.items()
    }


def _size(dtype: str, shape: tuple[int, ...]) -> int:
    size = _BYTES[dtype]
    for extent in shape:
        size *= extent
    return size


def _file(part: tuple[Tensor, ...]) -> bytes:
    start = part[0].begin
    header = {
        tensor.name: {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [tensor.begin - start, tensor.end - start],
        }
        for tensor in part
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    head = struct.pack("<Q", len(text)) + text
    whole = len(head) + part[-1].end - start
    # As much as is asked for at once to find a header; what follows it is no weights.
    return Huge(head.ljust(min(whole, 128 * 1024), b"\x00"), whole)


def _tensors(config: dict[str, Any], *, headless: bool) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    if config["model_type"] == "xlm-roberta":
        yield from _encoder(config)
        return
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    plain = "F16" if config["torch_dtype"] == "float16" else "BF16"
    yield "model.embed_tokens.weight", plain, (vocabulary, hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        for name, rows, columns in _linear(config):
            yield from _weights(f"{prefix}.{name}", rows, columns, config.get("quantization_config"), plain)
        if config["model_type"] == "qwen2":
            for name, rows, _ in list(_linear(config))[:3]:
                yield f"{prefix}.{name}.bias", plain, (rows,)
        if config["model_type"] == "qwen3":
            for name in ("q_norm", "k_norm"):
                yield f"{prefix}.self_attn.{name}.weight", plain, (config["head_dim"],)
        if config["model_type"] == "mixtral":
            yield f"{prefix}.block_sparse_moe.gate.weight", plain, (config["num_local_experts"], hidden)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{prefix}.{name}.weight", plain, (hidden,)
    yield "model.norm.weight", plain, (hidden,)
    if not config["tie_word_embeddings"] and not headless:
        yield "lm_head.weight", plain, (vocabulary, hidden)


def _encoder(config: dict[str, Any]) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """As ``XLMRobertaForSequenceClassification`` of transformers has them; all have a bias."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    linear = {"classifier.dense": (hidden, hidden), "classifier.out_proj": (len(config["id2label"]), hidden)}
    norms = ["roberta.embeddings.LayerNorm"]
    for layer in (f"roberta.encoder.layer.{number}" for number in range(config["num_hidden_layers"])):
        parts = ("self.query", "self.key", "self.value", "output.dense")
        linear |= {f"{layer}.attention.{part}": (hidden, hidden) for part in parts}
        linear |= {f"{layer}.intermediate.dense": (inner, hidden), f"{layer}.output.dense": (hidden, inner)}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name, key in (
        ("word", "vocab_size"),
        ("position", "max_position_embeddings"),
        ("token_type", "type_vocab_size"),
    ):
        yield f"roberta.embeddings.{name}_embeddings.weight", "F32", (config[key], hidden)
    for name, (rows, columns) in linear.items():
        yield f"{name}.weight", "F32", (rows, columns)
        yield f"{name}.bias", "F32", (rows,)
    for name in norms:
        yield f"{name}.weight", "F32", (hidden,)
        yield f"{name}.bias", "F32", (hidden,)


def _linear(config: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Name, rows and columns of the linear layers of a layer."""
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    width = config.get("head_dim") or hidden // heads
    queries, keys = heads * width, config["num_key_value_heads"] * width
    yield "self_attn.q_proj", queries, hidden
    yield "self_attn.k_proj", keys, hidden
    yield "self_attn.v_proj", keys, hidden
    yield "self_attn.o_proj", hidden, queries
    if config["model_type"] == "mixtral":
        for expert in range(config["num_local_experts"]):
            for name, rows, columns in (("w1", inner, hidden), ("w2", hidden, inner), ("w3", inner, hidden)):
                yield f"block_sparse_moe.experts.{expert}.{name}", rows, columns
        return
    yield "mlp.gate_proj", inner, hidden
    yield "mlp.up_proj", inner, hidden
    yield "mlp.down_proj", hidden, inner


def _weights(
    name: str, rows: int, columns: int, quantization: dict[str, Any] | None, plain: str
) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    match quantization and quantization["quant_method"]:
        case "awq":
            groups, packed = columns // _AWQ_GROUP, rows // _AWQ_PACKED
            yield f"{name}.qweight", "I32", (columns, packed)
            yield f"{name}.qzeros", "I32", (groups, packed)
            yield f"{name}.scales", "F16", (groups, rows)
        case "compressed-tensors":
            yield f"{name}.weight", "F8_E4M3", (rows, columns)
            yield f"{name}.weight_scale", plain, (rows, 1)
        case _:
            yield f"{name}.weight", plain, (rows, columns)
