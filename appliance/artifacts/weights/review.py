"""What there is to say of a model's files that no gate refuses: found while locking, kept in the lock, shown as a diff.

The gate decides what may be carried.  A review tells people what they carry: what its chat templates do to a
conversation, what its tokenizer does to texts, which web addresses its files name, what its licences forbid.  A lock
keeps the findings and the digest of what each template wrote; so who locks again sees what has changed, and
nothing else.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from posixpath import basename, dirname

from appliance.artifacts.weights.content_gate import TEMPLATE_THAT, refusal, template_refusal
from appliance.artifacts.weights.gate import Gate
from appliance.artifacts.weights.model_licences import CARD, review_licences
from appliance.artifacts.weights.rules import finding
from appliance.artifacts.weights.template_review import review_template
from appliance.errors import BadInput
from appliance.formats.chat_templates import (
    TEMPLATE_SUFFIX,
    ChatTemplate,
    find_templates,
    holds_templates,
    read_object,
    special_tokens,
)
from appliance.formats.model_card import read_card
from appliance.formats.tokenizer import surprises
from appliance.formats.web_addresses import addresses_in
from appliance.model.documents.lock import LockedFile
from appliance.model.findings import Finding, RenderedTemplate, Review
from appliance.model.limits import MAX_CHAT_TEMPLATE, MAX_MODEL_JSON, MAX_MODEL_TEXT, MAX_TEMPLATES
from appliance.model.sink import Sink
from appliance.model.visible import shown
from appliance.tools.chat_template import LeavesSandbox

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
_LICENCE_NAMES = ("license", "licence", "copying", "notice", "use_policy")
# Files that are lists of words, and keys under which these and what is for people stand.
_WORD_LISTS = ("vocab.json", "model.safetensors.index.json")
_NOT_READ_BY_LOADERS = {
    "vocab", "merges", "chat_template", "$schema", "license", "license_link", "homepage", "repository", "documentation",
}  # fmt: skip
_SHOWN = 5
_LONGEST_NAME = 200  # characters of a template's name


@dataclass(frozen=True)
class Reviewed:
    """The files of one model, as far as they are in the sink; ``licence`` is what the definition says."""

    files: Sequence[LockedFile]
    sink: Sink
    gate: Gate
    licence: str

    def texts(self, limit: int) -> Iterator[tuple[str, LockedFile]]:
        """Files that are there and not too large, by path."""
        for file in sorted(self.files, key=lambda file: file.path):
            if file.size <= limit and self.sink.holds(file):
                yield file.path, file

    def read(self, path: str, limit: int = MAX_MODEL_JSON) -> bytes:
        """A file; empty where it is not there."""
        return next((self.sink.path(file).read_bytes() for at, file in self.texts(limit) if at == path), b"")


def review(model: Reviewed) -> Review:
    """Look at every small file of a model.  Raises BadInput (``weights-refused``) for an unsafe chat template."""
    templates, of_templates = _templates(model)
    findings = {
        *of_templates,
        *_of_json(model),
        *_of_allowed(model),
        *_of_licences(model),
    }
    return Review(
        templates=tuple(templates),
        findings=tuple(sorted(findings, key=lambda found: (found.path, found.rule, found.what))),
    )


def check_templates(model: Reviewed) -> None:
    """Render every chat template again, of bytes that were verified.  Raises BadInput (``weights-refused``)."""
    _templates(model)


def _templates(model: Reviewed) -> tuple[list[RenderedTemplate], list[Finding]]:
    rendered, findings, refused = [], [], {}
    found_templates = list(islice(_found_templates(model), MAX_TEMPLATES + 1))
    if len(found_templates) > MAX_TEMPLATES:
        what = f"the model has more than {MAX_TEMPLATES} chat templates"
        raise BadInput("weights-refused", what, where=model.gate.where, hint=model.gate.leave_out)
    with model.sink.work("templates") as work:
        for template in found_templates:
            try:
                _check_text(model, template)
                text, found = review_template(template, _tokens(model, template.path), work)
            except ValueError as error:
                if isinstance(error, LeavesSandbox) and _is_allowed(model, template):
                    findings.append(
                        finding("template-allowed", template.path, f"is allowed, and as a template {error}")
                    )
                else:
                    refused[template.path] = f"is or has a chat template that {error}"
                continue
            content = model.sink.put(text.encode("utf-8", "backslashreplace"))
            rendered.append(
                RenderedTemplate(
                    path=template.path,
                    name=shown(template.name)[:_LONGEST_NAME],
                    template=hashlib.sha256(template.text.encode("utf-8", "backslashreplace")).hexdigest(),
                    rendered=content.sha256,
                    size=content.size,
                )
            )
            findings += found
    model.gate.refuse(refused)
    return rendered, findings


def _found_templates(model: Reviewed) -> Iterator[ChatTemplate]:
    for file in sorted(model.files, key=lambda file: file.path):
        if not holds_templates(file.path):
            continue
        # The gate has refused these, and no reason lets them pass: nobody has tried what is not read.
        if file.path.endswith(TEMPLATE_SUFFIX) and file.size > MAX_CHAT_TEMPLATE:
            model.gate.refuse({file.path: f"{TEMPLATE_THAT}{_too_large(file.size)}"})
        if file.size > MAX_MODEL_JSON:
            model.gate.refuse({file.path: f"has {file.size} bytes, too large to look for chat templates in it"})
        if model.sink.holds(file):
            yield from find_templates(file.path, model.sink.path(file).read_bytes())


def _check_text(model: Reviewed, template: ChatTemplate) -> None:
    size = len(template.text.encode("utf-8", "backslashreplace"))
    if size > MAX_CHAT_TEMPLATE:
        raise ValueError(_too_large(size))
    # The gate tells one reason of a file, and a person has allowed no other.
    if (reason := template_refusal(template.text)) and not _is_allowed(model, template):
        raise ValueError(reason.removeprefix(TEMPLATE_THAT))


def _too_large(size: int) -> str:
    return f"has {size} bytes, more than {MAX_CHAT_TEMPLATE}"


def _is_allowed(model: Reviewed, template: ChatTemplate) -> bool:
    """Whether a person has allowed the file for what this template's text says, and not for something else in it."""
    if template.path not in model.gate.allow or not template_refusal(template.text):
        return False
    data = model.read(template.path)
    paths = {file.path for file in model.files}
    reason = refusal(template.path, len(data), lambda offset, length: data[offset : offset + length], paths)
    texts = (one.text for one in find_templates(template.path, data))
    return reason in filter(None, map(template_refusal, texts))


def _tokens(model: Reviewed, path: str) -> dict[str, str]:
    """Special tokens of the tokenizer that a template belongs to: in its folder, or at the top."""
    folder = dirname(path).removesuffix("additional_chat_templates").rstrip("/")
    beside = f"{folder}/{TOKENIZER_CONFIG}" if folder else TOKENIZER_CONFIG
    return special_tokens(read_object(model.read(beside) or model.read(TOKENIZER_CONFIG)))


def _of_json(model: Reviewed) -> Iterator[Finding]:
    """What is surprising in tokenizers, and the web addresses that configurations name."""
    for path, file in model.texts(MAX_MODEL_JSON):
        if not path.endswith(".json") or basename(path) in _WORD_LISTS:
            continue
        value = read_object(model.sink.path(file).read_bytes())
        if basename(path) in (TOKENIZER, TOKENIZER_CONFIG):
            for rule, what in surprises(value):
                yield finding(rule, path, what)
        if found := list(dict.fromkeys(addresses_in(value, _NOT_READ_BY_LOADERS))):
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            named = ", ".join(address[:200] for address in found[:_SHOWN])
            yield finding("config-address", path, f"names web addresses: {named}{more}")


def _of_allowed(model: Reviewed) -> Iterator[Finding]:
    for path, reason in model.gate.allow.items():
        yield finding("allowed-file", path, f"is refused, and allowed by the definition: {reason}")


def _of_licences(model: Reviewed) -> Iterator[Finding]:
    card, _ = read_card(model.read(CARD, MAX_MODEL_TEXT).decode("utf-8", "replace"))
    texts = {
        path: model.sink.path(file).read_bytes().decode("utf-8", "replace")
        for path, file in model.texts(MAX_MODEL_TEXT)
        if "/" not in path and path.casefold().startswith(_LICENCE_NAMES)
    }
    yield from review_licences(model.licence, card, texts)


def is_read(path: str) -> bool:
    """Whether a review reads a file of this name, so that it has to be there while a model is locked."""
    return path.endswith(".json") or holds_templates(path)
