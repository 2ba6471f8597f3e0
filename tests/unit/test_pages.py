"""The pages for people: what they point to is there."""

import re
from pathlib import Path

import pytest

from appliance.artifacts.kinds import KINDS

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    path
    for folder in (".", "docs", "tests/corpus", "ansible")
    for path in (REPOSITORY / folder).glob("*.md" if folder == "." else "**/*.md")
)
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """Of its headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target, anchor in _LINK.findall(text):
        if "://" in target:
            continue
        place = page.parent / target if target else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"


def test_the_format_names_every_kind() -> None:
    text = (REPOSITORY / "docs/bundle-format.md").read_text()
    (told,) = re.findall(r"^Kinds are (.*?)\. ", text, re.MULTILINE)
    assert re.findall("`(.*?)`", told) == [kind.name for kind in KINDS]


def test_where_a_change_goes_is_there() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    places = [name for name in re.findall(r"`([^`\s]+)`", text) if "/" in name and "<" not in name]
    assert len(places) > 20
    for name in places:
        assert (REPOSITORY / name).exists(), name
