"""Fields of JSON that others have written, where they have to be there.  All raise ValueError that names the field."""

from typing import Any


def as_object(value: Any, what: str) -> dict[str, Any]:
    """``value``, which people know as ``what``."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is missing, or is no JSON object")
    return value


def object_at(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """The object under the first of ``names``, in it that under the next, and so on."""
    for name in names:
        fields = as_object(fields.get(name), name)
    return fields


def objects_at(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects that is not empty."""
    value = fields.get(name)
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} is missing, empty or no list")
    return [as_object(entry, f"an entry of {name}") for entry in value]


def text_at(fields: dict[str, Any], name: str) -> str:
    """A text that is not empty."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing, empty or no text")
    return value
