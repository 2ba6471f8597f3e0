"""A model's side that keeps every byte: what a gateway sends, read as strictly as it can be."""

import re
import socketserver
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.unix_server import served

# What the gateway's configuration sends, and nothing else.
_HEAD = re.compile(
    rb"POST (?P<path>/v1/[a-z/]+) HTTP/1\.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    rb"X-Request-Id: (?P<id>[0-9a-f]{32})\r\nContent-Length: (?P<length>[0-9]+)\r\n\r\n"
)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


@dataclass(frozen=True)
class Received:
    """One request; ``id`` is the gateway's."""

    id: str
    path: str
    body: bytes


@dataclass
class RecordingModel:
    """What came, and the beginning of what was none of the gateway's requests."""

    received: list[Received] = field(default_factory=list)
    strange: list[bytes] = field(default_factory=list)


@contextmanager
def recording_model(folder: Path, seconds: float = 0.0, body: bytes = b"{}") -> Iterator[RecordingModel]:
    """Serve ``folder/api.sock``, each request for so long and with this body; connections stay open, as vLLM's do."""
    model = RecordingModel()
    with served(folder, _handler(model, seconds, _ANSWER % (len(body), body))):
        yield model


def _handler(model: RecordingModel, seconds: float, answer: bytes) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self._head():
                match = _HEAD.fullmatch(head)
                if match is None:
                    model.strange.append(head)
                    return
                body = self.rfile.read(int(match["length"]))
                model.received.append(Received(match["id"].decode(), match["path"].decode(), body))
                time.sleep(seconds)
                self.wfile.write(answer)

        def _head(self) -> bytes:
            lines = []
            while line := self.rfile.readline(8192):
                lines.append(line)
                if line in (b"\r\n", b"\n") or len(lines) > 20:
                    break
            return b"".join(lines)

    return Handler
