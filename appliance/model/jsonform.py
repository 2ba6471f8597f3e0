"""JSON in one form only: strict reading, canonical writing.

Canonical is the subset of RFC 8785 that needs no number formatting: sorted keys, no
white space, integers only, printable ASCII strings.  For these ``jq -cjS .`` writes the
same bytes, so an auditor can check the form without our code.
"""

import json
import math
from typing import Any

from appliance.model.limits import MAX_JSON_DEPTH, MAX_JSON_INTEGER


class _Refused(ValueError):
    pass


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f"duplicate key {key!r}")
            seen.add(key)
    return keys


def _no_constant(text: str) -> Any:
    raise _Refused(f"{text} is no JSON number")


def _bounded_integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_JSON_INTEGER:
        raise _Refused(f"number {text[:20]} is beyond 2^53")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Refused(f"number {text[:20]} is too large")
    return number


def _check_depth(data: bytes, limit: int) -> None:
    depth = 0
    in_string = escaped = False
    for byte in data:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"{[":
            depth += 1
            if depth > limit:
                raise _Refused(f"nested deeper than {limit}")
        elif byte in b"}]":
            depth -= 1


def strict_json(data: bytes, *, limit: int, max_depth: int = MAX_JSON_DEPTH) -> Any:
    """Read one JSON value.  ``limit`` is the most bytes that are looked at.

    Raises ValueError on more bytes, bytes that are not UTF-8, duplicate keys, NaN and
    Infinity, integers beyond 2^53, other numbers beyond a double, and nesting deeper than ``max_depth``.
    """
    if len(data) > limit:
        raise ValueError(f"is larger than {limit} bytes")
    _check_depth(data, max_depth)
    return json.loads(
        data.decode("utf-8"),
        object_pairs_hook=_no_duplicates,
        parse_constant=_no_constant,
        parse_int=_bounded_integer,
        parse_float=_finite,
    )


def canonical_json(value: Any) -> bytes:
    """The one way ``value`` is written.  Raises ValueError for what has no such form."""
    _check_canonical(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _check_canonical(value: Any) -> None:
    match value:
        case None | bool():
            pass
        case int():
            if abs(value) > MAX_JSON_INTEGER:
                raise ValueError(f"{value} is beyond 2^53")
        case str():
            if not all(" " <= character <= "~" for character in value):
                raise ValueError(f"{value!r} is not printable ASCII")
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):  # json.dumps would write it as text
                    raise ValueError(f"the key {key!r} is no text")
                _check_canonical(key)
                _check_canonical(item)
        case list() | tuple():
            for item in value:
                _check_canonical(item)
        case _:
            raise ValueError(f"{type(value).__name__} has no canonical form")


def parse_canonical(data: bytes, *, limit: int) -> Any:
    """Read JSON that must be in canonical form to the byte.  Raises ValueError."""
    value = strict_json(data, limit=limit)
    if canonical_json(value) != data:
        raise ValueError("is not canonical JSON")
    return value
