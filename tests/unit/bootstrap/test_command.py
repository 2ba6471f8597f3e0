import errno
import os
import runpy
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.bootstrap import command, environment
from appliance.bootstrap.command import main
from appliance.bootstrap.problem import Problem
from appliance.bootstrap.wheels import Wheels
from tests.support.in_process import process_state


@pytest.fixture(autouse=True)
def _process_state() -> Iterator[None]:
    with process_state():
        yield


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """An empty bundle, a root document, and places of the test's own."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "root.json").touch()
    places = {"--root": "root.json", "--prefix": "opt", "--site": "srv"}
    return [str(tmp_path / "bundle"), *(word for key, name in places.items() for word in (key, str(tmp_path / name)))]


def test_wrong_usage_is_bad_input() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["/media/bundle"])
    assert caught.value.code == 2


def test_a_root_document_that_is_not_there_is_told_first(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root.json").unlink()
    assert main(arguments) == 2
    assert str(tmp_path / "root.json") in capsys.readouterr().err


def test_a_directory_that_is_no_bundle_changes_nothing(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "SHA256SUMS" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "root.json"]


def test_what_the_import_is_to_be_told_is_handed_on(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[command.Options] = []
    monkeypatch.setattr(command, "bootstrap", told.append)
    assert main(arguments) == 0
    assert main([*arguments, "--policy", "my policy.yaml", "--override", "/media/override.json"]) == 0
    assert [options.further for options in told] == [
        (),
        ("--policy", Path("my policy.yaml").absolute(), "--override", Path("/media/override.json")),
    ]


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 2), (errno.EROFS, 2), (errno.EACCES, 2), (errno.EIO, 1)])
def test_what_the_system_refuses_has_an_exit_code(
    number: int, code: int, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(options: command.Options) -> None:
        raise OSError(number, os.strerror(number), "/opt/appliance")

    monkeypatch.setattr(command, "bootstrap", refuse)
    assert main(arguments) == code
    assert capsys.readouterr().err == f"error: {os.strerror(number)}\n  where:    /opt/appliance\n"


def test_sigterm_is_an_interrupt(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "bootstrap", lambda options: os.kill(os.getpid(), signal.SIGTERM))
    assert main(arguments) == 130


def test_an_older_python_is_told_before_it_meets_newer_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(Path(command.__file__).with_name("__main__.py")), run_name="__main__")
    assert caught.value.code == 2
    assert "Python 3.11 or newer is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("free", "flags", "said"), [(1, 0, "not enough space"), (1_000_000, os.ST_NOEXEC, "noexec")], ids=["full", "noexec"]
)
def test_a_place_that_cannot_hold_programs_is_told_with_what_to_do(
    free: int, flags: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = SimpleNamespace(f_bavail=free, f_frsize=4096, f_flag=flags)
    monkeypatch.setattr(os, "statvfs", lambda path: status)
    (tmp_path / "pip-1-py3-none-any.whl").write_bytes(b"x" * 10_000)
    wheels = Wheels(tmp_path, {"pip-1-py3-none-any.whl": "0" * 64})
    with pytest.raises(Problem, match=said) as caught:
        environment.make_environment(tmp_path / "control", wheels, compiled=False)
    assert "TMPDIR" in caught.value.hint
    assert not (tmp_path / "control").exists()
