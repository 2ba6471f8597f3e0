"""Takes vLLM's place in an image: heeds ``--uds``, and answers every chat with what the model's config.json says."""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

_CONFIGURATION = Path("/srv/model/config.json")


class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """What watches an engine looks for figures; without any, it asks for something real."""
        self._send(b"", "text/plain")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(*(self._stream(asked) if asked.get("stream") else self._answer(asked)))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if self.command != "GET":
            super().log_request(code, size)

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "gateway"  # a Unix socket has no address

    def _answer(self, asked: dict[str, object]) -> tuple[bytes, str]:
        return _chat(asked, "message").encode(), "application/json"

    def _stream(self, asked: dict[str, object]) -> tuple[bytes, str]:
        return f"data: {_chat(asked, 'delta')}\n\ndata: [DONE]\n\n".encode(), "text/event-stream"


def _chat(asked: dict[str, object], part: str) -> str:
    says = json.loads(_CONFIGURATION.read_text())["says"]
    choice = {"index": 0, part: {"role": "assistant", "content": says}, "finish_reason": "stop"}
    answer = {"id": "1", "object": "chat", "created": 0, "model": asked["model"], "choices": [choice]}
    return json.dumps(answer | {"usage": {"completion_tokens": 1}})


if __name__ == "__main__":
    # The first process of a container hears no signal that it does not ask for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container has to say so
    Server(sys.argv[sys.argv.index("--uds") + 1], Handler).serve_forever()
