"""``python -m tests.bench.gateway``: what the gateway costs beside the socket of a model, as one table.

The model is a stand-in: it answers at once, after as long as a small embedding takes, or with about
the bytes of 64 embeddings.  With a real model: docs/benchmarks.md.
"""

import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import machine
from tests.support.debian_root import debian_root
from tests.support.gateway import Gateway, make_gateway, running
from tests.support.processes import wait_for
from tests.support.recording_model import recording_model

_ASKING = Path(__file__).with_name("asking.py")
_FREE = {"gateway_requests_per_second": 1_000_000, "gateway_burst": 1_000_000, "gateway_concurrency": 10_000}
_MODEL = "mini-lm.v2"
# Seconds until each answers, and the body of its answer.
_MODELS = {"answers at once": (0.0, b"{}"), "takes 6 ms": (0.006, b"{}"), "answers with 512 KiB": (0.0, bytes(1 << 19))}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        gateway = make_gateway(folder, **_FREE)
        certificates = gateway.handed_out("bob")
        root = debian_root("trixie", "nginx", "libnginx-mod-http-js")
        sockets = folder / "run/appliance/vllm"
        with running(gateway, root):
            rows: list[str] = []
            gateway.ready(_MODEL)
            for model, (seconds, body) in _MODELS.items():
                with _model(sockets / _MODEL, seconds, body):
                    rows += as_rows(f"a model that {model}", _ask(gateway, certificates))
    print("\n".join([HEAD, *rows]))
    print(f"- load when it ended: {machine.load()}")


HEAD = """\
| what                              | connections | way         | p50 ms | p99 ms | requests/s | ratio |
| --------------------------------- | ----------: | ----------- | -----: | -----: | ---------: | ----: |"""


def as_rows(what: str, told: list[dict[str, Any]]) -> list[str]:
    """Lines of the table; the ratio is the rate to that of the socket."""
    sockets = {entry["connections"]: entry["rate"] for entry in told if entry["way"] == "socket"}
    return [
        f"| {what:33} | {entry['connections']:11} | {entry['way']:11} | {entry['p50']:6.2f} | {entry['p99']:6.2f} "
        f"| {entry['rate']:10.0f} | {entry['rate'] / sockets[entry['connections']]:5.2f} |"
        for entry in told
    ]


def _ask(gateway: Gateway, certificates: Path) -> Any:
    model = gateway.folder / "run/appliance/vllm" / _MODEL / "api.sock"
    argv = [sys.executable, str(_ASKING), str(model), _MODEL, str(certificates), f"gateway={gateway.socket}"]
    return json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)


@contextmanager
def _model(folder: Path, seconds: float, body: bytes) -> Iterator[None]:
    """The stand-in in a process of its own."""
    process = multiprocessing.Process(target=_serve, args=(folder, seconds, body))
    process.start()
    try:
        wait_for((folder / "api.sock").is_socket, 20)
        yield
    finally:
        process.kill()
        process.join()
        shutil.rmtree(folder)


def _serve(folder: Path, seconds: float, body: bytes) -> None:
    with recording_model(folder, seconds, body):
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
