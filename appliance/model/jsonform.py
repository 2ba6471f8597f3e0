"""JSON in one form only: strict reading, canonical writing.

Canonical is the subset of RFC 8785 that needs no number formatting: sorted keys, no
white space, integers only, printable ASCII strings.  For these ``jq -cjS .`` writes the
same bytes, so an auditor can check the form without our code.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any

from appliance.model.limits import MAX_JSON_DEPTH, MAX_JSON_INTEGER, MAX_JSON_VALUES


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
    raise _Refused(f"{text} is not a JSON number")


def _bounded_integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_JSON_INTEGER:
        raise _Refused(f"number {text[:20]} is beyond 2^53")
    if text == "-0":  # for JavaScript it is another number than 0
        raise _Refused("number -0 is ambiguous")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Refused(f"number {text[:20]} is too large")
    return number


_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'[]{},"')
# Also one without an end, or a search for its end would begin at each of its quotation marks.
_STRING = re.compile(rb'"[^"]*+"?')


def _structure(data: bytes) -> bytes:
    """Brackets and commas that are in no string."""
    if b"\\" in data:
        data = _ESCAPE.sub(b"", data)
    # Two quotation marks that meet can go, wherever they are: what is in a string stays in one.
    return _STRING.sub(b"", data.translate(None, _NOT_STRUCTURE).replace(b'""', b""))


def _check_size(data: bytes, max_depth: int) -> None:
    """Refuse what would take much memory or recursion, before anything is made of it."""
    structure = _structure(data)
    if sum(structure.count(byte) for byte in b"[{,") > MAX_JSON_VALUES:
        raise _Refused(f"has more than {MAX_JSON_VALUES} values")
    depth = 0
    for byte in structure.replace(b",", b""):
        depth += 1 if byte in b"[{" else -1
        if depth > max_depth:
            raise _Refused(f"nested deeper than {max_depth}")


# An escaped backslash, a surrogate pair, or one half of a pair alone.
_SURROGATE = re.compile(rb"\\(?:\\|u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]))")


def _check_surrogates(data: bytes) -> None:
    """``data`` is JSON."""
    if b"\\u" in data and any(match[1] for match in _SURROGATE.finditer(data)):
        raise _Refused("half of a surrogate pair")  # it stands for no character, and some readers put another one there


# What is no whole number, as Python and pydantic write it: 0.92, 2.5e-05.  Never 1.0, 70e-1 or 7e2,
# which are whole numbers for some readers.
_FRACTION = re.compile(
    r"-?(?:0|[1-9][0-9]{0,15})\.[0-9]{0,20}[1-9]|-?[1-9](?:\.[0-9]{0,20}[1-9])?e-(?:0[1-9]|[1-9][0-9])"
)
_PLAIN = bytes([*b"\t\n\r", *range(0x20, 0x7F)])


def _fraction(text: str) -> float:
    if not _FRACTION.fullmatch(text):
        raise _Refused(f"number {text[:20]} is not in canonical form")
    return float(text)


def plain_json(data: bytes, *, limit: int, make: Callable[[dict[str, Any]], Any]) -> Any:
    """Read JSON that every reader reads alike, whatever tools it is made of; what ``make`` makes of it is its objects.

    The layout is free, but it is all printable ASCII, and each number has one form.  Raises ValueError
    for anything else, and for what ``strict_json`` refuses.
    """
    if strange := data.translate(None, _PLAIN):
        raise ValueError(f"has the byte {strange[0]:#04x}: characters outside ASCII must be written as JSON escapes")
    return strict_json(data, limit=limit, parse_float=_fraction, make=lambda pairs: make(_no_duplicates(pairs)))


def strict_json(
    data: bytes,
    *,
    limit: int,
    max_depth: int = MAX_JSON_DEPTH,
    parse_float: Callable[[str], float] = _finite,
    make: Callable[[list[tuple[str, Any]]], Any] = _no_duplicates,
) -> Any:
    """Read one JSON value.  ``limit`` is the most bytes that are looked at.

    Raises ValueError on more bytes, bytes that are not UTF-8, duplicate keys, half surrogate
    pairs, NaN and Infinity, -0, integers beyond 2^53, other numbers beyond a double, nesting
    deeper than ``max_depth`` and more than ``MAX_JSON_VALUES`` values.
    """
    if len(data) > limit:
        raise ValueError(f"is larger than {limit} bytes")
    _check_size(data, max_depth)
    value = json.loads(
        data.decode("utf-8"),
        object_pairs_hook=make,
        parse_constant=_no_constant,
        parse_int=_bounded_integer,
        parse_float=parse_float,
    )
    _check_surrogates(data)
    return value


def canonical_json(value: Any) -> bytes:
    """The one way ``value`` is written.  Raises ValueError for what has no such form."""
    _check_canonical(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def pretty_json(value: Any) -> bytes:
    """``value`` for people, in ASCII, with each number in the one form that ``plain_json`` reads."""
    return (json.dumps(_whole(value), indent=1, sort_keys=True, allow_nan=False) + "\n").encode("ascii")


def sorted_json(value: Any) -> bytes:
    """The same without white space, as ``jq -acjS .`` writes it: to be hashed, where texts are people's own."""
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _whole(value: Any) -> Any:
    """``value`` with no fraction that is a whole number."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _whole(item) for key, item in value.items()}
        case list() | tuple():
            return [_whole(item) for item in value]
    return value


def _check_canonical(value: Any) -> None:
    match value:
        case None | bool():
            pass
        case int():
            if abs(value) > MAX_JSON_INTEGER:
                raise ValueError(f"{value} is beyond 2^53")
        case str():
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"{value!r} is not printable ASCII")
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):  # json.dumps would write it as text
                    raise ValueError(f"the key {key!r} is not text")
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
