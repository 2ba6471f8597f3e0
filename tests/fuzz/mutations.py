"""Random changes to bytes, as a medium, an editor or an attacker makes them."""

import copy
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

_ODD = (
    *(b"\0", b"\n", b"\r\n", b" ", b"\xff", b"{", b"}", b"[", b"]", b",", b"=", b'"', b"\\"),
    *(b"-0", b"1e5", b"NaN", b"\\ud800", b"null", b"../", b"\xe2\x80\xa5"),
)


def mutate(data: bytes, random: Random, words: Sequence[bytes] = ()) -> bytes:
    """``data`` after one to three changes; it may come out the same.  ``words`` mean something to its reader."""
    for _ in range(random.randint(1, 3)):
        data = random.choice(_CHANGES)(data, random, (*_ODD, *words))
    return data


def flip(data: bytes, random: Random, words: Sequence[bytes]) -> bytes:
    """Other bits at up to eight places."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 8) if data else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(data: bytes, random: Random, words: Sequence[bytes]) -> bytes:
    """Without a piece at the beginning, in the middle or at the end."""
    start, end = _piece(data, random)
    return random.choice((data[:start] + data[end:], data[:start], data[end:]))


def insert(data: bytes, random: Random, words: Sequence[bytes]) -> bytes:
    """With random bytes, a word, or a piece of itself more."""
    start, end = _piece(data, random)
    place = random.randint(0, len(data))
    more = random.choice((random.randbytes(random.randint(1, 40)), random.choice(words), data[start:end]))
    return data[:place] + more + data[place:]


def overwrite(data: bytes, random: Random, words: Sequence[bytes]) -> bytes:
    """With a word in place of as many bytes, or of a piece."""
    start, end = _piece(data, random)
    word = random.choice(words)
    return data[:start] + word + data[random.choice((end, start + len(word))) :]


def swap(data: bytes, random: Random, words: Sequence[bytes]) -> bytes:
    """With two pieces in each other's place."""
    first, second, third = sorted(random.randint(0, len(data)) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


_CHANGES = (flip, cut, insert, overwrite, swap)


def _piece(data: bytes, random: Random) -> tuple[int, int]:
    length = random.randint(1, max(1, len(data) // random.choice((1, 4, 64))))
    start = random.randint(0, max(0, len(data) - length))
    return start, start + length


def mutate_json(value: Any, random: Random) -> Any:
    """A copy of a JSON value in which one or two things are others, more or gone."""
    value = copy.deepcopy(value)
    for _ in range(random.randint(1, 2)):
        places = list(_places(value))
        if not places:
            break
        parent, key = random.choice(places)
        donor, name = random.choice(places)
        other = copy.deepcopy(donor[name])
        match random.choice(("near", "near", "other", "odd", "delete", "add")):
            case "near":
                parent[key] = _near(parent[key], random)
            case "other":
                parent[key] = other
            case "odd":
                parent[key] = random.choice(_ODD_VALUES)
            case "delete":
                del parent[key]
            case _ if isinstance(parent, list):
                parent.insert(key, other)
            case _:
                parent[random.choice((str(name), "x", ""))] = other
    return value


_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**53 - 1, 1_000_001, [], {}, [None], {"": ""}),
    *("", "0", "x", "0" * 64, "1.0.0", "2030-01-01T00:00:00Z"),
)
_CHARACTERS = '0123456789abcdefzAFZ.-_:/+= ~"\\TZ'


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(item)


def _near(value: Any, random: Random) -> Any:
    """Something like it: a number beside it, a text with a character more, less or changed."""
    match value:
        case bool() | None:
            return 0
        case int():
            return value + random.choice((-1, 1, 10**6))
        case str():
            place = random.randint(0, len(value))
            more = random.choice(("", random.choice(_CHARACTERS), value[place : place + 3]))
            return value[:place] + more + value[place + random.randint(0, 2) :]
        case list():
            return random.sample(value, len(value)) if random.random() < 0.5 else value + value[:1]
        case _:
            return [value]
