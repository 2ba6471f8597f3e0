"""What pydantic finds wrong with a value, in words that name the value."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

_SHOWN = 80  # characters of a value
_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
}
_RULES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda told: f"must be at least {told['ge']}",
    "greater_than": lambda told: f"must be more than {told['gt']}",
    "less_than_equal": lambda told: f"must be at most {told['le']}",
    "less_than": lambda told: f"must be less than {told['lt']}",
    "string_too_short": lambda told: f"must have at least {told['min_length']} characters",
    "string_too_long": lambda told: f"must have at most {told['max_length']} characters",
    "too_short": lambda told: f"must have at least {_entries(told['min_length'])}",
    "too_long": lambda told: f"must have at most {_entries(told['max_length'])}",
    "literal_error": lambda told: f"must be {told['expected']}",
    "string_pattern_mismatch": lambda told: f"does not have the form {told['pattern']}",
}


def problem_of(error: Mapping[str, Any], written: str | None = None) -> str:
    """One of ``ValidationError.errors()``; ``written`` is how the value stands in the file, where it is no text."""
    kind = error["type"]
    if kind == "missing":
        return f"the key {error['loc'][-1]!r} is missing"
    if kind == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    value = _value(error["input"]) if written is None else written
    if kind in _KINDS:
        return f"{value or 'nothing'} is not {_KINDS[kind]}"
    if kind in _RULES:
        return f"{value} {_RULES[kind](error['ctx'])}"
    return f"{value}: {error['msg']}"


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, and its place among the keys: for documents that programs write."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg'].removeprefix('Value error, ')}"


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


def _value(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
