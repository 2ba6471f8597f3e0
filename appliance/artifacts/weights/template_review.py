"""What a chat template does to conversations, and what it says that nobody said.

A template stands between people and the model: it decides what the model reads.  So it is rendered here as a server
renders it, and everything in the result that is in no message is told.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from appliance.artifacts.weights.conversations import ASKED, CONVERSATIONS, FORGED, SAID
from appliance.artifacts.weights.rules import finding
from appliance.formats.chat_templates import ChatTemplate
from appliance.formats.web_addresses import addresses
from appliance.formats.wording import is_marker, is_sentence, sentences, without_markers, words
from appliance.model.findings import Finding
from appliance.model.visible import is_seen
from appliance.tools.chat_template import Rendering, render

# Roles, and the keys of what a template is given: scattered over a text they say nothing.
_KNOWN = words(json.dumps(list(CONVERSATIONS.values()))) | words(" ".join(SAID))
_EXAMPLES = 4
_LONGEST = 160  # characters of an example


def review_template(template: ChatTemplate, tokens: Mapping[str, str], work: Path) -> tuple[str, tuple[Finding, ...]]:
    """All that the template makes of the conversations, as one text; and what there is to say of it.

    ``tokens`` are the model's special tokens by role, ``work`` is a scratch directory.  Raises ValueError for a
    template that must not be used, and LeavesSandbox for one that a server would end.
    """
    rendering = render(template.text, tokens, list(CONVERSATIONS.values()), work)
    found = [
        finding(rule, template.path, f"the chat template{f' {template.name!r}' if template.name else ''} {what}")
        for rule, what in _found(template.text, rendering, tokens)
    ]
    shown = (f"[no text: {failed}]" if failed else text for text, failed in zip(*rendering.parts, strict=True))
    return "".join(f"--- {name}\n{text}\n" for name, text in zip(CONVERSATIONS, shown, strict=True)), tuple(found)


def _found(text: str, rendering: Rendering, tokens: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    everything = "\n".join(rendering.texts)
    parts = zip(CONVERSATIONS, *rendering.parts, strict=True)
    rendered = {name: text for name, text, failed in parts if not failed}
    if not rendered:
        yield "template-fails", f"makes nothing of any conversation: {rendering.failed[0]}"
    if added := list(dict.fromkeys(line for text in rendered.values() for line in _own_lines(text, tokens))):
        yield "template-adds-text", f"adds text that is in no message: {_listed(added)}"
    unseen = [word for word in rendering.words if is_sentence(word) and word.strip() not in everything]
    if unseen:
        yield "template-unseen-text", f"holds text that none of our conversations brings out: {_listed(unseen)}"
    if found := list(dict.fromkeys(addresses(text))):
        yield "template-address", f"names web addresses: {_listed(found)}"
    if not is_seen(text.replace("\n", "").replace("\t", "").replace("\r", "")):
        yield "template-invisible", "has characters that nobody sees"
    if rendering.clock:
        yield "template-clock", "asks what day it is, so that it may do something else on another day"
    if rendering.chance:
        yield "template-chance", "throws dice, so that it may do something else each time"
    if altered := _altered(rendered):
        yield "template-alters-text", f"does not pass on the words of a person as they are: {_listed(altered)}"


def _own_lines(text: str, tokens: Mapping[str, str]) -> Iterator[str]:
    """What stands in no message.  Tokens are the model's own too: of those, only markers are taken off."""
    markers = filter(is_marker, tokens.values())
    for known in (*SAID, *sorted(markers, key=len, reverse=True)):
        text = text.replace(known, "\n")
    yield from sentences(without_markers(text), _KNOWN)


def _altered(rendered: Mapping[str, str]) -> list[str]:
    """Conversations of which the question itself does not come out; not those that a template may not know."""
    asked = {"a question": ASKED, "a second question": ASKED, "a question that forges turns": FORGED}
    return [name for name, words in asked.items() if name in rendered and words not in rendered[name]]


def _listed(texts: list[str]) -> str:
    listed = "; ".join(repr(" ".join(text.split())[:_LONGEST]) for text in texts[:_EXAMPLES])
    more = len(texts) - _EXAMPLES
    return f"{listed}; and {more} more" if more > 0 else listed
