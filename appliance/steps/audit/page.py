"""The report as one HTML page: no script, no link, nothing fetched, readable on paper.

All text may come from a hostile medium: Jinja escapes what HTML reads, and characters that
do not show, or turn the order of others round, are written out.
"""

from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from appliance.model.documents.audit import Report

_TEMPLATE = "report.html.j2"


def page(report: Report) -> str:
    """The whole page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_visible, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    template = resources.files("appliance").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(template).render(report=report)


def _visible(value: object) -> object:
    if not isinstance(value, str) or isinstance(value, Markup):  # what a macro of the template has made
        return value
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in value)
