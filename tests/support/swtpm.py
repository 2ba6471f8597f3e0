"""A TPM 2.0 in software, which keeps what it holds when it is switched off and on again."""

import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.processes import wait_for

_OWNER = 0x40000001
_PASSWORD = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)


class SoftTpm:
    """Use it as a context; ``device`` is what a site's policy names."""

    def __init__(self) -> None:
        if not shutil.which("swtpm"):
            pytest.skip("needs a TPM in software: apt-get install swtpm")
        # Not below pytest's directory: the path of a Unix socket has at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="swtpm-"))
        self.device = self._folder / "socket"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "SoftTpm":
        self.on()
        return self

    def __exit__(self, *exception: object) -> None:
        self.off()
        shutil.rmtree(self._folder)

    def on(self) -> None:
        """Switch it on."""
        self._process = subprocess.Popen(
            [
                *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self._folder}"),
                *("--server", f"type=unixio,path={self.device}", "--flags", "not-need-init,startup-clear"),
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers, seconds=20)

    def off(self) -> None:
        """Switch it off; the socket goes too."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.device.unlink(missing_ok=True)

    def undefine(self, index: int) -> None:
        """TPM2_NV_UndefineSpace."""
        self._command(0x122, struct.pack(">II", _OWNER, index), b"")

    def define(self, index: int, attributes: int) -> None:
        """TPM2_NV_DefineSpace for 8 bytes."""
        public = struct.pack(">IHIHH", index, 0x000B, attributes, 0, 8)
        self._command(0x12A, struct.pack(">I", _OWNER), struct.pack(">HH", 0, len(public)) + public)

    def set_owner_password(self, password: bytes) -> None:
        """TPM2_HierarchyChangeAuth."""
        self._command(0x129, struct.pack(">I", _OWNER), struct.pack(">H", len(password)) + password)

    def clear(self) -> None:
        """TPM2_Clear by the platform, as the setup of a machine's firmware does it."""
        self._command(0x126, struct.pack(">I", 0x4000000C), b"")

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.device))
        except OSError:
            return False
        return True

    def _command(self, code: int, handles: bytes, parameters: bytes) -> None:
        body = handles + _PASSWORD + parameters
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.device))
            connection.sendall(struct.pack(">HII", 0x8002, 10 + len(body), code) + body)
            answer = connection.recv(4096)
        assert answer[6:10] == bytes(4), f"TPM answers {answer[6:10].hex()}"
