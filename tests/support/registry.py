"""CNCF Distribution for tests: Debian's docker-registry with TLS on 127.0.0.1.

The program is the real one, the certificate is of an authority made for the test, the
port is the kernel's choice.  What the registry was asked stands in its access log, and
its blobs lie open on the disk, so a test can count requests and damage bytes.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.registry_tls import Identity, make_identity

USER, PASSWORD = "builder", "correct horse"
# bcrypt of PASSWORD, made once with crypt(3): the registry takes no other form, and Python cannot make it.
_HTPASSWD = f"{USER}:$2b$04$INIVLUIRDFwFQjBGojkP9uBAU0rm/UNcVIQKEmVWftlsNSLf5HfSu\n"
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:([0-9]+), tls")
_PATIENCE = 20.0  # seconds

installed = shutil.which("docker-registry") is not None and shutil.which("skopeo") is not None
NEEDS = "needs the programs docker-registry and skopeo: apt-get install docker-registry skopeo"


class Registry:
    """One running registry; its files lie below ``folder``."""

    def __init__(self, folder: Path, *, with_login: bool = False) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.with_login = with_login
        self.identity: Identity = make_identity(folder)
        self.port = 0
        self._log = folder / "registry.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``, as references name it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start on the port of the last time, at first on a free one."""
        self._log.write_bytes(b"")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(self._configuration())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            )
        deadline = time.monotonic() + _PATIENCE
        while not (match := _LISTENING.search(self._log.read_text())):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"docker-registry did not start:\n{self._log.read_text()}")
            time.sleep(0.02)
        self.port = int(match[1])

    def stop(self) -> None:
        """End it; the data stay for the next ``start``."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_PATIENCE)
            self._process = None

    def requests(self, part: str = "/v2/") -> list[str]:
        """The requests since ``start`` whose line in the access log has ``part``."""
        return [line for line in self._log.read_text().splitlines() if '" "' in line and part in line]

    def blob(self, digest: str) -> Path:
        """The file of ``digest`` (hexadecimal) on the registry's disk."""
        blobs = self.folder / "data" / "docker" / "registry" / "v2" / "blobs" / "sha256"
        return blobs / digest[:2] / digest / "data"

    def auth_file(self, password: str = PASSWORD) -> Path:
        """What ``skopeo login`` would have written for this registry."""
        secret = base64.b64encode(f"{USER}:{password}".encode()).decode()
        path = self.folder / "auth.json"
        path.write_text(json.dumps({"auths": {self.address: {"auth": secret}}}))
        return path

    def _configuration(self) -> Path:
        settings: dict[str, object] = {
            "version": "0.1",
            "log": {"accesslog": {"disabled": False}, "level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": {
                "addr": f"127.0.0.1:{self.port}",
                "tls": {"certificate": str(self.identity.certificate), "key": str(self.identity.key)},
            },
        }
        if self.with_login:
            users = self.folder / "htpasswd"
            users.write_text(_HTPASSWD)
            settings["auth"] = {"htpasswd": {"realm": "test", "path": str(users)}}
        path = self.folder / "registry.yml"  # JSON is YAML
        path.write_text(json.dumps(settings))
        return path


@contextmanager
def running(folder: Path, *, with_login: bool = False) -> Iterator[Registry]:
    """A registry that ends with the context."""
    registry = Registry(folder, with_login=with_login)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()
