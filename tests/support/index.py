"""A Python package index and the wheels on it, served on loopback over plain HTTP."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def wheel(members: Mapping[str | zipfile.ZipInfo, bytes], *, packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A wheel of these members, which nobody needs to be able to install."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


class Index:
    """Use it as a context.  ``files`` are answered by path; ``asked`` logs the requests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_port}/simple"

    def __enter__(self) -> "Index":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, distribution: str, filename: str, data: bytes, *, sha256: str | None = None, tag: str = "") -> None:
        """Put a file on the page of ``distribution``, as ``tag`` attributes say."""
        digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
        fragment = f"#sha256={digest}" if digest else ""
        page = f"/simple/{distribution}/"
        line = f'<a href="/files/{filename}{fragment}" {tag}>{filename}</a>\n'
        self.files[page] = self.files.get(page, b"<!DOCTYPE html>\n") + line.encode()
        self.files[f"/files/{filename}"] = data


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, index: Index) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.index = index


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        data = self.server.index.files.get(self.path)
        self.server.index.asked.append(f"{self.command} {self.path}")
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data or b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """The index keeps its own log."""
