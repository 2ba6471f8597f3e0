import hashlib
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.errors import BadInput, NotTrusted
from appliance.model.files import Content
from appliance.store import cache as module
from appliance.store.cache import Cache, hash_file
from appliance.store.disk import remove_tree

_DATA = b"weights " * 1000


def _content(data: bytes) -> Content:
    return Content(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "a cache")


def _receive(cache: Cache, content: Content, *chunks: bytes) -> None:
    with cache.receive(content) as receiver:
        for chunk in chunks:
            receiver.write(chunk)


def _leftovers(cache: Cache) -> list[str]:
    return sorted(path.name for folder in ("work", "partial") for path in (cache.root / folder).iterdir())


def test_received_bytes_are_kept_under_their_digest(cache: Cache) -> None:
    content = _content(_DATA)
    assert not cache.holds(content)
    _receive(cache, content, _DATA[:10], b"", _DATA[10:])
    assert cache.holds(content)
    path = cache.path(content)
    assert path.read_bytes() == _DATA
    assert (path.stat().st_mode & 0o777, path.stat().st_mtime) == (0o444, 0)
    assert _leftovers(cache) == []


def test_an_interrupted_download_goes_on_where_it_stopped(cache: Cache) -> None:
    content = _content(_DATA)
    with suppress(ConnectionError), cache.receive(content) as receiver:
        receiver.write(_DATA[:3000])
        raise ConnectionError
    with cache.receive(content) as receiver:
        assert receiver.offset == 3000
        receiver.write(_DATA[3000:])
    assert cache.path(content).read_bytes() == _DATA


def test_too_few_bytes_wait_for_the_next_run(cache: Cache) -> None:
    content = _content(_DATA)
    with pytest.raises(BadInput) as caught:
        _receive(cache, content, _DATA[:100])
    assert caught.value.reference == "download-incomplete"
    assert f"100 of {len(_DATA)} bytes" in caught.value.what
    _receive(cache, content, _DATA[100:])
    assert cache.holds(content)


def test_a_source_that_cannot_go_on_starts_again(cache: Cache) -> None:
    content = _content(_DATA)
    with pytest.raises(BadInput):
        _receive(cache, content, b"other")
    with cache.receive(content) as receiver:
        receiver.restart()
        assert receiver.offset == 0
        receiver.write(_DATA)
    assert cache.holds(content)


def test_other_bytes_are_never_kept(cache: Cache) -> None:
    content = _content(_DATA)
    with pytest.raises(NotTrusted) as caught:
        _receive(cache, content, b"x" * len(_DATA))
    assert caught.value.reference == "content-mismatch"
    assert (caught.value.expected, caught.value.found) == (content.sha256, _content(b"x" * len(_DATA)).sha256)
    assert not cache.holds(content)
    with cache.receive(content) as receiver:
        assert receiver.offset == 0  # the wrong beginning is forgotten
        receiver.write(_DATA)


def test_more_bytes_than_promised_stop_at_once(cache: Cache) -> None:
    content = _content(_DATA)
    with pytest.raises(NotTrusted, match="different bytes"):
        _receive(cache, content, _DATA, b"x")
    assert not cache.holds(content)


def test_a_beginning_that_is_too_long_is_dropped(cache: Cache) -> None:
    content = _content(_DATA)
    (cache.root / "partial" / content.sha256).write_bytes(_DATA + _DATA)
    with cache.receive(content) as receiver:
        assert receiver.offset == 0
        receiver.write(_DATA)
    assert cache.holds(content)


def test_what_another_process_fetched_meanwhile_is_not_fetched_again(cache: Cache) -> None:
    content = cache.put(_DATA)
    with cache.receive(content) as receiver:
        assert receiver.offset == content.size
        receiver.write(b"superfluous")
    assert cache.path(content).read_bytes() == _DATA
    assert _leftovers(cache) == []


def test_a_link_in_place_of_a_beginning_is_not_written_through(cache: Cache, tmp_path: Path) -> None:
    content = _content(_DATA)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (cache.root / "partial" / content.sha256).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        _receive(cache, content, _DATA)
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("change", [b"X" * len(_DATA), b"short", b""])
def test_a_changed_file_is_noticed_and_thrown_away(cache: Cache, change: bytes) -> None:
    content = cache.put(_DATA)
    path = cache.path(content)
    path.chmod(0o644)
    path.write_bytes(change)
    assert not cache.holds(content)
    assert not path.exists()


def test_a_file_that_was_only_touched_is_hashed_and_kept(cache: Cache) -> None:
    content = cache.put(_DATA)
    os.utime(cache.path(content))
    assert cache.holds(content)
    assert cache.path(content).stat().st_mtime == 0


def test_bytes_come_in_by_three_doors(cache: Cache, tmp_path: Path) -> None:
    somebody_elses = tmp_path / "file"
    somebody_elses.write_bytes(_DATA)
    for _ in range(2):  # the second time they are there already
        assert cache.put(_DATA) == _content(_DATA)
        assert cache.copy_in(somebody_elses) == _content(_DATA)
        with cache.work("tool") as folder:
            (folder / "made").write_bytes(_DATA)
            assert cache.adopt(folder / "made") == _content(_DATA)
            assert not (folder / "made").exists()
    with cache.work("tool") as folder:
        (folder / "made").write_bytes(b"new")
        cache.adopt(folder / "made")
    assert cache.copy_in(cache.path(_content(b"new"))) == _content(b"new")
    (tmp_path / "fresh").write_bytes(b"fresh")
    assert cache.holds(cache.copy_in(tmp_path / "fresh"))
    assert somebody_elses.exists()
    assert _leftovers(cache) == []


def test_what_is_missing_is_named_once_in_order(cache: Cache) -> None:
    held = cache.put(b"held")
    one, two = _content(b"one"), _content(b"two")
    assert cache.missing([two, held, one, two]) == [two, one]


def test_somebody_elses_file_is_compared_by_its_bytes(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(_DATA)
    assert cache.is_equal(path, _content(_DATA))
    assert not cache.is_equal(path, _content(_DATA[:-1] + b"x"))
    assert not cache.is_equal(path, _content(b"short"))


def test_scratch_directories_go_away_also_those_that_others_have_left(cache: Cache) -> None:
    left = cache.root / "work" / "build-x"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "file").touch()
    (left / "deep").chmod(0o555)
    with cache.work("other") as other:
        with suppress(RuntimeError), cache.work("test") as folder:
            (folder / "file").touch()
            raise RuntimeError
        assert _leftovers(cache) == [other.name]


def test_results_are_remembered_until_they_are_spoilt(cache: Cache) -> None:
    key = "ab" * 32
    assert cache.recall(key) == ()
    cache.remember(key, ("one", "two"))
    cache.remember(key, ("one", "three"))
    assert cache.recall(key) == ("one", "three")
    (cache.root / "results" / key).write_bytes(b"{")
    assert cache.recall(key) == ()


def test_two_caches_on_one_directory_are_one(cache: Cache) -> None:
    content = cache.put(_DATA)
    assert Cache(cache.root).holds(content)
    assert Cache(cache.root).free_bytes() > 0


def test_two_processes_fetch_one_content_once(cache: Cache) -> None:
    """The second waits for the first and then has nothing to do."""
    content = _content(_DATA)
    code = (
        "import sys; from pathlib import Path; from appliance.store.cache import Cache;"
        "from appliance.model.files import Content\n"
        "with Cache(Path(sys.argv[1])).receive(Content(sha256=sys.argv[2], size=int(sys.argv[3]))) as receiver:\n"
        "    print(receiver.offset)"
    )
    with cache.receive(content) as receiver:
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(cache.root), content.sha256, str(content.size)], stdout=subprocess.PIPE
        )
        receiver.write(_DATA)
    output, _ = other.communicate(timeout=60)
    assert (other.returncode, int(output)) == (0, content.size)
    assert cache.path(content).read_bytes() == _DATA


def test_a_cache_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput) as caught:
        Cache(tmp_path / "file" / "cache")
    assert caught.value.reference == "cache-unusable"


def test_a_file_larger_than_one_block_is_hashed_whole(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * (2 * module.CHUNK + 1))
    assert hash_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel tells a user who is not root: no writing in a directory without the right to."""
    real = os.unlink

    def unlink(name: str, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None and not os.fstat(dir_fd).st_mode & 0o200:
            raise PermissionError(13, "Permission denied", name)
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)


@pytest.mark.usefixtures("ordinary_user")
def test_trees_are_removed_whatever_their_modes(tmp_path: Path) -> None:
    top = tmp_path / "tree"
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o755)
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/file").touch()
    (top / "a/b/link").symlink_to(outside)
    for folder in (top / "a/b", top / "a", top):
        folder.chmod(0o555)
    remove_tree(top)
    assert not top.exists()
    assert outside.stat().st_mode & 0o777 == 0o755
    remove_tree(top)  # nothing there is fine too


def test_a_tree_that_cannot_be_removed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted", name)

    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/immutable").touch()
    monkeypatch.setattr(os, "unlink", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # others may try with their subordinate ids
    with pytest.raises(PermissionError):
        remove_tree(tmp_path / "tree")


def test_two_processes_may_clear_one_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.unlink

    def lose_the_race_once(name: str, *, dir_fd: int) -> None:
        monkeypatch.setattr(os, "unlink", real)
        real(name, dir_fd=dir_fd)
        raise FileNotFoundError(2, "No such file or directory", name)

    (tmp_path / "tree").mkdir()
    for name in ("a", "b"):
        (tmp_path / "tree" / name).touch()
    monkeypatch.setattr(os, "unlink", lose_the_race_once)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
