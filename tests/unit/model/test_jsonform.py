import json
from typing import Any

import pytest
from hypothesis import given

from appliance.model.jsonform import canonical_json, parse_canonical, strict_json
from tests.support.json_values import VALUES


@given(VALUES)
def test_canonical_json_reads_back_the_same(value: Any) -> None:
    data = canonical_json(value)
    assert parse_canonical(data, limit=1_000_000) == value
    assert canonical_json(json.loads(data)) == data


@given(VALUES)
def test_the_same_value_in_other_bytes_is_refused(value: Any) -> None:
    for other in (canonical_json(value) + b"\n", b" " + canonical_json(value)):
        with pytest.raises(ValueError, match="canonical"):
            parse_canonical(other, limit=1_000_000)


def test_order_of_keys_does_not_matter_to_the_writer() -> None:
    assert (
        canonical_json({"b": 1, "a": (2, None)}) == canonical_json({"a": [2, None], "b": 1}) == b'{"a":[2,null],"b":1}'
    )


@pytest.mark.parametrize(
    "value",
    [1.5, float("nan"), 2**53, -(2**53), "caf\u00e9", "a\n", "\x7f", {"\u00e9": 1}, {1: 2}, [b"x"], {"a": object()}],
)
def test_what_has_no_canonical_form_is_not_written(value: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        canonical_json(value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a":1,"b":2,"a":3}', "duplicate key 'a'"),
        (b'[{"x":{"a":1,"a":1}}]', "duplicate key 'a'"),
        (b"NaN", "no JSON number"),
        (b"-Infinity", "no JSON number"),
        (b"1e999", "too large"),
        (b"9007199254740992", "beyond 2"),
        (b"-" + b"9" * 5000, "beyond 2"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b'{"a":' * 100_000, "deeper than 32"),
        (b'"\xff"', "utf-8"),
        (b"{} {}", "Extra data"),
        (b"", "Expecting value"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"[" + b"1," * 1000, "larger than 1000 bytes"),
    ],
)
def test_json_that_parsers_disagree_about_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        strict_json(data, limit=1000 if len(data) > 1000 and reason.startswith("larger") else 1_000_000)


@pytest.mark.parametrize(
    "data", [b'"[[[["', b'"\\"[{"', b"[" * 32 + b"]" * 32, b"[[],[],[[]]]" * 1, b"9007199254740991", b"-0.5e-3"]
)
def test_json_that_means_one_thing_is_read(data: bytes) -> None:
    assert strict_json(data, limit=1000) == json.loads(data)


def test_brackets_inside_text_are_not_nesting() -> None:
    text = '"' + "[" * 100 + '\\"' + "{" * 100 + '"'
    assert strict_json(text.encode(), limit=1000) == json.loads(text)
