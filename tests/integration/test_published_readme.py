"""Commands of README.md and of the corpus' README, taken out of the text and run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundles import FIRST, SCRIPT, STRANGER, Recipe, key, keyid
from tests.support.debian_root import DebianRoot, debian_root
from tests.support.documents import commands
from tests.support.project import REPOSITORY, Project, tensor_file
from tests.support.terminal import at_a_terminal

pytestmark = pytest.mark.integration

README, CORPUS = "../README.md", "../tests/corpus/README.md"
SIGNATURE = f"sigs/{keyid(FIRST)}.sigstore.json"

Spoil = Callable[[bytes], bytes]
SPOILT: dict[str, tuple[str, Spoil]] = {
    "right": ("statement.json", bytes),
    "signature": (SIGNATURE, lambda data: re.sub(rb'("sig":".{30})....', rb"\1AAAA", data)),
    "payload": (SIGNATURE, lambda data: re.sub(rb'("payload":".{30})....', rb"\1AAAA", data)),
    "statement": ("statement.json", lambda data: data.replace(b"tiny", b"tinx")),
    "list": ("SHA256SUMS", lambda data: data[data.index(b"\n") + 1 :]),
    "file": ("models/tiny/model.safetensors", lambda data: data + b"x"),
    "signer": ("../signer.pub.pem", lambda data: key(STRANGER).public.pem()),
}


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def host(request: pytest.FixtureRequest) -> DebianRoot:
    return debian_root(request.param, "jq", "openssl")


def test_the_auditors_block_stops_at_what_is_wrong(host: DebianRoot, tmp_path: Path) -> None:
    (block,) = commands(README, "If you audit (auditor)")
    (tmp_path / "block.sh").write_text(block)
    for name, (path, spoil) in SPOILT.items():
        written = Recipe().write(tmp_path / name)
        bundle = written.path.rename(tmp_path / name / "demo-0.1.0")
        (tmp_path / name / "signer.pub.pem").write_bytes(key(FIRST).public.pem())
        (bundle / path).write_bytes(spoil((bundle / path).read_bytes()))
    link = tmp_path / "link/demo-0.1.0"
    Recipe().write(tmp_path / "link").path.rename(link)
    (tmp_path / "link/signer.pub.pem").write_bytes(key(FIRST).public.pem())
    (link / "models/link").symlink_to("tiny")
    loop = "".join(
        f"cd /mnt/media/{name}; {shell} /mnt/media/block.sh >/tmp/out 2>&1; "
        f'echo "$? {shell} {name} $(tail -n 1 /tmp/out)"\n'
        for name in (*SPOILT, "link")
        for shell in ("bash", "dash")
    )
    done = host.run(["sh", "-c", loop], mounts={"media": tmp_path})
    for line in done.stdout.splitlines():
        code, _, name, last = line.split(" ", 3)
        assert (code == "0") == (name == "right"), line
        assert last.startswith("every listed file is what") == (name == "right"), line
    assert len(done.stdout.splitlines()) == 2 * (len(SPOILT) + 1)


def test_the_operators_first_command_verifies(tmp_path: Path) -> None:
    (line,) = commands(README, "If you run a site (operator)")[0].splitlines()
    written = Recipe().write(tmp_path)
    written.path.rename(tmp_path / "demo-0.1.0")
    written.trusted.rename(tmp_path / "release.root.json")
    (tmp_path / "verify.sh").symlink_to(SCRIPT)
    typed = line.replace("/media/carried", ".")
    assert subprocess.run(["sh", "-c", typed], cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "demo-0.1.0/extra").touch()
    assert subprocess.run(["sh", "-c", typed], cwd=tmp_path, capture_output=True, check=False).returncode == 3


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With a definition of our own in place of gated weights."""
    model = tmp_path / "a project/bundles/model"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(tensor_file())
    (model / "config.json").write_text('{"model_type": "llama"}\n')
    (model.parent / "llama-3.1-8b.yaml").write_text(
        "schema: appliance.definition/v1\nname: llama-3.1-8b\nversion: 1.0.0\ndescription: stand-in\n"
        "weights:\n  tiny: {directory: model, licence: CC0-1.0}\n"
    )
    return Project(model.parents[1])


def test_who_builds_bundles_is_led_to_a_lock(project: Project, tmp_path: Path) -> None:
    """As typed, and ``make docs`` for the repository; make bundle is test_build's."""
    (project.folder / "keys").mkdir()
    make_here = tmp_path / "make"
    make_here.write_text(f'#!/bin/sh\nexec /usr/bin/make -C {shlex.quote(str(REPOSITORY))} "$@"\n')
    make_here.chmod(0o755)
    *block, make = commands(README, "If you build bundles (security team)")[0].splitlines()
    code, seen = at_a_terminal(
        ["sh", "-euc", "\n".join(block)],
        prompt=r"[Pp]ass ?phrase[^\n:]*: ?|Repeat for confirmation: ?",
        answer="correct horse",
        cwd=project.folder,
        env={**project.environment, "PATH": f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin"},
    )
    assert code == 0, seen
    assert (project.folder / "bundles/llama-3.1-8b.lock.yaml").exists()
    assert "BUNDLE=bundles/llama-3.1-8b.yaml" in shlex.split(make)


def test_two_of_three_people_release(project: Project, tmp_path: Path) -> None:
    """Each in a directory of their own; of ``make bundle`` what it runs."""
    assert project.run("lock", "bundles/llama-3.1-8b.yaml").returncode == 0
    (project.folder / ".venv").symlink_to(REPOSITORY / ".venv")
    for person in ("first", "second", "third"):
        project.run("keys", "new", f"{person}.pem", "--no-passphrase").check_returncode()
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\nshift\nexport OUT=dist "$@"\nexec {shlex.quote(str(REPOSITORY))}/bundles/build.sh\n')
    make.chmod(0o755)

    def typed(line: str, *, where: str = ".", takes: tuple[str, ...] = ()) -> str:
        """What it prints, in ``where``, to which a person took copies before."""
        folder = project.folder / where
        folder.mkdir(exist_ok=True)
        for name in takes:
            shutil.copy(project.folder / name, folder)
        path = f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin"
        environment = {**project.environment, "PATH": path}
        done = subprocess.run(
            ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    block = commands(README, "If you build bundles (security team)")[1]
    new, second, back, built, third, added, inspected = block.splitlines()
    typed(new)
    typed(second, where="copy", takes=("roots/1.root.json", "second.pem"))
    typed(back)
    bundle = typed(built).splitlines()[-1]
    assert project.run("verify", bundle, "--root", "roots/1.root.json").returncode == 3
    typed(third, where="of the third", takes=(f"{bundle}/statement.json", "third.pem"))
    (theirs,) = (project.folder / "of the third").glob("*.sigstore.json")
    typed(added.replace("THEIRS.sigstore.json", shlex.quote(f"of the third/{theirs.name}")))
    assert typed(inspected).count("\n    signed ") == 2
    assert project.run("verify", bundle, "--root", "roots/1.root.json").returncode == 0


@pytest.mark.parametrize("block", commands(CORPUS, "Point it at your verifier"))
def test_the_corpus_examples_end_well(block: str, tmp_path: Path) -> None:
    """``my-verifier`` is our script; the longest of them, which asks it about all, is told to ask about less."""
    mine = tmp_path / "my-verifier"
    mine.write_text(f'#!/bin/sh\nexec sh {shlex.quote(str(SCRIPT))} "$2" --root "$4"\n')
    mine.chmod(0o755)
    for line in block.splitlines():
        asked = f"{line} list/empty good/one-signer" if "my-verifier" in line else line
        done = subprocess.run(
            ["sh", "-c", f"{asked} --timeout 600"],
            cwd=REPOSITORY,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[0].startswith("group ")
