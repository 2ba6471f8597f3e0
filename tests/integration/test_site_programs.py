"""The program that fetches weights from a depot, and checks them before each start."""

import hashlib
import http.server
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.registry_tls import make_identity
from tests.support.role_files import role_file

pytestmark = pytest.mark.integration

FILES = {"config.json": b"{}", "a b/model-1.safetensors": bytes(3_000_000), "empty": b""}


def listed(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    path = folder / "list"
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in (files or FILES).items()]
    path.write_text("".join(lines))
    return path


def program(name: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run as hosts do: without the environment's Python paths."""
    return subprocess.run(
        [sys.executable, "-I", str(role_file("vllm", name)), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A directory that holds what is listed."""
    for name, data in FILES.items():
        path = tmp_path / "weights of it" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "weights of it"


def test_weights_as_listed_pass(tmp_path: Path, weights: Path) -> None:
    assert program("weights.py", "check", listed(tmp_path), weights).returncode == 0


def _flip(folder: Path) -> None:
    data = bytearray((folder / "a b/model-1.safetensors").read_bytes())
    data[1_500_000] ^= 1
    (folder / "a b/model-1.safetensors").write_bytes(data)


def _link(folder: Path) -> None:
    (folder / "config.json").rename(folder.parent / "elsewhere")
    (folder / "config.json").symlink_to(folder.parent / "elsewhere")


def _fifo(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_flip, "a b/model-1.safetensors: has the SHA-256"),
        (lambda folder: (folder / "config.json").unlink(), "config.json: is missing"),
        (lambda folder: (folder / "a b/code.py").touch(), "a b/code.py: does not belong there"),
        (lambda folder: (folder / "more").symlink_to("a b"), "more: is a link"),
        (_link, "config.json: is missing"),
        (_fifo, "config.json: is missing"),
    ],
)
def test_weights_that_were_changed_are_told(
    tmp_path: Path, weights: Path, change: Callable[[Path], None], said: str
) -> None:
    change(weights)
    done = program("weights.py", "check", listed(tmp_path), weights)
    assert done.returncode == 1
    assert said in done.stderr
    assert f"remove {weights} and run the playbook" in done.stderr


@dataclass
class Depot:
    """A depot for the length of a test; ``asked`` are paths with their ranges."""

    url: str
    folder: Path
    authority: Path
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    cut_after: int | None = None

    def fetch(self, target: Path, wanted: Path | None = None) -> "subprocess.CompletedProcess[str]":
        identity = self.authority.parent
        options = [
            f"--ca={self.authority}",
            f"--certificate={identity / 'server.pem'}",
            f"--key={identity / 'server.key'}",
        ]
        return program("weights.py", "fetch", wanted or listed(self.folder), target, self.url, *options)


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[Depot]:
    """Serves FILES over TLS to those who show a certificate, in parts when asked, and breaks off when told to."""
    identity = make_identity(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    context.load_verify_locations(identity.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    served = Depot(f"https://127.0.0.1:{server.server_port}/of%20a%20bundle", tmp_path, identity.authority)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/of%20a%20bundle/").replace("%20", " ")
            asked = self.headers["Range"]
            served.asked.append((name, asked))
            data = FILES[name]
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            stop = len(data)
            if served.cut_after is not None and len(data) > served.cut_after:
                stop, served.cut_after = served.cut_after, None
            self.wfile.write(data[start:stop])

        def log_message(self, *_: object) -> None:
            pass

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_weights_appear_whole_and_are_fetched_once(tmp_path: Path, depot: Depot) -> None:
    target = tmp_path / "models" / "tiny"
    done = depot.fetch(target)
    assert done.returncode == 0, done.stderr
    assert {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()} == FILES
    assert program("weights.py", "check", listed(tmp_path), target).returncode == 0
    count = len(depot.asked)
    assert depot.fetch(target).returncode == 0
    assert len(depot.asked) == count


def test_a_transfer_that_breaks_off_goes_on_where_it_ended(tmp_path: Path, depot: Depot) -> None:
    depot.cut_after = 2_000_000
    done = depot.fetch(tmp_path / "tiny")
    assert done.returncode == 0, done.stderr
    name = "a b/model-1.safetensors"
    ranges = [asked for wanted, asked in depot.asked if wanted == name]
    assert ranges == [None, "bytes=2000000-"]


def test_other_bytes_than_the_bundles_are_not_kept(
    tmp_path: Path, depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = listed(tmp_path)
    monkeypatch.setitem(FILES, "config.json", b"[]")
    done = depot.fetch(tmp_path / "tiny", wanted)
    assert done.returncode == 1
    assert "config.json has the SHA-256" in done.stderr
    assert not (tmp_path / "tiny").exists()
    assert not list(tmp_path.glob(".tiny.fetching/*config.json*"))


def test_a_depot_of_another_authority_is_not_asked(tmp_path: Path, depot: Depot) -> None:
    (tmp_path / "other").mkdir()
    stranger = make_identity(tmp_path / "other")
    depot.authority.write_bytes(stranger.authority.read_bytes())
    done = depot.fetch(tmp_path / "tiny")
    assert done.returncode == 1
    assert "certificate verify failed" in done.stderr
    assert depot.asked == []
