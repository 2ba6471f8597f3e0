"""One vLLM on a Unix socket, started and ended here; its log lies beside the socket."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_END = 60.0  # seconds
_PAUSE = 0.5
_SHOWN = 25  # lines of a log
# Of the unit in ansible/appliance_site/roles/vllm/templates/vllm.container.j2.  All starts of a run share the caches.
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_PLUGINS": "",
    "VLLM_HOST_IP": "127.0.0.1",
    "FLASHINFER_DISABLE_JIT": "1",
    "PYTHONUNBUFFERED": "1",
}
_CACHES = ("HOME", "XDG_CACHE_HOME", "VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


class EngineEnded(Exception):
    """vLLM ended, or was not ready in time; says the end of its log."""


@dataclass(frozen=True)
class Engine:
    """A vLLM that has answered.  ``seconds`` is how long that took."""

    folder: Path
    seconds: float

    def log(self) -> str:
        """All that it has written so far."""
        return (self.folder / "log").read_text(errors="replace")

    def ask(self, body: object) -> http.client.HTTPResponse:
        """The answer of ``/v1/completions``; the caller reads and closes it."""
        return _ask(self.folder, body)


@contextmanager
def running(folder: Path, model: Path, words: Sequence[str], ready: Any, seconds: float) -> Iterator[Engine]:
    """vLLM with ``words`` until the context ends; ``ready`` is a request that it has to answer first.

    Raises EngineEnded.
    """
    folder.mkdir(parents=True)
    socket_path = folder / "s"
    argv = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(model),
        "--uds",
        str(socket_path),
    ]
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*argv, *words],
            env={**os.environ, **_ENVIRONMENT, **dict.fromkeys(_CACHES, str(folder.parent / "cache"))},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(folder, process, ready, began + seconds)
            yield Engine(folder, time.monotonic() - began)
        finally:
            _end(process)


def _wait(folder: Path, process: "subprocess.Popen[bytes]", ready: Any, until: float) -> None:
    while time.monotonic() < until:
        if (code := process.poll()) is not None:
            raise EngineEnded(f"vLLM has ended with {code}:\n{_tail(folder)}")
        try:
            with _ask(folder, ready) as answer:
                answer.read()
                if answer.status == 200:
                    return
        except OSError:
            pass  # the socket is not there yet, or nobody listens
        time.sleep(_PAUSE)
    raise EngineEnded(f"vLLM was not ready in time:\n{_tail(folder)}")


def _tail(folder: Path) -> str:
    return "\n".join((folder / "log").read_text(errors="replace").splitlines()[-_SHOWN:])


def _ask(folder: Path, body: object) -> http.client.HTTPResponse:
    connection = _Connection(str(folder / "s"))
    connection.request(
        "POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json", "Connection": "close"}
    )
    return connection.getresponse()


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("model", timeout=600)
        self._path = path

    def connect(self) -> None:
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(self.timeout)
        try:
            link.connect(self._path)
        except OSError:
            link.close()
            raise
        self.sock = link


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Politely, then with all that it has started: its session is its own."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_END)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
