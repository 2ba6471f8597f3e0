"""The demo as `make bundle` makes it: complete, signed, and silent about where it was made."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.support.demo import Demo
from tests.support.project import REPOSITORY

pytestmark = [pytest.mark.integration, pytest.mark.demo]


def test_it_verifies(demo: Demo) -> None:
    appliance = REPOSITORY / ".venv/bin/appliance"
    verified = subprocess.run(
        [appliance, "verify", demo.path, "--root", demo.root, "--json"], capture_output=True, text=True, check=False
    )
    assert verified.returncode == 0, verified.stdout
    told = json.loads(verified.stdout)
    listed = (demo.path / "SHA256SUMS").read_text().splitlines()
    assert (told["ok"], told["name"], told["files"]) == (True, "demo", len(listed))
    assert [signer["label"] for signer in told["signers"]] == ["demo key"]


def test_it_verifies_without_a_line_of_python(demo: Demo) -> None:
    script = demo.path / "verify.sh"
    verified = subprocess.run(
        ["sh", script, demo.path, "--root", demo.root], capture_output=True, text=True, check=False
    )
    assert verified.returncode == 0, verified.stderr
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    summed = subprocess.run(command, cwd=demo.path, capture_output=True, text=True, check=False)
    assert (summed.returncode, summed.stdout) == (0, ""), summed.stderr


def test_it_is_laid_out_as_documented(demo: Demo) -> None:
    assert {path.name for path in demo.path.iterdir()} == {
        *("SHA256SUMS", "statement.json", "sigs", "trust", "verify.sh", "bundle.json"),
        *("models", "images", "wheels", "os", "docs", "evidence"),
    }
    for folder, names in (
        ("models", {"all-minilm-l6-v2", "tiny-chat"}),
        ("images", {"oci-layout", "index.json", "blobs"}),
        ("wheels", {"control"}),
        ("os", {"debian13"}),
        ("docs", {"manual"}),
        ("trust", {"1.root.json"}),
    ):
        assert {path.name for path in (demo.path / folder).iterdir()} == names
    assert (demo.path / "evidence/lock.yaml").is_file()
    assert (demo.path / "docs/manual/index.html").is_file()
    assert (demo.path / "trust/1.root.json").read_bytes() == demo.root.read_bytes()
    (signature,) = (demo.path / "sigs").iterdir()
    assert (
        signature.name
        == f"{json.loads(signature.read_bytes())['verificationMaterial']['publicKey']['hint']}.sigstore.json"
    )


def test_every_artifact_has_a_licence_and_a_source(demo: Demo) -> None:
    artifacts = demo.artifacts()
    assert {artifact["kind"] for artifact in artifacts} == {"weights", "images", "wheels", "os-packages", "docs"}
    for artifact in artifacts:
        assert artifact["licence"].strip()
        assert artifact["source"]
        assert artifact["files"]


def test_nothing_tells_where_it_was_made(demo: Demo) -> None:
    """What others have written may name any path; what we wrote names none of this machine."""
    places = [str(place).encode() for place in (REPOSITORY, Path.home() / ".cache", demo.root.parent)]
    written_here = {
        str(path.relative_to(demo.path)): path.read_bytes()
        for path in demo.path.rglob("*")
        if path.is_file()
        and (path.stat().st_size < 1_000_000 or path.parent.name == "evidence")
        and path.parts[len(demo.path.parts)] != "models"
    }
    written_here = {name: data for name, data in written_here.items() if not name.endswith((".whl", ".deb"))}
    assert {"bundle.json", "statement.json", "evidence/lock.yaml", "os/debian13/Packages"} <= written_here.keys()
    for wheel in (demo.path / "wheels/control").glob("appliance*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            written_here |= {f"{wheel.name}/{name}": archive.read(name) for name in archive.namelist()}
    assert [name for name, data in written_here.items() if any(place in data for place in places)] == []
