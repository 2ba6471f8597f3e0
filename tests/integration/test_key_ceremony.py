"""docs/key-ceremony.md, as people follow it: every command of it is run, with stock openssl and pkcs11-tool."""

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.debian_root import debian_root
from tests.support.documents import commands
from tests.support.project import DEFINITION, Project, tensor_file
from tests.support.softhsm import PIN, SoftHsm
from tests.support.terminal import at_a_terminal

pytestmark = pytest.mark.integration

DOCUMENT = "key-ceremony.md"
BUNDLE = "dist/release-1.0.0"
PROMPTS = r"User PIN: |PIN for [^\n]*: |pass phrase[^\n]*:"

HARDWARE = commands(DOCUMENT, "Hardware tokens")
KEYS = commands(DOCUMENT, "Without our code")
MESSAGE = commands(DOCUMENT, "What is signed")
SIGNATURE = commands(DOCUMENT, "The signature")
ADD_TO_BUNDLE, ADD_TO_ROOT, ADD_TO_OVERRIDE = commands(DOCUMENT, "Bringing it in")[0].splitlines()

MODULE = HARDWARE[0].splitlines()[0]  # export PKCS11_MODULE_PATH=...


@dataclass(frozen=True)
class Desk:
    """Where somebody sits: a directory, a token, a terminal; one secret opens everything."""

    project: Project
    hsm: SoftHsm

    @property
    def folder(self) -> Path:
        return self.project.folder

    def type(self, *blocks: str) -> str:
        """Run commands as typed, answer prompts, and return what the terminal showed."""
        programs = Path(sys.executable).parent
        code, seen = at_a_terminal(
            ["sh", "-euc", "\n".join(blocks)],
            prompt=PROMPTS,
            answer=PIN,
            cwd=self.folder,
            env={
                **self.project.environment,
                **self.hsm.environment,
                "PATH": f"{programs}:{os.environ['PATH']}",
            },
        )
        assert code == 0, seen
        assert PIN not in seen
        return seen

    def complete(self, *words: str) -> bool:
        """What a ``--json`` command says of the signatures."""
        done = self.project.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return bool(json.loads(done.stdout)["complete"])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    hsm = SoftHsm.make(tmp_path / "hsm")
    hsm.new_token("release")
    project = Project(tmp_path / "a desk")
    model = project.folder / "bundles/model"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(tensor_file())
    (model / "config.json").write_text('{"model_type": "llama"}\n')
    (project.folder / "bundles/release.yaml").write_text(DEFINITION.replace("name: small", "name: release"))
    done = project.run("lock", "bundles/release.yaml")
    assert done.returncode == 0, done.stderr
    return Desk(project, hsm)


def unattended(block: str) -> str:
    """Where nobody can be asked, keys have no passphrase."""
    return block.replace(" -aes-256-cbc", "")


def test_a_token_signs_all_there_is(desk: Desk) -> None:
    for block in HARDWARE:
        desk.type(MODULE, block)
    verified = desk.project.run("verify", BUNDLE, "--root", "roots/1.root.json")
    assert verified.returncode == 0, verified.stderr


def test_two_people_sign_without_our_code(desk: Desk) -> None:
    """One with openssl and a key in a file, one with pkcs11-tool and a token: root document, bundle, override."""
    desk.type(MODULE, *KEYS[:2])
    new = ("root", "new", "roots", "--public", "first.pub.pem", "--public", "second.pub.pem", "--threshold", "2")
    assert not desk.complete(*new)
    desk.type("cp roots/1.root.json envelope.json", MODULE, MESSAGE[1], *SIGNATURE[:2], ADD_TO_ROOT)
    assert desk.complete("root", "show", "roots")

    built = desk.project.run("build", "bundles/release.yaml", "--root", "roots")
    assert built.returncode == 0, built.stderr
    refused = desk.project.run("sign", BUNDLE, "--add", "first.sig", "second.sig")
    assert (refused.returncode, "signature-invalid" in refused.stderr) == (3, True), "those of the root document"
    desk.type(f"cp {BUNDLE}/statement.json .", MODULE, MESSAGE[0], *SIGNATURE[:2], ADD_TO_BUNDLE)
    verified = desk.project.run("verify", BUNDLE, "--root", "roots/1.root.json")
    assert verified.returncode == 0, verified.stderr
    assert len(list((desk.folder / BUNDLE / "sigs").iterdir())) == 2

    name = ADD_TO_OVERRIDE.split()[2]
    wish = ("--site", "plant-7", "--allow", "expired", "--reason", "the new one is late", "--root", "roots")
    assert not desk.complete("override", "new", BUNDLE, *wish)
    desk.type(f"cp {name} envelope.json", MODULE, MESSAGE[1], *SIGNATURE[:2], ADD_TO_OVERRIDE)
    assert desk.complete("override", "show", name, "--root", "roots")


@pytest.mark.parametrize(
    ("suite", "packages"), [("bookworm", ("jq", "openssl")), ("trixie", ("jq", "openssl", "cosign"))]
)
def test_bare_systems_sign(desk: Desk, suite: str, packages: tuple[str, ...]) -> None:
    """OpenSSL 3.0 and 3.5 of bare Debian systems; 3.5 co-signs with ML-DSA-87 too."""
    system = debian_root(suite, *packages)
    ways = [(KEYS[0], SIGNATURE[0], "first")]
    if suite != "bookworm":
        ways.append((KEYS[2], SIGNATURE[2], "third"))

    def bare(blocks: Sequence[str], results: Sequence[str]) -> None:
        """Run blocks with what lies on the desk, and bring ``results`` back."""
        script = ["cd /tmp && cp /mnt/desk/*.json /mnt/desk/*.pem . 2>/dev/null || :", "exec 3>&1 >&2", *blocks]
        script.append(f"tar --create {' '.join(results)} | base64 >&3")
        done = system.run(["sh", "-euc", unattended("\n".join(script))], mounts={"desk": desk.folder})
        assert done.returncode == 0, done.stderr
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(done.stdout))) as archive:
            archive.extractall(desk.folder, filter="data")

    bare([keys for keys, _, _ in ways], [f"{name}{end}" for *_, name in ways for end in (".pem", ".pub.pem")])
    publics = [word for *_, name in ways for word in ("--public", f"{name}.pub.pem")]
    assert not desk.complete("root", "new", "roots", *publics, "--threshold", "1")
    (desk.folder / "envelope.json").write_bytes((desk.folder / "roots/1.root.json").read_bytes())
    signatures = [f"{name}.sig" for *_, name in ways]
    bare([MESSAGE[1], *(sign for _, sign, _ in ways)], signatures)
    assert desk.complete("sign", "roots/1.root.json", "--add", *signatures)

    built = desk.project.run("build", "bundles/release.yaml", "--root", "roots")
    assert built.returncode == 0, built.stderr
    (desk.folder / "statement.json").write_bytes((desk.folder / BUNDLE / "statement.json").read_bytes())
    bare([MESSAGE[0], *(sign for _, sign, _ in ways)], signatures)
    assert desk.complete("sign", BUNDLE, "--add", *signatures)
    assert desk.project.run("verify", BUNDLE, "--root", "roots/1.root.json").returncode == 0


def test_make_bundle_takes_a_token(desk: Desk) -> None:
    """What `make bundle` runs, with a key on a token; without ROOT it says what is missing."""
    repository = Path(__file__).parents[2]
    if not (repository / ".venv/bin/appliance").exists():
        pytest.skip("needs the environment that make makes: make .venv/ready")
    desk.type(*HARDWARE[0].rpartition("appliance")[:1])
    environment = {
        **desk.project.environment,
        **desk.hsm.environment,
        "APPLIANCE_KEY_PASSPHRASE": PIN,
        "BUNDLE": str(desk.folder / "bundles/release.yaml"),
        "OUT": str(desk.folder / "out"),
        "KEY": desk.hsm.uri("token=release;object=first", pin=None),
        "ROOT": "",
    }
    uri = environment["KEY"]
    for words in (
        ("keys", "show", uri, "--out", "first.pub.pem"),
        ("root", "new", "roots", "--public", "first.pub.pem", "--key", uri),
    ):
        done = desk.project.run(*words, **environment)
        assert done.returncode == 0, done.stderr

    def make(**variables: str) -> "subprocess.CompletedProcess[str]":
        command = [str(repository / "bundles/build.sh")]
        env = {**environment, **variables}
        return subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True, check=False)

    refused = make()
    assert (refused.returncode, "root-not-given" in refused.stderr) == (2, True)
    made = make(ROOT=str(desk.folder / "roots"))
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-1] == str(desk.folder / "out/release-1.0.0")
    assert desk.project.run("verify", "out/release-1.0.0", "--root", "roots/1.root.json").returncode == 0
