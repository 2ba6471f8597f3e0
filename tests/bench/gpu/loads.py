"""What a running vLLM is asked, and how long it takes: prompts of numbers, streamed, so many at a time."""

import hashlib
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

_LOWEST, _SPREAD = 1000, 65536  # numbers of tokens that every model here has


@dataclass(frozen=True)
class Load:
    """Lengths are in tokens; ``shared`` of a prompt's are the same in all prompts."""

    prompt: int
    output: int
    at_once: int
    requests: int
    shared: int = 0


LOADS = (
    Load(512, 128, 1, 8),
    Load(512, 128, 32, 128),
    Load(2304, 64, 8, 64, shared=2048),
)


@dataclass(frozen=True)
class Answered:
    """One request: ``first`` and ``end`` are seconds from its start, ``tokens`` what the server counted."""

    first: float
    end: float
    tokens: int


@dataclass(frozen=True)
class Figures:
    """Of one load: milliseconds, and tokens a second of all requests together and of one after its first token."""

    load: Load
    ttft_p50: float
    ttft_max: float
    tokens_per_second: float
    tokens_per_second_one: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def body(model: str, load: Load, number: int) -> dict[str, Any]:
    """The request of that number.  The same one has the same prompt in each run; no answer ends before its length."""
    own = _numbers(f"{load.prompt}/{load.at_once}/{number}", load.prompt - load.shared)
    return {
        "model": model,
        "prompt": [*_numbers("shared", load.shared), *own],
        "max_tokens": load.output,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _numbers(key: str, count: int) -> list[int]:
    data = hashlib.shake_256(key.encode()).digest(2 * count)
    return [_LOWEST + int.from_bytes(data[2 * at : 2 * at + 2]) % _SPREAD for at in range(count)]


def read_stream(lines: Iterable[bytes], now: Callable[[], float]) -> tuple[float, int]:
    """When the first token came, and how many the server counted.  Raises ValueError on anything else."""
    first: float | None = None
    tokens = 0
    for event in _events(lines):
        if "error" in event:
            raise ValueError(f"the answer broke off: {event['error']}")
        if event["choices"] and first is None:
            first = now()
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
    if first is None or not tokens:
        raise ValueError("the answer has no tokens, or no usage")
    return first, tokens


def _events(lines: Iterable[bytes]) -> Iterator[Any]:
    for line in lines:
        text = line.decode().strip()
        if text.startswith("data: ") and text != "data: [DONE]":
            yield json.loads(text.removeprefix("data: "))


def run_load(ask: Callable[[object], Any], model: str, load: Load) -> Figures:
    """Ask all requests, ``at_once`` at a time, until one has no whole stream for an answer: then raises ValueError."""
    numbers = iter(range(load.requests))
    answered: list[Answered] = []
    failed: list[Exception] = []

    def work() -> None:
        for number in numbers:
            try:
                answered.append(_one(ask, body(model, load, number)))
            except Exception as error:  # in a thread, nobody else hears of it
                failed.append(error)
            if failed:
                return

    threads = [threading.Thread(target=work) for _ in range(load.at_once)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if missing := load.requests - len(answered):
        why = repr(failed[0]) if failed else "an asker has ended"
        raise ValueError(f"{missing} of {load.requests} requests have no whole answer: {why}")
    return figures(load, answered, time.perf_counter() - began)


def _one(ask: Callable[[object], Any], asked: object) -> Answered:
    began = time.perf_counter()
    with ask(asked) as answer:
        if answer.status != 200:
            raise ValueError(f"status {answer.status}: {answer.read(500)!r}")
        first, tokens = read_stream(answer, time.perf_counter)
    return Answered(first - began, time.perf_counter() - began, tokens)


def figures(load: Load, answered: list[Answered], seconds: float) -> Figures:
    """Of requests that took ``seconds`` together."""
    rates = [(one.tokens - 1) / (one.end - one.first) for one in answered if one.tokens > 1]
    return Figures(
        load=load,
        ttft_p50=1000 * statistics.median(one.first for one in answered),
        ttft_max=1000 * max(one.first for one in answered),
        tokens_per_second=sum(one.tokens for one in answered) / seconds,
        tokens_per_second_one=statistics.median(rates),
    )
