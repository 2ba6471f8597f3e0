import json
import struct
from typing import Any

import pytest

from appliance.formats.safetensors import Tensor, header_length, parse_header
from appliance.model.limits import MAX_TENSOR_HEADER, MAX_TENSOR_METADATA
from tests.support.weights import header_of, pack

F32 = ("F32", [2], bytes(8))


def read(file: bytes) -> tuple[Tensor, ...]:
    length = header_length(file[:8], len(file))
    return parse_header(file[8 : 8 + length], len(file) - 8 - length)


def entry(dtype: Any = "U8", shape: Any = (4,), offsets: Any = (0, 4), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def test_tensors_come_in_the_order_of_their_bytes() -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "model.layers.0.mlp.experts.3.w1.weight": entry("BF16", [2, 2], [8, 16]),
        "lm_head.weight": entry("F32", [2], [0, 8]),
        "scale": entry("F4", [4], [16, 18]),
        "empty": entry("F32", [0, 7], [18, 18]),
    }

    tensors = read(pack(header, bytes(18)))

    assert [tensor.name for tensor in tensors] == [
        "lm_head.weight",
        "model.layers.0.mlp.experts.3.w1.weight",
        "scale",
        "empty",
    ]
    assert tensors[1] == Tensor("model.layers.0.mlp.experts.3.w1.weight", "BF16", (2, 2), 8, 16)


def test_a_scalar_has_an_empty_shape() -> None:
    assert read(pack({"step": entry("I64", [], [0, 8])}, bytes(8)))[0].shape == ()


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (b"", "too short"),
        (b"\x08\x00\x00", "too short"),
        (struct.pack("<Q", 100) + b"{}", "has only 2"),
        (struct.pack("<Q", 2**63), f"more than {MAX_TENSOR_HEADER}"),
        (pack(b"", b""), "not one JSON object"),
        (pack(b"[]", b""), "not one JSON object"),
        (pack(b' {"a": 1}', b""), "not one JSON object"),
        (pack(b"{}\n", b""), "not one JSON object"),
        (pack(b"{} {}", b""), "Extra data"),
        (pack(b'{"a": }', b""), "Expecting value"),
        (pack(b'{"\xff": 1}', b""), "utf-8"),
    ],
)
def test_files_that_are_none(file: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(file)


def test_duplicate_keys_are_refused() -> None:
    twice = b'{"a": %s, "a": %s}' % ((json.dumps(entry()).encode(),) * 2)
    with pytest.raises(ValueError, match="duplicate key 'a'"):
        read(pack(twice, bytes(4)))


def test_duplicate_fields_are_refused() -> None:
    header = b'{"a": {"dtype": "U8", "dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}'
    with pytest.raises(ValueError, match="duplicate key 'dtype'"):
        read(pack(header, bytes(4)))


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", "a\\b", "..", "a..b", "", "a\nb", "a\x1b[31m", "\u202eb", "n" * 513]
)
def test_names_that_are_no_plain_words(name: str) -> None:
    with pytest.raises(ValueError, match="tensor name that"):
        read(pack(header_of({name: F32}), bytes(8)))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (entry("U9"), "unknown type"),
        (entry(["U8"]), "unknown type"),
        (entry(code="x"), "other fields"),
        ({"dtype": "U8", "shape": [4]}, "other fields"),
        ("U8", "other fields"),
        (entry(shape=4), "not a list of whole numbers"),
        (entry(shape=[-4]), "not a list of whole numbers"),
        (entry(shape=[4.0]), "not a list of whole numbers"),
        (entry(shape=[True]), "not a list of whole numbers"),
        (entry(offsets=[0, -4]), "not a list of whole numbers"),
        (entry(offsets=[0, 2**60]), "beyond 2"),
        (entry(shape=[1] * 9), "impossible"),
        (entry(offsets=[0]), "impossible"),
        (entry(offsets=[4, 0]), "impossible"),
        (entry(shape=[3]), "take 3 bytes, in 4 bytes"),
        (entry("F4", [3], [0, 2]), "take 1.5 bytes"),
        (entry(shape=[2**52, 2**52]), "in 4 bytes"),
    ],
)
def test_entries_that_contradict_themselves(value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(pack({"a": value}, bytes(4)))


@pytest.mark.parametrize(
    ("second", "size", "problem"),
    [
        (entry(offsets=[2, 6]), 6, "overlaps"),
        (entry(offsets=[0, 4]), 4, "overlaps"),
        (entry(offsets=[5, 9]), 9, "unused"),
        (entry(offsets=[4, 8]), 9, "8 bytes and 9 bytes of data"),
        (entry(offsets=[4, 8]), 7, "8 bytes and 7 bytes of data"),
    ],
)
def test_tensors_have_to_cover_the_data_exactly(second: Any, size: int, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(pack({"a": entry(), "b": second}, bytes(size)))


@pytest.mark.parametrize("metadata", [{"a": 1}, {"a": {"b": "c"}}, ["a"], "a", None, {"a": "x" * MAX_TENSOR_METADATA}])
def test_metadata_is_bounded_text(metadata: Any) -> None:
    with pytest.raises(ValueError, match=r"__metadata__|deeper"):
        read(pack({"__metadata__": metadata, "a": entry()}, bytes(4)))
