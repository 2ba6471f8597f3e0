"""Where chat templates and special tokens stand in a model's files.

As transformers looks for them (https://huggingface.co/docs/transformers/chat_templating_writing): ``chat_template`` of
tokenizer_config.json, one text or a list with names; chat_template.jinja; additional_chat_templates/*.jinja; and the
older chat_template.json and processor_config.json.  Every other ``.jinja`` file counts too: a server can be told to
use it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from posixpath import basename
from typing import Any

TEMPLATE_SUFFIX = ".jinja"
CONFIGS = ("tokenizer_config.json", "chat_template.json", "processor_config.json")
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class ChatTemplate:
    """One template; ``name`` tells several of one file apart."""

    path: str
    name: str
    text: str


def holds_templates(path: str) -> bool:
    """Whether templates are looked for in a file of this name."""
    return path.endswith(TEMPLATE_SUFFIX) or basename(path) in CONFIGS


def find_templates(path: str, data: bytes) -> Iterator[ChatTemplate]:
    """The templates of a file that has passed the content gate."""
    if path.endswith(TEMPLATE_SUFFIX):
        yield ChatTemplate(path, "", data.decode("utf-8", "replace"))
        return
    config = read_object(data)
    value = config.get("chat_template")
    if isinstance(value, str):
        yield ChatTemplate(path, "", value)
    elif isinstance(value, dict):
        yield from (ChatTemplate(path, str(name), text) for name, text in value.items() if isinstance(text, str))
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, dict) and isinstance(text := entry.get("template"), str):
                yield ChatTemplate(path, str(entry.get("name", "")), text)


def special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Special tokens by the role in which a template names them; of tokenizer_config.json."""
    found = {}
    for role in _ROLES:
        value = config.get(role)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            found[role] = text
    return found


def read_object(data: bytes) -> dict[str, Any]:
    """The fields of a JSON object; none where it is no object."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
