"""Pages for people, from a template of the package: no link, nothing fetched, readable on paper and without a script.

All text may come from a hostile medium: Jinja escapes what HTML reads, and characters that
do not show, or turn the order of others round, are written out.
"""

from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup


def rendered(template: str, **values: object) -> str:
    """The whole page; ``count`` is a filter for large numbers."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_visible, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    text = resources.files("appliance").joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(text).render(**values)


def _visible(value: object) -> object:
    if not isinstance(value, str) or isinstance(value, Markup):  # what a macro of the template has made
        return value
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in value)
