"""Ask a model something real through its socket: until it answers, or for as long as it lives.

    probe.py wait SOCKET MODEL TASK --seconds 1800 --process PID
    probe.py watch SOCKET MODEL TASK --stall 30

TASK is chat, embedding or rerank.  ``/health`` of vLLM is no sign: it answers 200 while the engine
hangs, and the socket is there before the model is loaded.

``wait`` asks until there is an answer, then once more for longer work, so that the first
client does not pay for what is made on first use.  Exit code 1 when there is none in time, or
when the process has ended that was to give it: systemd itself waits for this program first.

``watch`` ends with 3 when nothing came of the engine for ``--stall`` seconds.  What comes of
it are figures in ``/metrics`` that the engine sends to the server (``SIGNS``), whatever they
are as long as one moves; of an engine that has nothing to do, the answer to one token's work.
Seconds in which this program itself did not run do not count: a host that stood still has no
hung engine.

What the model says is not trusted: it is read in bounded pieces.  Standard library only.
"""

import argparse
import http.client
import json
import math
import os
import re
import select
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

HUNG = 3
INTERVAL = 2.0  # seconds between two looks, or less where they are to tell within few
MOST = 4 * 1024 * 1024  # bytes of an answer
# What a model is asked, and where.  Hosts have no code of ours: a test holds this to model/serving/tasks.py.
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Are you there?"}], "max_tokens": 1},
    ),
    "embedding": ("/v1/embeddings", {"input": "Are you there?"}),
    "rerank": ("/v1/rerank", {"query": "Are you there?", "documents": ["I am."]}),
}
# Set by what the engine sends back, and by nothing that a client alone can cause (vllm/v1/metrics/loggers.py, 0.32.0).
# A long prompt moves the use of the KV cache with each of its pieces, long before its first token.
SIGNS = re.compile(
    rb"^vllm:(?:num_requests_running|num_requests_waiting|kv_cache_usage_perc|prefix_cache_queries_total|"
    rb"num_preemptions_total|prompt_tokens_total|generation_tokens_total|iteration_tokens_total_count|"
    rb"request_success_total)\{.*$",
    re.MULTILINE,
)
REQUESTS = re.compile(rb"^vllm:num_requests_(?:running|waiting)\{[^\n]*\} ([0-9.e+]+)$", re.MULTILINE)


class Unanswered(Exception):
    """Why there is no answer yet."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket file instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@dataclass(frozen=True)
class Model:
    """A model behind a socket."""

    path: str
    name: str
    task: str


class Question:
    """One request for an answer, on its way.  Raises Unanswered; ``timeout`` is in seconds and for each read."""

    def __init__(self, model: Model, timeout: float, tokens: int = 1) -> None:
        self.model = model
        self.target, question = QUESTIONS[model.task]
        body = {"model": model.name, **question}
        if "max_tokens" in body:
            body.update(max_tokens=tokens, temperature=0)
        self._connection = UnixConnection(model.path, timeout)
        try:
            self._connection.request("POST", self.target, json.dumps(body), {"Content-Type": "application/json"})
        except (OSError, http.client.HTTPException) as error:
            self.drop()
            raise Unanswered(f"{model.path}: {error or type(error).__name__}") from error

    def arrives(self) -> bool:
        """Whether something has come back."""
        return bool(select.select([self._connection.sock], [], [], 0)[0])

    def drop(self) -> None:
        """Want no answer any more."""
        self._connection.close()

    def read(self) -> None:
        """Wait for the answer, which is one."""
        status, text = _read(self._connection, self.model.path)
        if status == http.client.SERVICE_UNAVAILABLE:
            raise Unanswered("the queue is full")
        if status != http.client.OK:
            raise Unanswered(f"{self.target} answers {status}: {_shown(text)}")
        if not _is_answer(self.model.task, text):
            raise Unanswered(f"{self.target} answers 200 without a result: {_shown(text)}")


def _read(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    try:
        answer = connection.getresponse()
        return answer.status, answer.read(MOST)
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(f"{path}: {error or type(error).__name__}") from error
    finally:
        connection.close()


def _shown(text: bytes) -> str:
    return ascii(text[:300].decode(errors="replace"))


def _is_answer(task: str, text: bytes) -> bool:
    try:
        answer = json.loads(text)
        if task == "chat":
            return bool(answer["choices"]) and int(answer["usage"]["completion_tokens"]) >= 1
        if task == "rerank":
            return math.isfinite(answer["results"][0]["relevance_score"])
        vector = answer["data"][0]["embedding"]
        return bool(vector) and all(math.isfinite(value) for value in vector) and any(vector)
    except (ValueError, LookupError, TypeError, RecursionError):
        return False


def wait(model: Model, seconds: float, process: int) -> None:
    """Ask until there is an answer, or ``process`` has ended.  Raises Unanswered with the last reason."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError as error:
        raise Unanswered("its process has ended") from error
    start = time.monotonic()
    while True:
        try:
            Question(model, timeout=60).read()
            break
        except Unanswered as error:
            if time.monotonic() - start > seconds:
                raise Unanswered(f"no answer within {seconds:.0f} s; last: {error}") from error
            if select.select([handle], [], [], 0.5)[0]:
                raise Unanswered(f"its process has ended; last: {error}") from error
    ready = time.monotonic() - start
    Question(model, timeout=60, tokens=16).read()
    print(f"{model.name} answers after {ready:.1f} s, warm after {time.monotonic() - start:.1f} s")


@dataclass(frozen=True)
class Figures:
    """What the server knows of its engine: ``signs`` as they are written, and how many requests it has."""

    signs: tuple[bytes, ...]
    requests: float

    @classmethod
    def of(cls, model: Model, timeout: float) -> "Figures":
        """As they are now.  Raises Unanswered."""
        connection = UnixConnection(model.path, timeout)
        try:
            connection.request("GET", "/metrics")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unanswered(f"{model.path}: {error or type(error).__name__}") from error
        status, text = _read(connection, model.path)
        if status != http.client.OK:
            raise Unanswered(f"/metrics answers {status}")
        return cls(tuple(SIGNS.findall(text)), sum(map(float, REQUESTS.findall(text))))


class Watch:
    """What is known of one engine from look to look; ``reason`` is why it counts as silent."""

    def __init__(self, model: Model, stall: float) -> None:
        self._model = model
        self._stall = stall
        self._interval = min(INTERVAL, stall / 6)
        self._last: Figures | None = None
        self._question: Question | None = None
        self.silent = 0.0
        self.reason = ""

    def look(self) -> None:
        """Look once, until it is time to look again; ``silent`` is then how long nothing came."""
        begin = time.monotonic()
        alive = self._moved() or self._answered()
        time.sleep(max(0.0, begin + self._interval - time.monotonic()))
        self.silent = 0.0 if alive else self.silent + min(time.monotonic() - begin, 2 * self._interval)

    def _moved(self) -> bool:
        try:
            figures = Figures.of(self._model, self._interval)
        except Unanswered as error:
            self._last, self.reason = None, str(error)
            return False
        moved = self._last is not None and figures.signs != self._last.signs
        self._last = figures
        self.reason = f"{figures.requests:.0f} requests run or wait, but no figure of the engine moves"
        return moved

    def _answered(self) -> bool:
        """Whether a question has been answered; one is asked when an engine without work was silent for a while."""
        idle = self._last is None or not self._last.requests
        try:
            if self._question is None and idle and self.silent >= self._stall / 3:
                self._question = Question(self._model, self._interval)
            if self._question is None:
                return False
            if not self._question.arrives():
                self.reason = "it has nothing to do, but a request is not answered"
                return False
            question, self._question = self._question, None
            question.read()
        except Unanswered as error:
            self.reason = str(error)
            return False
        return True


def watch(model: Model, stall: float) -> None:
    """Look until the engine hangs; raises Unanswered then."""
    watching = Watch(model, stall)
    while watching.silent < stall:
        watching.look()
    raise Unanswered(f"{watching.reason}; for {watching.silent:.0f} s nothing has come")


def main() -> int:
    """Exit code 0 when the model answers, 1 when not, 3 when it hangs."""
    parser = argparse.ArgumentParser(prog="probe.py")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, limit in (("wait", "--seconds"), ("watch", "--stall")):
        command = verbs.add_parser(verb)
        command.add_argument("socket")
        command.add_argument("model")
        command.add_argument("task", choices=sorted(QUESTIONS))
        command.add_argument(limit, type=float, required=True, dest="limit", metavar="SECONDS")
        if verb == "wait":
            command.add_argument("--process", type=int, required=True, metavar="PID")
    given = parser.parse_args()
    model = Model(given.socket, given.model, given.task)
    try:
        if given.verb == "wait":
            wait(model, given.limit, given.process)
        else:
            watch(model, given.limit)
    except Unanswered as error:
        print(f"{model.name} does not answer: {error}", file=sys.stderr)
        return 1 if given.verb == "wait" else HUNG
    return 0


if __name__ == "__main__":
    sys.exit(main())
