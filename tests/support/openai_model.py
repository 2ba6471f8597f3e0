"""A model that speaks the OpenAI API as vLLM does, word by word, behind TLS with client certificates or a Unix socket.

It answers with as many tokens as are asked for, counts a token for each word and two for each
prompt, and refuses with 503 what is beyond its queue.
"""

import contextlib
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.project import REPOSITORY
from tests.support.site_certificates import SiteCertificates
from tests.support.unix_server import served

sys.path.insert(0, str(REPOSITORY / "ansible"))

from appliance_site.certificates import CLIENT, SERVER, Leaf

_PATHS = {
    "chat": ("/v1/chat/completions",),
    "embedding": ("/v1/embeddings",),
    "rerank": ("/v1/rerank", "/v2/rerank"),
}
_RESULTS: dict[str, dict[str, Any]] = {
    "embedding": {"data": [{"index": 0, "embedding": [0.5] * 8}]},
    "rerank": {"results": [{"index": 0, "document": {"text": "x"}, "relevance_score": 0.5}]},
}


@dataclass
class OpenAIModel:
    """How it answers, and what was asked.

    ``places`` is how many requests it takes at once; it answers only ``answers`` requests, and closes
    every connection from then on; a stream breaks after ``breaks_after`` parts.
    """

    name: str = "tiny-chat"
    task: str = "chat"
    seconds: float = 0.001  # to the first token, and between tokens
    places: int = 1_000
    answers: int = 1_000_000_000
    breaks_after: int = 1_000_000
    fails_in_stream: bool = False
    bodies: list[Any] = field(default_factory=list)
    largest: int = 0  # requests at once
    lock: threading.Lock = field(default_factory=threading.Lock)
    now: int = 0

    @property
    def prompts(self) -> list[str]:
        """Of all requests."""
        return [text for body in self.bodies for text in _texts(body)]


def _texts(body: Any) -> list[str]:
    if "documents" in body:
        return [f"{body['query']} {document}" for document in body["documents"]]
    return body["input"] if "input" in body else [message["content"] for message in body["messages"]]


@contextmanager
def behind_a_socket(folder: Path, model: OpenAIModel) -> Iterator[None]:
    """At ``folder/api.sock``, as vLLM listens."""
    with served(folder, _handler(model)):
        yield


@dataclass(frozen=True)
class Certificates:
    """Directories with client.pem, client.key and ca.pem: of a client, of one whom nobody knows, of another site."""

    client: Path
    stranger: Path
    other_site: Path


def certificates(folder: Path) -> tuple[Certificates, ssl.SSLContext]:
    """Of a site made for this, and the server's side of its TLS."""
    site, another = SiteCertificates(), SiteCertificates()
    for name, of, trusted in (("client", site, site), ("stranger", another, site), ("other", site, another)):
        (folder / name).mkdir(parents=True)
        of.install(of.issue(Leaf("alice", "client", CLIENT)), "client", folder / name)
        (folder / name / "ca.pem").write_bytes(trusted.authorities)
    site.install(site.issue(Leaf("gateway", "host", SERVER, ("localhost",))), "server", folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.load_verify_locations(folder / "client/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return Certificates(folder / "client", folder / "stranger", folder / "other"), context


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Certificates that are refused are what a test is about."""


@contextmanager
def behind_tls(model: OpenAIModel, context: ssl.SSLContext) -> Iterator[str]:
    """Its address; the handshake is each connection's own affair, so that one does not hold up others."""
    with _Server(("localhost", 0), _handler(model, context)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://localhost:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _handler(model: OpenAIModel, context: ssl.SSLContext | None = None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            if context:
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self._json(200, {"object": "list", "data": [{"id": model.name, "object": "model"}]})
            else:
                self._error(404, "no such path")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with model.lock:
                model.bodies.append(body)
                dead = len(model.bodies) > model.answers
                model.now += 1
                model.largest = max(model.largest, model.now)
                full = model.now > model.places
            try:
                if dead:
                    self.close_connection = True
                elif full:
                    self._error(503, "the model's queue is full", ("Retry-After", "0"))
                else:
                    self._answer(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                with model.lock:
                    model.now -= 1

        def _answer(self, body: Any) -> None:
            if self.path not in _PATHS[model.task]:
                self._error(404, "model: not served here, or not on this path")
                return
            tokens_in = sum(len(text.split()) + 2 for text in _texts(body))
            if model.task != "chat":
                time.sleep(model.seconds)
                usage = {"prompt_tokens": tokens_in, "total_tokens": tokens_in}
                self._json(200, {**_RESULTS[model.task], "usage": usage})
                return
            usage = {"prompt_tokens": tokens_in, "completion_tokens": body["max_tokens"]}
            if not body.get("stream"):
                time.sleep(model.seconds * body["max_tokens"])
                self._json(200, {"choices": [{"message": {"content": "word"}}], "usage": usage})
                return
            self._stream(body["max_tokens"], usage)

        def _stream(self, tokens: int, usage: dict[str, int]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(tokens):
                time.sleep(model.seconds)
                if number == 0:
                    self._event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
                if number == model.breaks_after:
                    self.close_connection = True
                    return
                if model.fails_in_stream:
                    self._event({"error": {"message": "the engine failed", "code": 500}})
                    break
                self._event({"choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]})
            self._event({"choices": [], "usage": usage})
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")

        def _event(self, document: Any) -> None:
            self._chunk(b"data: " + json.dumps(document).encode() + b"\n\n")

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        def _error(self, status: int, message: str, *headers: tuple[str, str]) -> None:
            self._json(status, {"error": {"message": message, "type": "gateway", "code": str(status)}}, *headers)

        def _json(self, status: int, document: Any, *headers: tuple[str, str]) -> None:
            data = json.dumps(document).encode()
            self.send_response(status)
            for name, value in (("Content-Length", str(len(data))), *headers):
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "gateway"

    return Handler
