"""PINs and passphrases: where they may come from, and that they go nowhere else."""

import os
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from appliance.errors import ApplianceError
from appliance.formats.pkcs11_uri import parse_pkcs11_uri
from appliance.steps.host.tokens import token_signer
from tests.support import tiny_images as tiny
from tests.support.project import DEFINITION, Project
from tests.support.registry import NEEDS, Registry, installed, running
from tests.support.softhsm import PIN, SoftHsm
from tests.support.terminal import at_a_terminal

pytestmark = pytest.mark.integration

PASSPHRASE = "correct-horse-3141"
IMAGE = """\
images:
  app:
    registry: {{image: {image}, platform: linux/amd64}}
    licence: Apache-2.0
"""


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    made = SoftHsm.make(tmp_path_factory.mktemp("hsm"))
    made.new_token()
    made.new_key()
    return made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, hsm: SoftHsm) -> Project:
    """With two more roots: one for the token's key, one for a key under a passphrase."""
    project = Project.make(tmp_path_factory.mktemp("template") / "project")
    passphrase = hsm.folder / "passphrase"
    passphrase.write_text(PASSPHRASE + "\n")
    secret = ("--passphrase-file", str(passphrase))
    for words in (
        ("keys", "show", hsm.uri(pin=None), "--out", "token.pub.pem"),
        ("keys", "new", "locked.pem", *secret),
        ("root", "new", "token.root.json", "--key", hsm.uri(), "--public", "token.pub.pem"),
        ("root", "new", "locked.root.json", "--key", "locked.pem", *secret),
    ):
        done = project.run(*words, **hsm.environment)
        assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    return template.copy(tmp_path / "project")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    if not installed:
        pytest.skip(NEEDS)
    with running(tmp_path_factory.mktemp("registry") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def locked(template: Project, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """With an image too, which is fetched by a program."""
    project = template.copy(tmp_path_factory.mktemp("locked") / "project")
    reference = tiny.push(registry, "app", "1", tiny.image(tiny.layer("hello")))
    (project.folder / "small.yaml").write_text(DEFINITION + IMAGE.format(image=reference))
    done = project.run("lock", "small.yaml", SSL_CERT_FILE=str(registry.identity.authority))
    assert done.returncode == 0, done.stderr
    shutil.rmtree(project.folder / "cache")
    return project


def watched(folder: Path, program: str) -> Path:
    """A directory for PATH in which ``program`` notes arguments and environment, and then does its work."""
    folder.mkdir()
    script = folder / program
    real = shutil.which(program)
    script.write_text(f'#!/bin/sh\n{{ printf "%s\\n" "$@"; env; }} >>"{folder}/seen"\nexec {real} "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.mark.parametrize("way", ["token-environment", "token-file", "file-environment", "file-file"])
def test_a_build_lets_its_secret_go_nowhere(
    locked: Project, hsm: SoftHsm, registry: Registry, tmp_path: Path, way: str
) -> None:
    project = locked.copy(tmp_path / "project")
    folder = watched(tmp_path / "bin", "skopeo")
    variables = {
        **hsm.environment,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SSL_CERT_FILE": str(registry.identity.authority),
    }
    key, secret, options = {
        "token-environment": (hsm.uri(pin=None), PIN, []),
        "token-file": (hsm.uri(), PIN, []),
        "file-environment": ("locked.pem", PASSPHRASE, []),
        "file-file": ("locked.pem", PASSPHRASE, ["--passphrase-file", str(hsm.folder / "passphrase")]),
    }[way]
    if way.endswith("environment"):
        variables["APPLIANCE_KEY_PASSPHRASE"] = secret
    root = "token.root.json" if way.startswith("token") else "locked.root.json"

    built = project.run("--debug", "build", "small.yaml", "--key", key, "--root", root, *options, **variables)

    assert built.returncode == 0, built.stderr
    assert project.run("verify", "dist/small-1.0.0", "--root", root).returncode == 0
    assert "skopeo " in built.stderr, "--debug has to show what was run, or nothing is proved"
    seen = (folder / "seen").read_bytes()
    assert b"PATH=" in seen
    for text in (built.stdout, built.stderr, seen.decode()):
        assert secret not in text
        assert "APPLIANCE_KEY_PASSPHRASE" not in text
    for path in project.folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_wrong_secret_is_not_repeated(project: Project, hsm: SoftHsm) -> None:
    for key, reference in ((hsm.uri(pin=None), "token-pin-wrong"), ("locked.pem", "key-passphrase-wrong")):
        variables = {**hsm.environment, "APPLIANCE_KEY_PASSPHRASE": "guess-2718"}
        done = project.run(
            "--debug", "root", "new", "new.root.json", "--key", key, "--public", "token.pub.pem", **variables
        )
        assert (done.returncode, reference in done.stderr) == (2, True)
        assert "2718" not in done.stdout + done.stderr
        assert not (project.folder / "new.root.json").exists()


def test_a_pin_in_an_argument_is_refused_and_not_repeated(project: Project, hsm: SoftHsm) -> None:
    for words in (("keys", "show"), ("root", "new", "new.root.json", "--key")):
        for flag in ("--json", "--passphrase-file=x"):
            done = project.run("--debug", *words, f"pkcs11:object=release?pin-value={PIN}", flag, **hsm.environment)
            assert done.returncode == 2
            assert "pkcs11-pin-value" in done.stdout + done.stderr
            assert PIN not in done.stdout + done.stderr


def test_a_signer_does_not_print_its_pin(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a repr, nor in the kind of traceback that prints local variables."""
    monkeypatch.setenv(SoftHsm.CONF, str(hsm.conf))
    uri = parse_pkcs11_uri(hsm.uri())
    signer = token_signer(uri, SecretStr(PIN))
    assert PIN not in repr(signer) + str(signer.key)
    with pytest.raises(ApplianceError) as caught:
        token_signer(uri, SecretStr("guess-2718"))
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [frame for frame in told.stack if "/appliance/" in frame.filename]
    assert any("pin" in (frame.locals or {}) for frame in frames)
    assert "2718" not in "".join(str(frame.locals) for frame in frames)


def test_a_pin_is_asked_for_on_a_terminal_and_not_shown(project: Project, hsm: SoftHsm) -> None:
    code, seen = at_a_terminal(
        project.command("root", "new", "new.root.json", "--key", hsm.uri(pin=None), "--public", "token.pub.pem"),
        prompt=r"PIN for pkcs11:token=release%20token;object=release: ",
        answer=PIN,
        cwd=project.folder,
        env={**project.environment, **hsm.environment},
    )
    assert code == 0, seen
    assert PIN not in seen
    assert (project.folder / "new.root.json").exists()


def test_without_a_terminal_nobody_is_asked(project: Project, hsm: SoftHsm) -> None:
    words = ("root", "new", "new.root.json", "--key", hsm.uri(pin=None), "--public", "token.pub.pem")
    done = project.run(*words, **hsm.environment)
    assert (done.returncode, "token-pin-missing" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("content", "reference"),
    [
        (None, "passphrase-unreadable"),
        (b"", "passphrase-empty"),
        (b"\n1234\n", "passphrase-empty"),
        (b"\xff\n", "token-pin-malformed"),
    ],
)
def test_a_pin_file_that_holds_none_says_so(
    project: Project, hsm: SoftHsm, tmp_path: Path, content: bytes | None, reference: str
) -> None:
    source = tmp_path / "pin"
    if content is not None:
        source.write_bytes(content)
    uri = f"{hsm.uri(pin=None)}&pin-source=file:{source}"
    done = project.run("sign", "missing.json", "--key", uri, **hsm.environment)
    assert (done.returncode, reference in done.stderr) == (2, True), done.stderr


def test_the_uri_decides_which_pin_is_used(project: Project, hsm: SoftHsm) -> None:
    """With several keys each has its own: what is given for all comes second."""
    wrong = {"APPLIANCE_KEY_PASSPHRASE": "guess-2718"}
    words = (
        "root",
        "new",
        "new.root.json",
        "--public",
        "token.pub.pem",
        "--passphrase-file",
        str(hsm.folder / "passphrase"),
    )
    done = project.run(*words, "--key", hsm.uri(), **hsm.environment, **wrong)
    assert done.returncode == 0, done.stderr
