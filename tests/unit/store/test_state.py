"""The state's file without a TPM: whole, private, and the old one or the new one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import BadInput, NotTrusted
from appliance.model import limits
from appliance.model.documents.state import Accepted, Epoch, SiteState
from appliance.store import state as module
from appliance.store.state import StateFile
from tests.support.sites import snapshot
from tests.support.umask import umask

EMPTY = SiteState()


def remembering(version: str) -> SiteState:
    accepted = Accepted(version=version, sha256sums="a" * 64)
    return SiteState(roots=("b" * 64,), epochs={1: Epoch(time="2026-01-01T00:00:00Z", bundles={"tiny": accepted})})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a site/state"


@pytest.fixture
def file(folder: Path) -> StateFile:
    folder.parent.mkdir()
    return StateFile(folder)


def write(file: StateFile, version: str) -> SiteState:
    return file.update(lambda old: remembering(version))


def test_what_was_written_is_read(file: StateFile, folder: Path) -> None:
    assert file.load() is None
    assert not folder.exists()
    with umask(0o022):
        assert write(file, "1.0") == file.load() == remembering("1.0")
    assert [(path.name, path.stat().st_mode & 0o777) for path in (folder, *folder.iterdir())] == [
        ("state", 0o700),
        ("state.json", 0o600),
    ]
    before = snapshot(folder)
    write(file, "1.0")
    assert snapshot(folder) == before


def test_a_change_that_is_refused_changes_nothing(file: StateFile, folder: Path) -> None:
    def refuse(old: SiteState | None) -> SiteState:
        raise NotTrusted("bundle-rollback", "too old")

    with pytest.raises(NotTrusted):
        file.update(refuse)
    assert not folder.exists()
    write(file, "1.0")
    before = snapshot(folder)
    with pytest.raises(NotTrusted):
        file.update(refuse)
    assert snapshot(folder) == before


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("first", [True, False], ids=["the first state", "a later one"])
@pytest.mark.parametrize("moment", ["write_next", "fsync", "rename", "sync"])
def test_a_killed_run_leaves_the_old_state_or_the_new_one(
    moment: str, first: bool, file: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise Killed

    old = None if first else write(file, "1.0")
    with monkeypatch.context() as patch:
        match moment:
            case "write_next":
                patch.setattr(StateFile, "_write_next", killed)
            case "fsync":
                patch.setattr(os, "fsync", killed)
            case "rename":
                patch.setattr(Path, "rename", killed)
            case "sync":
                patch.setattr(module, "sync", killed)
        with pytest.raises(Killed):
            write(file, "2.0")
    assert file.load() == old
    assert write(file, "2.0") == file.load() == remembering("2.0")
    assert [path.name for path in file.folder.iterdir()] == ["state.json"]


def test_what_a_killed_run_has_begun_is_not_the_state(file: StateFile, folder: Path) -> None:
    write(file, "1.0")
    (folder / "state.json.next").write_bytes(remembering("2.0").to_bytes()[:20])
    assert file.load() == remembering("1.0")
    write(file, "3.0")
    assert [path.name for path in folder.iterdir()] == ["state.json"]


MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[:-1],
    "no JSON": lambda data: b"\0" * len(data),
    "other bytes for the same": lambda data: data + b"\n",
    "an unknown key": lambda data: data.replace(b'"counter"', b'"counted"'),
    "an unknown schema": lambda data: data.replace(b"state/v1", b"state/v2"),
    "no version": lambda data: data.replace(b'"1.0"', b'"one"'),
    "no digest": lambda data: data.replace(b"a" * 64, b"a" * 63),
    "an epoch in another form": lambda data: data.replace(b'"1":', b'"01":'),
    "an epoch without its root document": lambda data: data.replace(b'"1":', b'"2":'),
    "a time that is none": lambda data: data.replace(b"2026-01-01T", b"yesterday, "),
    "too much": lambda data: data + b" " * limits.MAX_STATE,
}


@pytest.mark.parametrize("spoil", MALFORMED.values(), ids=list(MALFORMED))
def test_a_damaged_state_is_refused_and_not_taken_for_none(
    spoil: Callable[[bytes], bytes], file: StateFile, folder: Path
) -> None:
    write(file, "1.0")
    path = folder / "state.json"
    path.write_bytes(spoil(path.read_bytes()))
    for act in (file.load, lambda: write(file, "2.0")):
        with pytest.raises(NotTrusted) as caught:
            act()
        assert (caught.value.reference, caught.value.where) == ("state-malformed", str(path))
        assert "appliance state rebuild" in caught.value.hint
    assert file.remains() is None
    file.replace(remembering("2.0"))
    assert file.load() == remembering("2.0")


def test_a_link_in_place_of_the_state_is_not_followed(file: StateFile, folder: Path, tmp_path: Path) -> None:
    write(file, "1.0")
    (folder / "state.json").rename(tmp_path / "elsewhere")
    (folder / "state.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotTrusted, match="cannot be read"):
        file.load()


@pytest.mark.parametrize(("name", "mode"), [("", 0o755), ("", 0o770), ("state.json", 0o640), ("state.json", 0o602)])
def test_a_state_that_others_could_have_written_or_read_is_refused(
    name: str, mode: int, file: StateFile, folder: Path
) -> None:
    write(file, "1.0")
    (folder / name).chmod(mode)
    with pytest.raises(NotTrusted) as caught:
        file.load()
    assert (caught.value.reference, caught.value.where) == ("state-unsafe", str(folder / name))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_a_state_of_another_user_is_refused(file: StateFile, folder: Path) -> None:
    write(file, "1.0")
    os.chown(folder / "state.json", 65534, 65534)
    with pytest.raises(NotTrusted, match="somebody else"):
        file.load()


def test_a_state_beyond_the_limit_is_not_written(
    file: StateFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_STATE", 100)
    with pytest.raises(BadInput) as caught:
        write(file, "1.0")
    assert caught.value.reference == "state-oversized"
    assert not folder.exists()
