"""What a bench asks: prompts of common words by a seed, in the bodies of the API.

The same seed gives the same prompts on every machine: SHAKE-256 chooses the words, and no
library's random numbers.  They are nobody's content.  A salt of the run keeps an engine from
finding them in its prefix cache because somebody has asked them before.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.model.asked import Asked
from appliance.model.documents.bench import Load
from appliance.model.serving.tasks import ENGINES, Task
from appliance.tools.link import Question

# A byte chooses a pair: one of the first, one of the second.
_FIRST, _SECOND = (
    tuple(words.split())
    for words in (
        "quiet bright narrow heavy early green simple open distant warm steady round hollow recent silver plain",
        "river stone garden market letter window harbour engine winter meadow bridge copper signal valley lantern road",
    )
)
_QUERY = f"{_FIRST[0]} {_SECOND[0]}"  # read again with each document, and so a part of each prompt
_FEW, _MORE = 8, 40  # words of the two prompts whose tokens are compared


@dataclass(frozen=True)
class Gauge:
    """How many tokens the server counts: for a prompt of no words, and for each word."""

    base: float
    word: float

    @classmethod
    def of(cls, few: Asked, more: Asked) -> "Gauge":
        """From the two prompts of ``Questions.gauge``."""
        word = max(0.1, (more.tokens_in - few.tokens_in) / (_MORE - _FEW))
        return cls(max(0.0, few.tokens_in - word * _FEW), word)

    def words(self, tokens: int) -> int:
        """For a prompt of at most so many tokens, or little more: words have not all the same number."""
        return max(2, int((tokens - self.base) / self.word))


@dataclass(frozen=True)
class Questions:
    """Of one model and one run; ``salt`` is new in each run."""

    model: str
    task: Task
    seed: int
    salt: str

    def gauge(self) -> tuple[Question, Question]:
        """Two short prompts that differ in their number of words."""
        few, more = (
            self._question([self._text("gauge", count, 0, count, 0)], 1, streams=False) for count in (_FEW, _MORE)
        )
        return few, more

    def of(self, load: Load, gauge: Gauge) -> Callable[[int], Question]:
        """The requests of a step by their number, from 0 on.  No two have the same prompt, here or in another step."""
        words = gauge.words(load.prompt_tokens)
        shared = words // 2 if load.shared_prefix else 0
        label = f"{load.prompt_tokens}/{load.inputs}/{load.shared_prefix:d}/{load.concurrency}"

        def question(number: int) -> Question:
            first = number * load.inputs
            texts = [self._text(label, first + each, shared, words, load.inputs) for each in range(load.inputs)]
            return self._question(texts, load.output_tokens, streams=ENGINES["vllm"][self.task].generates)

        return question

    def _text(self, label: str, number: int, shared: int, words: int, inputs: int) -> str:
        own = self._words(f"{label}/{inputs}/{number}", words - shared)
        return " ".join([*self._words(f"{label}/shared", shared), *own])

    def _words(self, key: str, count: int) -> list[str]:
        data = hashlib.shake_256(f"{self.seed}/{key}".encode()).digest((count + 1) // 2)
        return [word for byte in data for word in (_FIRST[byte >> 4], _SECOND[byte & 15])][:count]

    def _question(self, texts: list[str], output_tokens: int, *, streams: bool) -> Question:
        body: Mapping[str, Any] = {"model": self.model, "cache_salt": self.salt, **self._asked(texts, output_tokens)}
        if streams:
            body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        path = ENGINES["vllm"][self.task].paths[0]
        return Question(path, json.dumps(body).encode(), streams)

    def _asked(self, texts: list[str], output_tokens: int) -> Mapping[str, Any]:
        match self.task:
            case "embedding":
                return {"input": texts}
            case "rerank":
                return {"query": _QUERY, "documents": texts}
        return {
            "messages": [{"role": "user", "content": text} for text in texts],
            "max_tokens": output_tokens,
            "ignore_eos": True,  # vLLM's own: every answer has the same length
            "temperature": 0,
        }
