"""Ask a model something real through its socket, and say whether it answered.

    probe.py SOCKET MODEL TASK [--wait SECONDS] [--timeout SECONDS]

TASK is chat or embedding.  ``/health`` of vLLM is no sign: it answers 200 while the engine
hangs, and the socket is there before the model is loaded.  With ``--wait`` it asks until
there is an answer, then once more for longer work, so that the first client does not pay
for what is made on first use.  Without it, status 503 (the queue is full) counts as alive.

Runs on the host and, for the container's own health check, in the image: standard library
of Python 3.9 only.
"""

from __future__ import annotations  # an image may have a Python as old as 3.9

import argparse
import http.client
import json
import math
import socket
import sys
import time
from typing import Any


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


def ask(path: str, model: str, task: str, timeout: float, tokens: int = 1) -> str | None:
    """One request; None when it was answered, "busy" when the queue is full.

    Raises Unanswered.  ``timeout`` is in seconds and for each read.
    """
    body: dict[str, Any] = {"model": model}
    if task == "chat":
        target = "/v1/chat/completions"
        body.update(messages=[{"role": "user", "content": "Are you there?"}], max_tokens=tokens, temperature=0)
    else:
        target = "/v1/embeddings"
        body.update(input="Are you there?")
    connection = UnixConnection(path, timeout)
    try:
        connection.request("POST", target, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(f"{path}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if answer.status == http.client.SERVICE_UNAVAILABLE:
        return "busy"
    if answer.status != http.client.OK:
        raise Unanswered(f"{target} answers {answer.status}: {text[:300].decode(errors='replace')}")
    if not _is_answer(task, text):
        raise Unanswered(f"{target} answers 200 without a result: {text[:300].decode(errors='replace')}")
    return None


def _is_answer(task: str, text: bytes) -> bool:
    try:
        answer = json.loads(text)
        if task == "chat":
            return bool(answer["choices"]) and int(answer["usage"]["completion_tokens"]) >= 1
        vector = answer["data"][0]["embedding"]
        return bool(vector) and all(math.isfinite(value) for value in vector) and any(vector)
    except (ValueError, LookupError, TypeError):
        return False


def wait(path: str, model: str, task: str, seconds: float, timeout: float) -> None:
    """Ask until there is an answer.  Raises Unanswered with the last reason."""
    start = time.monotonic()
    while True:
        try:
            if ask(path, model, task, timeout) is None:
                break
            reason = "the queue is full"
        except Unanswered as error:
            reason = str(error)
        if time.monotonic() - start > seconds:
            raise Unanswered(f"no answer within {seconds:.0f} s; last: {reason}")
        time.sleep(0.5)
    ready = time.monotonic() - start
    ask(path, model, task, timeout, tokens=16)
    print(f"{model} answers after {ready:.1f} s, warm after {time.monotonic() - start:.1f} s")


def main() -> int:
    """Exit code 0 when the model answers, 1 when not."""
    parser = argparse.ArgumentParser(prog="probe.py")
    parser.add_argument("socket")
    parser.add_argument("model")
    parser.add_argument("task", choices=["chat", "embedding"])
    parser.add_argument("--wait", type=float, metavar="SECONDS")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", default=60)
    given = parser.parse_args()
    try:
        if given.wait is None:
            ask(given.socket, given.model, given.task, given.timeout)
        else:
            wait(given.socket, given.model, given.task, given.wait, given.timeout)
    except Unanswered as error:
        print(f"{given.model} does not answer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
