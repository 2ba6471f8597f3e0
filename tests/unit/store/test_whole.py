"""Small files are there whole, or as they were."""

import ctypes
import errno
import os
import threading
from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.store import whole as module
from appliance.store.whole import changing, write_whole


def _refuse(*arguments: object) -> int:
    """A file system that does not know renameat2's flag."""
    ctypes.set_errno(errno.EINVAL)
    return -1


@pytest.mark.parametrize("way", [module._RENAME, _refuse, None], ids=["rename", "link", "old libc"])
def test_an_existing_file_is_not_replaced_when_it_must_not_be(
    way: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENAME", way)
    write_whole(tmp_path / "new", b"new", mode=0o600, replace=False)
    assert (tmp_path / "new").read_bytes() == b"new"
    (tmp_path / "new").unlink()
    path = tmp_path / "key"
    path.write_text("old")
    with pytest.raises(BadInput, match="not overwritten"):
        write_whole(path, b"new", mode=0o600, replace=False)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _no_links(source: object, target: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_a_file_system_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT and exFAT, which sticks have, know neither links nor modes, and an old libc no other way."""
    monkeypatch.setattr(os, "link", _no_links)
    monkeypatch.setattr(module, "_RENAME", None)
    path = tmp_path / "root.json"
    write_whole(path, b"new", mode=0o644, replace=False)
    with pytest.raises(BadInput, match="not overwritten"):
        write_whole(path, b"newer", mode=0o644, replace=False)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_secret_is_not_written_where_all_can_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = os.fchmod
    monkeypatch.setattr(os, "fchmod", lambda descriptor, mode: change(descriptor, 0o755))
    with pytest.raises(BadInput) as caught:
        write_whole(tmp_path / "key.pem", b"secret", mode=0o600)
    assert caught.value.reference == "not-private"
    write_whole(tmp_path / "key.pub.pem", b"public", mode=0o644)
    assert [path.name for path in tmp_path.iterdir()] == ["key.pub.pem"]


def test_what_a_killed_writer_has_left_is_cleared(tmp_path: Path) -> None:
    for name in (".a.json.ab12_x9z", ".b.json.ab12_x9z", "a.json", ".a.json"):
        (tmp_path / name).touch()
    with changing(tmp_path, "a.json"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {".b.json.ab12_x9z", "a.json", ".a.json"}


def test_who_changes_a_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "signatures"
    path.write_text("")

    def sign(name: str) -> None:
        with changing(tmp_path, path.name):
            before = path.read_text()
            write_whole(path, f"{before}{name}\n".encode(), mode=0o644)

    people = [threading.Thread(target=sign, args=(f"{number}",)) for number in range(20)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert sorted(path.read_text().split()) == sorted(map(str, range(20)))
