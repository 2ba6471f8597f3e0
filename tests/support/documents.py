"""The commands that our documents give to people, so that tests can run them."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_HEADING = re.compile(r"(#+) (.*)")


def commands(document: str, heading: str) -> list[str]:
    """The ``sh`` blocks below ``heading`` of a file in docs/, up to the next heading."""
    blocks: list[str] = []
    below = inside = False
    for line in (DOCS / document).read_text().splitlines(keepends=True):
        if inside and line.startswith("```"):
            inside = False
        elif inside:
            blocks[-1] += line
        elif match := _HEADING.match(line):
            below = match[2].strip() == heading
        elif below and line == "```sh\n":
            inside = True
            blocks.append("")
    assert blocks, f"{document} has no commands below {heading!r}"
    return blocks
