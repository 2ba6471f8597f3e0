"""The wheel of a source tree of our own: the same bytes, wherever and however it is made."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.formats.wheel import check_wheel
from appliance.tools.flit import build_wheel
from tests.support.umask import umask

FLIT = importlib.metadata.version("flit_core")
PYPROJECT = f"""\
[build-system]
requires = ["flit_core=={FLIT}"]
build-backend = "flit_core.buildapi"
[project]
name = "our-tool"
version = "1.0"
description = "A tool"
readme = "README.md"
requires-python = ">=3.11"
"""


def write_project(folder: Path) -> Path:
    package = folder / "our_tool"
    (package / "data").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "README.md").write_text("# Our tool\n")
    (folder / "LICENSE").write_text("Ours.\n")
    (package / "__init__.py").write_text('"""A tool."""\n')
    (package / "data" / "words.txt").write_text("a\nb\n")
    return folder


def runs(python: str) -> bool:
    return shutil.which(python) is not None and subprocess.run([python, "-c", ""], check=False).returncode == 0


def made(project: Path, work: Path) -> bytes:
    return build_wheel(project, work).read_bytes()


def elsewhere(tmp_path: Path) -> bytes:
    with umask(0o077):
        return made(write_project(tmp_path / "another place"), tmp_path / "work 2")


def touched_and_run(tmp_path: Path) -> bytes:
    project = write_project(tmp_path / "project 2")
    module = project / "our_tool" / "__init__.py"
    os.utime(module, (1_000_000_000, 1_000_000_000))
    module.chmod(0o755)
    (project / "our_tool" / "__pycache__").mkdir()
    (project / "our_tool" / "__pycache__" / "x.pyc").touch()
    for junk in (".hidden", "__init__.py~", "words.orig"):
        (project / "our_tool" / junk).touch()
    (project / "keys").mkdir()
    (project / "keys" / "secret.pem").touch()
    return made(project, tmp_path / "work 2")


@pytest.mark.parametrize("otherwise", [elsewhere, touched_and_run])
def test_the_bytes_depend_on_the_sources_alone(otherwise: Callable[[Path], bytes], tmp_path: Path) -> None:
    with umask(0o022):
        wheel = made(write_project(tmp_path / "project"), tmp_path / "work")
    assert otherwise(tmp_path) == wheel


def test_another_python_makes_the_same_bytes(tmp_path: Path) -> None:
    candidates = [f"python3.{minor}" for minor in (14, 13, 12, 11) if minor != sys.version_info.minor]
    other = next(filter(runs, candidates), None)
    if not other:
        pytest.skip("needs another Python (python3.11 to 3.14) in PATH, to compare with")
    project = write_project(tmp_path / "project")
    environment = tmp_path / "environment"
    subprocess.run([other, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python3.*/site-packages")
    here = [sysconfig.get_path("purelib"), str(Path(__file__).parents[3])]
    (packages / "here.pth").write_text("\n".join(here) + "\n")
    script = (
        "import sys, pathlib; from appliance.tools.flit import build_wheel as b; b(*map(pathlib.Path, sys.argv[1:]))"
    )
    subprocess.run([environment / "bin" / "python", "-c", script, project, tmp_path / "other"], check=True)
    (theirs,) = (tmp_path / "other").glob("*.whl")
    assert theirs.read_bytes() == made(project, tmp_path / "work")


def test_the_wheel_is_a_proper_one_and_the_tree_is_left_alone(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    before = sorted(project.rglob("*"))
    wheel = build_wheel(project, tmp_path / "work")
    with wheel.open("rb") as file:
        check_wheel(file, wheel.name)
    assert wheel.name == "our_tool-1.0-py3-none-any.whl"
    assert b"our_tool/data/words.txt" in wheel.read_bytes()
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize(
    ("old", "new", "reference"),
    [
        ("flit_core.buildapi", "setuptools.build_meta", "project-backend"),
        (FLIT, "0.0.1", "project-backend"),
        ("[project]", "[project", "project-unreadable"),
    ],
    ids=["another backend", "another version", "no TOML"],
)
def test_what_gives_no_reliable_wheel_is_refused(old: str, new: str, reference: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    (project / "pyproject.toml").write_text(PYPROJECT.replace(old, new))
    with pytest.raises(BadInput) as caught:
        build_wheel(project, tmp_path / "work")
    assert caught.value.reference == reference
    assert "project/pyproject.toml" in caught.value.where


def test_a_link_in_the_tree_is_refused(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    (project / "our_tool" / "words.txt").symlink_to("/etc/hostname")
    with pytest.raises(BadInput) as caught:
        build_wheel(project, tmp_path / "work")
    assert caught.value.reference == "project-link"


def test_a_missing_tree_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        build_wheel(tmp_path / "nowhere", tmp_path / "work")
    assert caught.value.reference == "project-unreadable"
    assert "nowhere/pyproject.toml" in caught.value.where
