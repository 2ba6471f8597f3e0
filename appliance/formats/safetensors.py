"""The header of a safetensors file, read more strictly than its own library reads it.

Format: https://huggingface.co/docs/safetensors (8 bytes little-endian header length, a
JSON header, then the tensors).  The library takes duplicate keys, unknown fields and
tensor names such as ``../../x``; here all of them are refused, so that no two readers
can see different tensors in one file.  Only bytes are looked at; the caller reads them.
"""

from dataclasses import dataclass
from typing import Any

from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_TENSOR_DIMENSIONS, MAX_TENSOR_HEADER, MAX_TENSOR_METADATA, MAX_TENSOR_NAME

LENGTH_BYTES = 8

METADATA = "__metadata__"

# Bits of one element, as safetensors 0.8.0 knows them.
_BITS = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


@dataclass(frozen=True)
class Tensor:
    """One tensor; its bytes are ``begin`` to ``end`` after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def header_length(start: bytes, size: int) -> int:
    """Length of the header in bytes, from the first 8 bytes of a file of ``size`` bytes.

    Raises ValueError when the file cannot hold that header or the header is too large.
    """
    if len(start) < LENGTH_BYTES or size < LENGTH_BYTES:
        raise ValueError("is too short for a safetensors file")
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > MAX_TENSOR_HEADER:
        raise ValueError(f"states a header of {length} bytes, more than {MAX_TENSOR_HEADER}")
    if length > size - LENGTH_BYTES:
        raise ValueError(f"states a header of {length} bytes but has only {size - LENGTH_BYTES} after its length")
    return length


def parse_header(header: bytes, data_size: int) -> tuple[Tensor, ...]:
    """The tensors in the order of their bytes; ``data_size`` bytes follow the header.

    Raises ValueError unless every field is known, every length equals shape times type,
    and the tensors cover the data without gap or overlap.
    """
    if not header.startswith(b"{") or not header.rstrip(b" ").endswith(b"}"):
        raise ValueError("has a header that is not one JSON object padded with spaces")
    fields = strict_json(header, limit=MAX_TENSOR_HEADER, max_depth=3)
    _check_metadata(fields.pop(METADATA, {}))
    tensors = sorted((_tensor(name, value) for name, value in fields.items()), key=lambda item: (item.begin, item.end))
    position = 0
    for tensor in tensors:
        if tensor.begin != position:
            kind = "overlaps the one before it" if tensor.begin < position else "leaves bytes before it unused"
            raise ValueError(f"has the tensor {tensor.name!r}, which {kind}")
        position = tensor.end
    if position != data_size:
        raise ValueError(f"has tensors of {position} bytes and {data_size} bytes of data")
    return tuple(tensors)


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"has a {METADATA} that does not map text to text")
    if sum(len(key) + len(value) for key, value in metadata.items()) > MAX_TENSOR_METADATA:
        raise ValueError(f"has a {METADATA} of more than {MAX_TENSOR_METADATA} characters")


def _tensor(name: str, value: Any) -> Tensor:
    if problem := _name_problem(name):
        raise ValueError(f"has a tensor name that {problem}: {name[:80]!r}")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"has the tensor {name!r} with other fields than dtype, shape and data_offsets")
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise ValueError(f"has the tensor {name!r} of the unknown type {str(dtype)[:40]!r}")
    shape = _naturals(name, "shape", value["shape"])
    offsets = _naturals(name, "data_offsets", value["data_offsets"])
    if len(shape) > MAX_TENSOR_DIMENSIONS or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"has the tensor {name!r} with an impossible shape or offsets")
    bits = _BITS[dtype]
    for extent in shape:
        bits *= extent
    if bits != 8 * (offsets[1] - offsets[0]):
        raise ValueError(
            f"has the tensor {name!r}, whose shape and type take {bits / 8:g} bytes, in {offsets[1] - offsets[0]} bytes"
        )
    return Tensor(name, dtype, shape, offsets[0], offsets[1])


def _name_problem(name: str) -> str:
    if not name or len(name) > MAX_TENSOR_NAME:
        return f"is empty or longer than {MAX_TENSOR_NAME} characters"
    if not name.isprintable():
        return "is not printable"
    if "/" in name or "\\" in name or ".." in name:
        return "looks like a path"
    return ""


def _naturals(name: str, field: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
        raise ValueError(f"has the tensor {name!r} with a {field} that is not a list of whole numbers")
    return tuple(value)
