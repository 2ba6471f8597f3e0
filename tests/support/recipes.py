"""Pages of docs/recipes: what they tell people to write and to type, and what they say comes of it."""

import re
from dataclasses import dataclass
from pathlib import Path

RECIPES = Path(__file__).parents[2] / "docs/recipes"
# What is written into a file, what is typed on the depot, what that prints.
_KINDS = ("yaml", "sh", "text")
_BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A block of a page by its kind: ``yaml``, ``sh`` or ``text``."""

    kind: str
    text: str


def steps(page: str) -> list[Step]:
    """The blocks of a page in their order."""
    found = [Step(kind, text) for kind, text in _BLOCK.findall((RECIPES / page).read_text())]
    assert found, f"{page} tells nobody to do anything"
    assert {step.kind for step in found} <= set(_KINDS), page
    return found


def section(page: str, heading: str) -> list[Step]:
    """The blocks below one heading of a page."""
    _, found, text = (RECIPES / page).read_text().partition(f"\n## {heading}\n")
    assert found, f"{page} has no {heading!r}"
    return [Step(kind, text) for kind, text in _BLOCK.findall(text.partition("\n## ")[0])]


def halves(page: str, *, after: str = "text") -> tuple[list[Step], list[Step]]:
    """The blocks up to the first of a kind, and those behind it: something happens in between."""
    found = steps(page)
    middle = 1 + [step.kind for step in found].index(after)
    return found[:middle], found[middle:]


def missing(told: str, printed: str) -> list[str]:
    """Lines of ``told`` that ``printed`` has not, in this order; ``...`` stands for what differs from site to site."""
    lines = iter(printed.splitlines())
    return [line for line in told.splitlines() if not any(_pattern(line).fullmatch(other.strip()) for other in lines)]


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in line.strip().split("...")))
