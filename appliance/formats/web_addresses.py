"""Web addresses in texts and in the values of JSON."""

import re
from collections.abc import Collection, Iterator
from typing import Any

_ADDRESS = re.compile(r"(?:https?|ftp|wss?)://[^\s\"'<>\\`{}|^\[\]()]{3,}|\bwww\.[\w-]+\.[\w./-]{2,}", re.IGNORECASE)
_DEEPEST = 64


def addresses(text: str) -> Iterator[str]:
    """Each web address of ``text``, in order."""
    yield from (match.group().rstrip(".,;:!?") for match in _ADDRESS.finditer(text))


def addresses_in(value: Any, skipped: Collection[str], depth: int = 0) -> Iterator[str]:
    """Those of all texts in a JSON value, keys too; what stands under the keys ``skipped`` is left out."""
    if isinstance(value, str):
        yield from addresses(value)
    elif depth < _DEEPEST and isinstance(value, list):
        for item in value:
            yield from addresses_in(item, skipped, depth + 1)
    elif depth < _DEEPEST and isinstance(value, dict):
        for key, item in value.items():
            yield from addresses(key)
            if key not in skipped:
                yield from addresses_in(item, skipped, depth + 1)
