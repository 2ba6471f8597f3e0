"""What can be done to the bytes of one document or file: a verb, its argument, bytes in and out.

The same verbs serve before anything is signed, on envelopes, and on the finished bundle.
"""

import json
from collections.abc import Callable
from typing import Any

from appliance.model.jsonform import canonical_json
from tests.corpus.builder import signing
from tests.corpus.builder.words import to_bytes

_EMPTY = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
Verb = Callable[[bytes, Any], bytes]


def change(verb: str, data: bytes, argument: Any) -> bytes:
    """``data`` after ``verb``.  Raises ValueError for what cannot be done to it."""
    if verb not in VERBS:
        raise ValueError(f"there is no verb {verb!r} for bytes: {', '.join(VERBS)}")
    changed = VERBS[verb](data, argument)
    if changed == data and verb != "set":
        raise ValueError(f"{verb} {argument!r} changes nothing")
    return changed


# JSON: the value is changed and written in the form that it had -------------------------------


def _value(edit: Callable[[Any, Any], None]) -> Verb:
    def verb(data: bytes, argument: Any) -> bytes:
        value = json.loads(data)
        edit(value, argument)
        if data.startswith(b"{\n"):  # bundle.json is written for people
            return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
        return canonical_json(value)

    return verb


def _find(document: Any, path: str) -> tuple[Any, Any]:
    *parents, last = [int(part) if part.isdigit() and len(part) < 4 else part for part in path.split("/")]
    for part in parents:
        document = document[part]
    return document, last


def _set(value: Any, argument: dict[str, Any]) -> None:
    for path, new in argument.items():
        parent, last = _find(value, path)
        parent[last] = new


def _delete(value: Any, argument: str) -> None:
    parent, last = _find(value, argument)
    del parent[last]


def _append(value: Any, argument: dict[str, Any]) -> None:
    for path, new in argument.items():
        parent, last = _find(value, path)
        parent[last].append(new)


def _again(value: Any, argument: dict[str, Any]) -> None:
    """The first item of a list is there again, with changes."""
    for path, changes in argument.items():
        parent, last = _find(value, path)
        first = parent[last][0]
        parent[last].append({**first, **changes} if isinstance(first, dict) else first)


def _reverse(value: Any, argument: str) -> None:
    parent, last = _find(value, argument)
    parent[last].reverse()


def _sort(value: Any, argument: str) -> None:
    parent, last = _find(value, argument)
    parent[last].sort(key=canonical_json)


# Bytes ----------------------------------------------------------------------------------------


def _replace(data: bytes, argument: dict[str, Any]) -> bytes:
    for old, new in argument.items():
        if to_bytes(old) not in data:
            raise ValueError(f"{old!r} is not there")
        data = data.replace(to_bytes(old), to_bytes(new))
    return data


def _flip(data: bytes, argument: str) -> bytes:
    flipped = bytearray(data or b"\0")  # an empty file gets a byte
    flipped[{"first": 0, "middle": len(flipped) // 2, "last": -1}[argument]] ^= 1
    return bytes(flipped)


def _first_key_twice(data: bytes, argument: bool) -> bytes:
    return b"{" + data[1:].split(b",", 1)[0] + b"," + data[1:]


def _nest(data: bytes, argument: int) -> bytes:
    return b"[" * argument + b"]" * argument


def _take_out(data: bytes, argument: dict[str, int]) -> bytes:
    return data[: argument["from"]] + data[argument["to"] :]


# SHA256SUMS -----------------------------------------------------------------------------------


def _list(data: bytes, argument: Any) -> bytes:
    """One line more, in its place; the file that it names is empty."""
    lines: list[bytes] = [*data.splitlines(keepends=True), b"%b  %b\n" % (_EMPTY, to_bytes(argument))]
    lines.sort(key=lambda line: line[66:-1])
    return b"".join(lines)


def _first_line(data: bytes, argument: str) -> bytes:
    """The first line in another form; ``DIGEST`` and ``PATH`` stand for what it says."""
    first, rest = data.split(b"\n", 1)
    return to_bytes(argument).replace(b"DIGEST", first[:64]).replace(b"PATH", first[66:]) + b"\n" + rest


def _reverse_lines(data: bytes, argument: bool) -> bytes:
    return b"".join(reversed(data.splitlines(keepends=True)))


VERBS: dict[str, Verb] = {
    "set": _value(_set),
    "delete": _value(_delete),
    "append": _value(_append),
    "again": _value(_again),
    "reverse": _value(_reverse),
    "sort": _value(_sort),
    "content": lambda data, argument: to_bytes(argument),
    "replace": _replace,
    "prefix": lambda data, argument: to_bytes(argument) + data,
    "suffix": lambda data, argument: data + to_bytes(argument),
    "insert": lambda data, argument: data[:1] + to_bytes(argument) + data[1:],
    "flip": _flip,
    "cut": lambda data, argument: data[:-argument] or b"x",  # an empty file has nothing to lose
    "overwrite": lambda data, argument: to_bytes(argument) + data[len(to_bytes(argument)) :],
    "take out": _take_out,
    "empty": lambda data, argument: b"" if data else b"not empty",
    "repeat": lambda data, argument: data * argument,
    "fill": lambda data, argument: b"x" * argument,
    "nest": _nest,
    "first key twice": _first_key_twice,
    "list": _list,
    "first line": _first_line,
    **signing.VERBS,
    "drop lines": lambda data, argument: b"".join(data.splitlines(keepends=True)[argument:]),
    "reverse lines": _reverse_lines,
}
