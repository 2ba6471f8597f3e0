"""Answers of the OpenAI API: lists of models, embeddings, and chat completions that come as server-sent events.

Those of a reranker, which that API does not have, count tokens as embeddings do.

https://platform.openai.com/docs/api-reference; the events as vLLM 0.32.0 sends them
(``entrypoints/openai/chat_completion/serving.py``): one that only names the role, one for each
step of the engine, one with the usage because ``stream_options`` asks for it, ``[DONE]``.
Nothing is kept of what a model says.
"""

import json
from dataclasses import dataclass
from typing import Any

from appliance.model.limits import MAX_EVENT

_END = b"\n\n"
_DATA = b"data:"
_DONE = b"[DONE]"


@dataclass(frozen=True)
class Usage:
    """Tokens as the server counts them."""

    tokens_in: int
    tokens_out: int


class Stream:
    """An answer in parts, while its bytes come.

    ``done`` when it has ended as it should; ``usage`` is there by then; ``error`` is what
    the server says when it fails within the answer.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self.usage: Usage | None = None
        self.done = False
        self.error = ""

    def feed(self, data: bytes) -> int:
        """How many parts of the answer ``data`` completes.  Raises ValueError for what is no such answer."""
        self._rest += data
        parts = 0
        while (end := self._rest.find(_END)) >= 0:
            event = bytes(self._rest[:end])
            del self._rest[: end + len(_END)]
            parts += self._event(event)
        if len(self._rest) > MAX_EVENT:
            raise ValueError(f"an event has more than {MAX_EVENT} bytes")
        return parts

    def _event(self, event: bytes) -> bool:
        """Whether it is a part of the answer."""
        if not event.startswith(_DATA):  # comments keep a connection alive
            return False
        data = event[len(_DATA) :].strip()
        if data == _DONE:
            self.done = True
            return False
        document = _object(data)
        if "error" in document:
            self.error = error_message(data)
            return False
        if document.get("usage"):
            self.usage = usage_of(document)
        return any(_says(choice) for choice in document.get("choices") or ())


def _says(choice: Any) -> bool:
    """The first event of an answer names the role, and comes just before the first token."""
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(delta, dict):
        raise ValueError("a choice has no delta")
    return "role" not in delta or bool(delta.get("content"))


def usage_of(document: dict[str, Any]) -> Usage:
    """Raises ValueError: without the server's count there is nothing to go by."""
    usage = document.get("usage")
    if not isinstance(usage, dict) or type(usage.get("prompt_tokens")) is not int:
        raise ValueError("the answer does not say how many tokens it took")
    out = usage.get("completion_tokens") or 0
    return Usage(usage["prompt_tokens"], out if type(out) is int else 0)


def read_answer(data: bytes) -> Usage:
    """The usage of an answer that is not streamed.  Raises ValueError."""
    return usage_of(_object(data))


def read_models(data: bytes) -> tuple[str, ...]:
    """The names in a list of models.  Raises ValueError."""
    entries = _object(data).get("data")
    if not isinstance(entries, list):
        raise ValueError("this is not a list of models")
    names = [entry.get("id") for entry in entries if isinstance(entry, dict)]
    return tuple(name for name in names if isinstance(name, str))


def error_message(data: bytes) -> str:
    """What an answer says of its failure; empty when it says nothing in a known form."""
    try:
        error = _object(data).get("error")
    except ValueError:
        return ""
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else ""


def _object(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("this is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("this is not a JSON object")
    return document
