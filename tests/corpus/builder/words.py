"""What words in a case stand for: people, times, and text that is not text."""

import hashlib
import re
from datetime import timedelta
from typing import Any

from appliance.model.times import format_time
from tests.support.bundles import FILES, FIRST, NOW, RETIRED, SECOND, STRANGER, keyid

THIRD, FOURTH = 14, 15
_PEOPLE = {
    "first": FIRST,
    "second": SECOND,
    "third": THIRD,
    "fourth": FOURTH,
    "retired": RETIRED,
    "stranger": STRANGER,
}
_POST_QUANTUM = "-pq"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_WORD = re.compile(r"\{(?:(upper:)?([a-z]+(?:-pq)?)|now([+-][0-9]+)([smhd]))\}")
_REPEATED = re.compile(r"\{([^{}*]+)\*([0-9]+)\}")
_EMPTY = hashlib.sha256(b"").hexdigest()
_BLOB = next(path for path in FILES if path.startswith("images/blobs/"))


def number_of(person: str) -> int:
    """The number of somebody's key; ``first-pq`` is the first signer's ML-DSA-87 key.  Raises ValueError."""
    number = _PEOPLE.get(person.removesuffix(_POST_QUANTUM))
    if number is None:
        raise ValueError(f"{person!r} is nobody: use {', '.join(_PEOPLE)}, with {_POST_QUANTUM} for the other key")
    return number + 1000 if person.endswith(_POST_QUANTUM) else number


def expand(value: Any, outside: str) -> Any:
    """``value`` with all words put in: README.md lists them.

    ``outside`` is a directory beside the bundle, where nothing may be written.
    """
    match value:
        case str():
            repeated = _REPEATED.sub(lambda match: match[1] * int(match[2]), value)
            return _WORD.sub(lambda match: _meaning(match, outside), repeated)
        case list():
            return [expand(item, outside) for item in value]
        case dict():
            return {expand(key, outside): expand(item, outside) for key, item in value.items()}
    return value


def _meaning(match: re.Match[str], outside: str) -> str:
    upper, word, amount, unit = match.groups()
    if unit:
        return format_time(NOW + timedelta(**{_UNITS[unit]: int(amount)}))
    fixed = {"outside": outside, "blob": _BLOB, "empty": _EMPTY}
    if word in fixed:
        return fixed[word]
    if word.removesuffix(_POST_QUANTUM) in _PEOPLE:
        return keyid(number_of(word)).upper() if upper else keyid(number_of(word))
    return match.group()


def to_bytes(value: Any) -> bytes:
    """Text as UTF-8; ``{raw: ...}`` with one byte for each character up to U+00FF."""
    if isinstance(value, dict) and set(value) == {"raw"}:
        return str(value["raw"]).encode("latin-1")
    if not isinstance(value, str):
        raise ValueError(f"text or {{raw: ...}} was expected and not {value!r}")
    return value.encode()
