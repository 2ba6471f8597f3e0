"""The bundle's image run as on an inference host: read-only, not root, nothing but loopback, a Unix socket.

A container engine is what sites use; here its part is played by unshare, chroot and
setpriv, so that the image is seen to work on machines where no engine does.
"""

import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.model.serving.adapters import ADAPTERS
from appliance.model.serving.speculation import DRAFT
from tests.support.processes import below, wait_for

MODEL = "/srv/model"
SOCKET = "/run/vllm/api.sock"
_START = 240.0  # seconds; 30 on an idle machine with two cores
_STOP = 60.0

_NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
# Mounts, processes and network are the command's own and end with it.
_ENTER = """
set -eu
ip link set lo up
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro,nosuid,nodev "$ROOT"
mount -t proc proc "$ROOT/proc"
mount -t sysfs -o ro sysfs "$ROOT/sys"
mount -t tmpfs -o mode=0755 tmpfs "$ROOT/dev"
for name in null zero full random urandom; do
    : >"$ROOT/dev/$name"
    mount --bind "/dev/$name" "$ROOT/dev/$name"
done
ln -s /proc/self/fd "$ROOT/dev/fd"
mkdir "$ROOT/dev/shm"
mount -t tmpfs -o mode=1777,noexec,nosuid,nodev tmpfs "$ROOT/dev/shm"
mount -t tmpfs -o mode=1777,noexec,nosuid,nodev tmpfs "$ROOT/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$ROOT/run"
mkdir "$ROOT/run/vllm"
mount --bind "$RUN" "$ROOT/run/vllm"
mount -t tmpfs -o mode=0755 tmpfs "$ROOT/srv"
mkdir "$ROOT{model}"
mount --bind "$WEIGHTS" "$ROOT{model}"
mount -o remount,bind,ro,nosuid,nodev,noexec "$ROOT{model}"
if [ -n "$DRAFT_WEIGHTS" ]; then
    mkdir "$ROOT{draft}"
    mount --bind "$DRAFT_WEIGHTS" "$ROOT{draft}"
    mount -o remount,bind,ro,nosuid,nodev,noexec "$ROOT{draft}"
fi
if [ -n "$ADAPTERS" ]; then
    mkdir "$ROOT{adapters}"
    mount --bind "$ADAPTERS" "$ROOT{adapters}"
    mount -o remount,bind,ro,nosuid,nodev,noexec "$ROOT{adapters}"
fi
mount -t tmpfs -o "mode=0700,uid=$USER_ID,gid=$GROUP_ID" tmpfs "$ROOT$FOLDER"
exec chroot "$ROOT" sh -euc 'cd "$1"; shift; exec "$@"' sh "$FOLDER" env --ignore-environment {environment} \\
    setpriv --reuid "$USER_ID" --regid "$GROUP_ID" --clear-groups --no-new-privs --bounding-set=-all {command}
"""


@dataclass(frozen=True)
class Image:
    """An image's files below ``root``, and what its configuration tells a runtime."""

    root: Path
    config: Mapping[str, Any]

    @classmethod
    def unpack(cls, layout: Path, name: str, root: Path) -> "Image":
        """Unpack the image ``name`` of an OCI layout into ``root``, which is made."""

        def blob(descriptor: Mapping[str, Any]) -> Path:
            return layout / "blobs" / str(descriptor["digest"]).replace(":", "/")

        index = json.loads((layout / "index.json").read_bytes())
        (entry,) = (
            entry for entry in index["manifests"] if entry["annotations"]["org.opencontainers.image.ref.name"] == name
        )
        manifest = json.loads(blob(entry).read_bytes())
        root.mkdir()
        root.chmod(0o755)  # a model is not served as the user who unpacks
        for layer in manifest["layers"]:
            subprocess.run(
                ["tar", "--extract", "--numeric-owner", "--directory", root, "--file", blob(layer)], check=True
            )
        return cls(root, json.loads(blob(manifest["config"]).read_bytes())["config"])


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    def events(self) -> list[str]:
        """The body, read as server-sent events."""
        return [line.removeprefix("data: ") for line in self.body.decode().splitlines() if line]


class Server:
    """One running vLLM; its socket and log lie in ``folder``."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self._folder = folder
        self._process = process

    def post(self, path: str, body: object) -> Answer:
        """Ask over the Unix socket."""
        return self._ask("POST", path, json.dumps(body))

    def metrics(self) -> dict[str, float]:
        """What it counts, by the names of its series without labels: the sum of each."""
        found: dict[str, float] = {}
        for line in self._ask("GET", "/metrics", None).body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.split("{")[0].split(" ")[0], float(line.rpartition(" ")[2])
                found[name] = found.get(name, 0.0) + value
        return found

    def _ask(self, method: str, path: str, body: str | None) -> Answer:
        with self.socket() as address, closing(_UnixConnection(address)) as connection:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())

    @contextmanager
    def socket(self) -> Iterator[str]:
        """Its address, for any process: one holds 108 bytes, and a test's folder may be longer."""
        folder = os.open(self._folder / "run", os.O_PATH | os.O_DIRECTORY)
        try:
            yield f"/proc/{os.getpid()}/fd/{folder}/{Path(SOCKET).name}"
        finally:
            os.close(folder)

    def wait(self, path: str, body: object) -> None:
        """Return as soon as a real request succeeds: the socket is there long before the model."""

        def ready() -> bool:
            assert self._process.poll() is None, f"vLLM has ended:\n{self.log()}"
            try:
                return self.post(path, body).status == 200
            except OSError:
                return False

        wait_for(ready, _START, pause=0.2)

    def log(self) -> str:
        """The end of what it said."""
        return "\n".join((self._folder / "log").read_text(errors="replace").splitlines()[-100:])


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, address: str) -> None:
        super().__init__("model", timeout=120)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address)


@contextmanager
def serving(
    image: Image,
    weights: Path,
    arguments: Sequence[str],
    folder: Path,
    *,
    draft: Path | None = None,
    adapters: Path | None = None,
) -> Iterator[Server]:
    """Run the image's entry point with the profile's ``arguments`` until the context ends.

    ``draft`` is the directory of weights that guess what ``weights`` say next, ``adapters`` has one of each
    adapter's name.
    """
    (folder / "run").mkdir(parents=True)
    command = [*image.config["Entrypoint"], "--model", MODEL, "--uds", SOCKET, *arguments]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*_NAMESPACES, *("sh", "-c", _script(image, command))],
            env=_variables(image, weights, folder, draft, adapters),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Server(folder, process)
        finally:
            _stop(process)


def run_in(image: Image, files: Path, command: Sequence[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command as a model's container would, with ``files`` in the place of its weights; waits for it."""
    (folder / "run").mkdir(parents=True)
    return subprocess.run(
        [*_NAMESPACES, "sh", "-c", _script(image, command)],
        env=_variables(image, files, folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _script(image: Image, command: Sequence[str]) -> str:
    environment = shlex.join(image.config["Env"])
    return _ENTER.format(
        model=MODEL, draft=DRAFT, adapters=ADAPTERS, environment=environment, command=shlex.join(command)
    )


def _variables(
    image: Image, weights: Path, folder: Path, draft: Path | None = None, adapters: Path | None = None
) -> dict[str, str]:
    """For the script; the directory of the socket becomes the user's."""
    user, group = str(image.config["User"]).split(":")
    os.chown(folder / "run", int(user), int(group))
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "ROOT": str(image.root),
        "RUN": str(folder / "run"),
        "WEIGHTS": str(weights),
        "DRAFT_WEIGHTS": str(draft or ""),
        "ADAPTERS": str(adapters or ""),
        "FOLDER": str(image.config["WorkingDir"]),
        "USER_ID": user,
        "GROUP_ID": group,
    }


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End vLLM as an engine does: politely, then with its whole namespace."""
    for child in below(process.pid)[:1]:
        os.kill(child.number, signal.SIGTERM)
    try:
        process.wait(timeout=_STOP)
    except subprocess.TimeoutExpired:
        # Whoever changes its user no longer ends with who started it.
        for child in below(process.pid)[:1]:
            os.kill(child.number, signal.SIGKILL)
        process.wait()
