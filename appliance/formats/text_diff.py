"""A diff of two texts as ``diff -u`` writes it, in bounded time: strangers' texts are long, and may differ everywhere.

Format: https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html, without the names of files.
"""

import re
from collections.abc import Sequence
from difflib import unified_diff
from itertools import islice, takewhile
from typing import NamedTuple

# Of both texts, from the first line that differs.  To find what differs in more takes long, and it is not short.
COMPARED_LINES = 1000
_PLACE = re.compile(r"@@ -(\d+)((?:,\d+)?) \+(\d+)((?:,\d+)?) @@")


class Diff(NamedTuple):
    """``cut`` says that the texts go on behind what was compared."""

    lines: tuple[str, ...]
    cut: bool


def diff(first: Sequence[str], second: Sequence[str], *, context: int) -> Diff:
    """The lines that differ, first to second, each with ``-`` or ``+``; and ``context`` lines beside them."""
    head = _alike(first, second)
    tail = _alike(first[head:][::-1], second[head:][::-1])
    start, more = max(0, head - context), min(tail, context)
    other = max(len(first), len(second)) - head - tail
    before, after = (lines[start : min(len(lines) - tail, head + COMPARED_LINES) + more] for lines in (first, second))
    found = islice(unified_diff(before, after, n=context, lineterm=""), 2, None)
    return Diff(tuple(_moved(line, start) for line in found), other > COMPARED_LINES)


def _moved(line: str, lines: int) -> str:
    """The head of a piece, with its places counted from the beginning of the texts."""
    if (found := _PLACE.fullmatch(line)) is None:
        return line
    first, length, second, other = found.groups()
    return f"@@ -{int(first) + lines}{length} +{int(second) + lines}{other} @@"


def _alike(first: Sequence[str], second: Sequence[str]) -> int:
    """How many lines both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
