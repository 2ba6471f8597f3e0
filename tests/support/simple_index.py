"""A package index on loopback that speaks PEP 503 (HTML) or PEP 691 (JSON).

It serves the files of a directory as they are now, so a test changes, adds and removes
them between two requests, and it remembers what it was asked for.
"""

import hashlib
import html
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

from packaging.utils import canonicalize_name


class SimpleIndex:
    """The directory ``folder``, served at ``url``."""

    def __init__(self, folder: Path, *, json_form: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.json_form = json_form
        self.asked: list[str] = []
        self.yanked: dict[str, str] = {}  # reasons by file name
        self.provenance: dict[str, bytes] = {}  # what PEP 740 calls a provenance object, by file name
        self.origin = ""

    @property
    def url(self) -> str:
        return f"{self.origin}/simple"

    def asked_for(self, package: str) -> bool:
        """Whether somebody has looked for a package or one of its files."""
        return any(canonicalize_name(path.split("/")[2].split("-")[0]) == package for path in self.asked)

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Content type and body, or None when there is no such thing."""
        place, _, name = unquote(path).removeprefix("/").partition("/")
        if place == "files" and (self.folder / name).is_file():
            return "application/octet-stream", (self.folder / name).read_bytes()
        if place == "integrity" and name.removesuffix("/provenance") in self.provenance:
            return "application/vnd.pypi.integrity.v1+json", self.provenance[name.removesuffix("/provenance")]
        if place != "simple":
            return None
        files = [file for file in sorted(self.folder.iterdir()) if _package(file) == name.rstrip("/")]
        return self._page(name.rstrip("/"), files) if files else None

    def _page(self, package: str, files: list[Path]) -> tuple[str, bytes]:
        entries = [(file.name, f"{self.origin}/files/{quote(file.name)}", _sha256(file), file) for file in files]
        if self.json_form:
            listed = [
                {"filename": name, "url": url, "hashes": {"sha256": digest}, "size": file.stat().st_size}
                | ({"yanked": self.yanked[name] or True} if name in self.yanked else {})
                | {"provenance": self._address(name) if name in self.provenance else None}
                for name, url, digest, file in entries
            ]
            page = {"meta": {"api-version": "1.1"}, "name": package, "versions": [], "files": listed}
            return "application/vnd.pypi.simple.v1+json", json.dumps(page).encode()
        links = "".join(
            f'<a href="{url}#sha256={digest}"{self._yanked(name)}{self._attested(name)}>{name}</a>\n'
            for name, url, digest, _ in entries
        )
        return "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode()

    def _address(self, name: str) -> str:
        return f"{self.origin}/integrity/{quote(name)}/provenance"

    def _attested(self, name: str) -> str:
        return f' data-provenance="{self._address(name)}"' if name in self.provenance else ""

    def _yanked(self, name: str) -> str:
        return f' data-yanked="{html.escape(self.yanked[name])}"' if name in self.yanked else ""


def _package(file: Path) -> str:
    stem = file.name.removesuffix(".tar.gz")
    return canonicalize_name(stem.rpartition("-")[0] if stem != file.name else stem.split("-")[0])


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@contextmanager
def serving(index: SimpleIndex) -> Iterator[SimpleIndex]:
    """Serve ``index`` until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(with_body=True)

        def do_HEAD(self) -> None:
            self._send(with_body=False)

        def _send(self, *, with_body: bool) -> None:
            index.asked.append(self.path)
            answer = index.answer(self.path)
            kind, body = answer or ("text/plain", b"not here\n")
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    index.origin = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
