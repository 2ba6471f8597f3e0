"""Random changes to bytes, as a medium, an editor or an attacker makes them."""

from collections.abc import Sequence
from random import Random

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
