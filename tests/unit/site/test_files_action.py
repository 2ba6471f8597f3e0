"""The action ``files`` on this machine, as a role uses it: what it makes, shows, refuses and leaves alone."""

import getpass
import grp
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.role_files import SITE
from tests.support.umask import umask

SECRET = "nobody may see this"
OWNER = f"{getpass.getuser()}:{grp.getgrgid(os.getgid()).gr_name}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """An empty directory with a space in its name, seen with the umask of a hardened host."""
    folder = tmp_path / "a place"
    folder.mkdir()
    with umask(0o077):
        yield folder


def bring(folder: Path, wanted: list[dict[str, Any]], *options: str) -> "subprocess.CompletedProcess[str]":
    """Run a playbook beside ``folder`` that wants that; paths are below ``folder``."""
    entries = [{"owner": OWNER} | entry | {"path": f"{folder}/{entry['path']}"} for entry in wanted]
    task = {"name": "Bring them", "files": {"wanted": entries}}
    play = [{"hosts": "localhost", "gather_facts": False, "vars": {"greeting": "hello"}, "tasks": [task]}]
    book = folder.with_name("book.yml")
    book.write_text(json.dumps(play))
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "--connection", "local", *options, book],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder.parent),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(SITE / "ansible.cfg"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_wanted_is_there_once_and_with_its_mode_whatever_the_umask(place: Path) -> None:
    place.with_name("template.j2").write_text("{{ greeting }}, {{ ansible_managed }}\n")
    parts = [place.with_name("one"), place.with_name("two")]
    for part in parts:
        part.write_text(f"{part.name}\n")
    (place / "gone").mkdir()
    (place / "gone/file").touch()
    wanted: list[dict[str, Any]] = [
        {"path": "new/folder", "directory": True},
        {"path": "new/folder/rendered", "template": "template.j2", "validate": "grep --quiet hello %s"},
        {"path": "joined", "copy": list(map(str, parts)), "mode": "0600", "secret": True},
        {"path": "link", "link": "/dev/null"},
        {"path": "gone", "absent": True, "content": "what it held"},
    ]
    first = bring(place, wanted)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "changed=1" in first.stdout
    assert (place / "new/folder/rendered").read_text() == "hello, Ansible managed\n"
    assert (place / "joined").read_text() == "one\ntwo\n"
    modes = {name: f"{(place / name).stat().st_mode & 0o7777:o}" for name in ("new", "new/folder/rendered", "joined")}
    assert modes == {"new": "755", "new/folder/rendered": "644", "joined": "600"}
    assert str((place / "link").readlink()) == "/dev/null"
    assert sorted(path.name for path in place.iterdir()) == ["joined", "link", "new"]
    assert "changed=0" in bring(place, wanted).stdout
    (place / "joined").chmod(0o644)
    assert "changed=1" in bring(place, wanted).stdout
    assert (place / "joined").stat().st_mode & 0o7777 == 0o600


def test_check_mode_tells_what_would_change_and_changes_nothing(place: Path) -> None:
    (place / "known").write_text("old\n")
    wanted: list[dict[str, Any]] = [
        {"path": "folder", "directory": True},
        {"path": "folder/file", "content": "new\n"},
        {"path": "known", "content": "new\n", "mode": "0600"},
        {"path": "secret", "content": f"{SECRET}\n", "secret": True},
        {"path": "later", "copy": "/nonexistent/what an earlier task makes"},
    ]
    done = bring(place, wanted, "--check", "--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=1" in done.stdout
    assert "-old\n+new" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert [path.name for path in place.iterdir()] == ["known"]
    assert (place / "known").read_text() == "old\n"


def test_a_file_that_is_refused_does_not_take_its_place(place: Path) -> None:
    (place / "kept").write_text("good\n")
    done = bring(place, [{"path": "kept", "content": "bad\n", "validate": "grep --quiet good %s"}])
    assert done.returncode == 2
    assert f"{place}/kept was not replaced: grep refuses its new content" in done.stderr
    assert (place / "kept").read_text() == "good\n"
    assert [path.name for path in place.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"link": "/dev/null"}, "exists and is not a link: it is not ours"),
        ({"content": "", "own": "me"}, "has unknown keys: own"),
        ({"content": "", "mode": 0o600}, "must be in quotes"),
        ({"content": "", "template": "x.j2"}, "must be one of"),
        ({"mode": "0600"}, "must be one of"),
        ({"copy": "/nonexistent/file"}, "No such file or directory"),
    ],
)
def test_what_cannot_be_meant_is_refused(place: Path, entry: dict[str, Any], said: str) -> None:
    (place / "file").write_text("mine\n")
    done = bring(place, [{"path": "file", **entry}])
    assert done.returncode == 2
    assert said in done.stderr
    assert (place / "file").read_text() == "mine\n"
