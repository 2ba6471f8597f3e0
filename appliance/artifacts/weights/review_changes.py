"""How a review is shown to who locks: what is new and what is gone; all of it the first time."""

from collections.abc import Iterator

from appliance.formats.text_diff import diff
from appliance.model.findings import Finding, RenderedTemplate, Review
from appliance.model.progress import Progress
from appliance.model.sink import Sink
from appliance.model.visible import shown

_LINES = 200  # of one diff; who wants more compares the files
_BESIDE = 3  # lines beside a change
_LONGEST = 500  # characters of a line
_LICENCE = "licence-"


def show_review(where: str, new: Review, old: Review | None, sink: Sink, progress: Progress) -> None:
    """Tell what ``new`` has that ``old`` has not, and the other way; licences are told each time."""
    before = set(old.findings) if old else set()
    for found in new.findings:
        if found not in before or found.rule.startswith(_LICENCE):
            progress.step(f"{where}: {_words(found)}")
    for gone in old.findings if old else ():
        if gone not in new.findings:
            progress.step(f"{where}: no longer: {_words(gone)}")
    rendered = {(one.path, one.name): one for one in old.templates} if old else {}
    for template in new.templates:
        for line in _template(template, rendered.pop((template.path, template.name), None), sink):
            progress.step(f"{where}: {line}")
    for dropped in rendered.values():
        progress.step(f"{where}: the chat template {shown(dropped.where)} is gone")


def _words(found: Finding) -> str:
    return f"{found} [{found.rule}: {found.see}]"


def _template(new: RenderedTemplate, old: RenderedTemplate | None, sink: Sink) -> Iterator[str]:
    name = f"the chat template {shown(new.where)}"
    if old is None:
        yield f"{name} is new: what it makes of our conversations is in {sink.path(new.content)}"
    elif old.rendered == new.rendered:
        if old.template != new.template:
            yield f"{name} has changed, and makes the same of our conversations"
    elif not sink.holds(old.content):
        yield f"{name} makes something else of our conversations; this cache has only the new: {sink.path(new.content)}"
    else:
        yield f"{name} makes something else of our conversations:"
        yield from _diff(old, new, sink)


def _diff(old: RenderedTemplate, new: RenderedTemplate, sink: Sink) -> Iterator[str]:
    before, after = (sink.path(one.content).read_text("utf-8").split("\n") for one in (old, new))
    found = diff(before, after, context=_BESIDE)
    for line in ("--- before", "+++ now", *found.lines[:_LINES]):
        yield shown(line[:_LONGEST])
    if (more := len(found.lines) - _LINES) > 0 or found.cut:
        count = "more lines" if found.cut else f"{more} more lines"
        yield f"and {count}: diff {sink.path(old.content)} {sink.path(new.content)}"
