"""What a model is asked for, and how each engine does it: an entry of ``ENGINES`` for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Task = Literal["chat", "embedding", "rerank"]
Engine = Literal["vllm"]


@dataclass(frozen=True)
class TaskForm:
    """How an engine does a task, and how it is asked.

    ``runner`` is vLLM's own word (https://docs.vllm.ai: --runner), ``paths`` are those that clients may
    use: of the OpenAI API, and for ``rerank``, which it does not have, those of Jina's and Cohere's
    clients.  ``question`` is what the first of them gets, beside the model's name, from whoever only
    wants to know that a model answers.  ``generates`` tells whether an answer comes token by token.
    """

    runner: str
    paths: tuple[str, ...]
    question: Mapping[str, Any]
    generates: bool


ENGINES: Mapping[Engine, Mapping[Task, TaskForm]] = {
    "vllm": {
        "chat": TaskForm(
            runner="generate",
            paths=("/v1/chat/completions", "/v1/completions"),
            question={"messages": [{"role": "user", "content": "Are you there?"}], "max_tokens": 1},
            generates=True,
        ),
        "embedding": TaskForm(
            runner="pooling", paths=("/v1/embeddings",), question={"input": "Are you there?"}, generates=False
        ),
        # One body and one answer on both paths (entrypoints/pooling/scoring/api_router.py, 0.32.0).
        "rerank": TaskForm(
            runner="pooling",
            paths=("/v1/rerank", "/v2/rerank"),
            question={"query": "Are you there?", "documents": ["I am."]},
            generates=False,
        ),
    }
}
