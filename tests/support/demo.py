"""The demo bundle, made by the README's command, and what is in it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.project import REPOSITORY

_SOURCES = ("http://deb.debian.org/debian/dists/trixie/InRelease", "https://pypi.org/simple/idna/")
_APPLIANCE = REPOSITORY / ".venv/bin/appliance"
_LOCK = REPOSITORY / "bundles/demo.lock.yaml"


@dataclass(frozen=True)
class Demo:
    """A bundle, and the root document and public key that its signer gave out by another way."""

    path: Path
    root: Path
    public_key: Path

    def document(self, name: str) -> Any:
        """A JSON document of the bundle."""
        return json.loads((self.path / name).read_bytes())

    def artifact(self, kind: str, name: str) -> dict[str, Any]:
        """The entry of ``bundle.json``."""
        (found,) = (entry for entry in self.artifacts() if (entry["kind"], entry["name"]) == (kind, name))
        return found

    def sbom(self, name: str) -> list[dict[str, Any]]:
        """The OS packages and Python distributions that the CycloneDX document ``name`` lists, at its first depth."""
        parts = self.document(f"evidence/sbom/{name}.cdx.json")["components"]
        return [part for part in parts if part["type"] == "library"]

    def artifacts(self) -> list[dict[str, Any]]:
        """All entries of ``bundle.json``."""
        entries: list[dict[str, Any]] = self.document("bundle.json")["artifacts"]
        return entries


def make_demo(folder: Path) -> Demo:
    """Build the demo into ``folder`` with a new key.  Skips where that cannot be done."""
    check_needs()
    key = folder / "demo key.pem"
    subprocess.run([_APPLIANCE, "keys", "new", key, "--no-passphrase"], check=True, capture_output=True)
    with kept_lock():
        built = subprocess.run(
            ["make", "bundle", f"OUT={folder / 'built here'}", f"KEY={key}"],
            cwd=REPOSITORY,
            env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if built.returncode != 0:
        pytest.fail(f"make bundle ended with {built.returncode}:\n{built.stderr}", pytrace=False)
    path = Path(built.stdout.splitlines()[-1])
    return Demo(path, key.with_name("demo key.root.json"), key.with_name("demo key.pub.pem"))


@contextmanager
def kept_lock() -> Iterator[None]:
    """Put back a lock that a build renews, because the code or a mirror has changed: tests leave the tree alone."""
    before = _locked()
    try:
        yield
    finally:
        after = _locked()
        for path in after.keys() - before.keys():
            path.unlink()
        for path, data in before.items():
            if after.get(path) != data:
                path.write_bytes(data)


def _locked() -> dict[Path, bytes]:
    """The lock, and what lies beside it of upstream's signatures."""
    return {path: path.read_bytes() for path in (_LOCK, *_LOCK.with_name("demo.upstream").iterdir())}


def check_needs() -> None:
    """Skip where no bundle with images and OS packages can be built."""
    if os.geteuid() != 0:
        pytest.skip("needs root: hosts and containers are entered with chroot")
    if missing := [name for name in ("make", "mmdebstrap", "buildah", "skopeo", "jq", "ip") if not shutil.which(name)]:
        pytest.skip(f"needs {', '.join(missing)}")
    for url in _SOURCES:
        try:
            httpx2.head(url, timeout=30).raise_for_status()
        except httpx2.HTTPError as error:
            pytest.skip(f"needs the network: {url}: {error}")
    ready = REPOSITORY / ".venv/ready"
    sources = [REPOSITORY / name for name in ("requirements.txt", "pyproject.toml")]
    if not ready.exists() or ready.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        pytest.fail("make would replace the .venv that these tests may run in: run make test", pytrace=False)
