"""A stand-in for vLLM behind a Unix socket: it keeps what reaches it, and streams when it is told to.

It takes the part of the model where a test is about what comes before the model.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.support.unix_server import served


@dataclass(frozen=True)
class Arrived:
    """One request as it came: the target unchanged, header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeModel:
    """What arrived, and what is answered; a streamed answer goes on until ``go_on`` is set.

    A model that ``hangs_up`` closes instead of answering; one that ``hangs`` answers when ``go_on`` is set; one that is
    not ``healthy`` says so at /health.  ``cut`` counts streams whose reader has gone; ``metrics`` gives what is read at
    /metrics.
    """

    arrived: list[Arrived] = field(default_factory=list)
    hangs_up: bool = False
    hangs: bool = False
    status: int = 200
    answer: bytes = b'{"answer":"secret answer"}'
    cut: int = 0
    healthy: bool = True
    before_answer: Callable[[], None] | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    metrics: Callable[[], str] = str


@contextmanager
def fake_model(folder: Path) -> Iterator[FakeModel]:
    """Serve ``folder/api.sock``, for everybody who can reach it."""
    model = FakeModel()
    with served(folder, _handler(model)):
        try:
            yield model
        finally:
            model.go_on.set()


def _handler(model: FakeModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            model.arrived.append(Arrived(self.command, self.path, headers, body))
            if model.hangs_up:
                return
            if model.hangs:
                model.go_on.wait(60)
            if model.before_answer:
                model.before_answer()
            self.send_response(model.status)
            # What a model that was taken over would try.
            self.send_header("X-Accel-Redirect", "/upstream/other/v1/completions")
            self.send_header("X-Request-Id", "of the model")
            self.send_header("Content-Type", "text/event-stream" if body.get("stream") else "application/json")
            self.end_headers()
            if body.get("stream"):
                try:
                    self.wfile.write(b"data: first\n\n")
                    while not model.go_on.wait(0.05):
                        self.wfile.write(b"data: more\n\n")
                    self.wfile.write(b"data: [DONE]\n\n")
                except (BrokenPipeError, ConnectionResetError):  # whoever asked has gone
                    model.cut += 1
            else:
                with contextlib.suppress(BrokenPipeError):
                    self.wfile.write(model.answer)

        def do_GET(self) -> None:
            text = model.metrics().encode()
            self.send_response(200 if model.healthy else 503)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # whoever asked has gone
                self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "gateway"

    return Handler
