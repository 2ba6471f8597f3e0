"""Tokens of SoftHSM, a PKCS#11 module in software, in a directory of the test's own."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from appliance.trust.keys import PublicKey

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711-0815"
TOKEN = "release token"
_OFFICER = "officer's PIN"


@dataclass(frozen=True)
class SoftHsm:
    """A module with its tokens below ``folder``; ``CONF`` in the environment leads to it."""

    folder: Path

    CONF = "SOFTHSM2_CONF"

    @classmethod
    def make(cls, folder: Path) -> "SoftHsm":
        """An empty one.  Skips the test when the programs are not there, saying which."""
        if not MODULE.exists() or not shutil.which("pkcs11-tool"):
            pytest.skip("needs SoftHSM and OpenSC: apt-get install softhsm2 opensc")
        hsm = cls(folder)
        hsm.tokens.mkdir(parents=True)
        hsm.conf.write_text(f"directories.tokendir = {hsm.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        return hsm

    @property
    def conf(self) -> Path:
        return self.folder / "softhsm2.conf"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    @property
    def environment(self) -> dict[str, str]:
        return {self.CONF: str(self.conf)}

    def new_token(self, label: str = TOKEN, pin: str = PIN) -> None:
        """A token with a user PIN."""
        self._run("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", _OFFICER, "--pin", pin)

    def new_key(
        self,
        label: str = "release",
        identity: str = "01",
        *options: str,
        kind: str = "EC:prime256v1",
        token: str = TOKEN,
    ) -> None:
        """A key pair made on a token; ``identity`` in hexadecimal."""
        self.tool("--keypairgen", "--key-type", kind, "--label", label, "--id", identity, *options, token=token)

    def public_key(self, identity: str = "01", token: str = TOKEN) -> PublicKey:
        """What pkcs11-tool reads from a public key object."""
        path = self.folder / "public.der"
        self.tool("--read-object", "--type", "pubkey", "--id", identity, "--output-file", str(path), token=token)
        key = PublicKey(load_der_public_key(path.read_bytes()))  # type: ignore[arg-type]
        return PublicKey.from_pem(key.pem())

    def tool(self, *options: str, token: str = TOKEN) -> str:
        """Run pkcs11-tool, logged in."""
        return self._run(
            *("pkcs11-tool", "--module", str(MODULE), "--token-label", token, "--login", "--pin", "env:PIN"), *options
        )

    def listed(self) -> str:
        """What pkcs11-tool says of the tokens."""
        return self._run("pkcs11-tool", "--module", str(MODULE), "--list-token-slots")

    def uri(self, path: str = "token=release%20token;object=release", *, pin: str | None = PIN) -> str:
        """A URI of ``path`` with this module, and a file with ``pin`` as its pin-source."""
        query = f"module-path={MODULE}"
        if pin is not None:
            source = self.folder / "a pin"
            source.write_text(pin + "\n")
            query += f"&pin-source=file:{quote(str(source))}"
        return f"pkcs11:{path}?{query}"

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment, "PIN": PIN},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout
