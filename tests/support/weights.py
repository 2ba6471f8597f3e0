"""Small weights for tests: real safetensors files and a repository around them."""

import json
import struct
from collections.abc import Mapping
from typing import Any

Tensors = Mapping[str, tuple[str, list[int], bytes]]
"""dtype, shape and bytes of each tensor by its name."""

# A tokenizer.json with a surprise of several sorts.
TOKENIZER = json.dumps(
    {
        "added_tokens": [
            {"id": 1, "content": "<s>", "special": True},
            {"id": 2, "content": "password", "special": True},
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "b"}],
        },
        "post_processor": {"type": "TemplateProcessing", "special_tokens": {"<s>": {"ids": [1], "tokens": ["<s>"]}}},
        "model": {"type": "BPE", "vocab": {"<s>": 1, "the": 1}},
    }
).encode()


def header_of(tensors: Tensors) -> dict[str, Any]:
    """The header that describes ``tensors`` one after the other."""
    header: dict[str, Any] = {}
    position = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + len(data)]}
        position += len(data)
    return header


def pack(header: Any, data: bytes) -> bytes:
    """A safetensors file of a header, as JSON text or a value, and what follows it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def safetensors(tensors: Tensors) -> bytes:
    """A valid safetensors file."""
    return pack(header_of(tensors), b"".join(data for _, _, data in tensors.values()))


def shard(number: int, size: int = 64) -> bytes:
    """A safetensors file of one tensor of ``size`` bytes, different for each number."""
    return safetensors({f"model.layers.{number}.mlp.up_proj.weight": ("U8", [size], bytes([number]) * size)})


def model_files(shards: int = 2, size: int = 64) -> dict[str, bytes]:
    """A small model repository, as a publisher would lay it out."""
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    weight_map = {f"model.layers.{number}.mlp.up_proj.weight": name for number, name in enumerate(names)}
    index = {"metadata": {"total_size": shards * size}, "weight_map": weight_map}
    return {
        ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": b"# A model\n",
        "config.json": json.dumps({"model_type": "llama", "vocab_size": 4}).encode(),
        "tokenizer_config.json": b'{"model_max_length": 1000000000000000019884624838656, "chat_template": "{{ x }}"}',
        "original/params.json": b'{"dim": 4}',
        "model.safetensors.index.json": json.dumps(index).encode(),
        **{name: shard(number, size) for number, name in enumerate(names)},
    }
