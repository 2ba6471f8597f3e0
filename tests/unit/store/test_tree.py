import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.errors import BadInput, NotTrusted
from appliance.model.files import TreeEntry
from appliance.model.progress import Silent
from appliance.store import tree as module
from appliance.store.beneath import open_beneath
from appliance.store.hashing import Stopped
from appliance.store.tree import Tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "a tree"
    (top / "models/x").mkdir(parents=True)
    (top / "models/x/weights").write_bytes(b"w" * 3_000_000)
    (top / "models/x/empty").touch()
    (top / "note.txt").write_bytes(b"hello\n")
    (tmp_path / "secret").write_bytes(b"outside")
    return top


@contextmanager
def _opened(folder: Path) -> Iterator[Tree]:
    with Tree(folder, Silent()) as tree:
        yield tree


def _refusal(folder: Path, path: str) -> NotTrusted:
    with _opened(folder) as tree, pytest.raises(NotTrusted) as caught:
        tree.read(path, 100)
    return caught.value


def test_everything_is_listed_for_what_it_is(folder: Path) -> None:
    (folder / "link").symlink_to("note.txt")
    (folder / "folder-link").symlink_to("models")
    os.mkfifo(folder / "pipe")
    (folder / "rights").touch()
    (folder / "rights").chmod(0o4755)
    with _opened(folder) as tree:
        listing = tree.listing()
    assert listing["models/x/weights"] == TreeEntry("file", 3_000_000)
    assert listing["models/x/empty"] == TreeEntry("file", 0)
    kinds = {path: entry.kind for path, entry in listing.items()}
    assert (kinds["models"], kinds["link"], kinds["folder-link"]) == ("directory", "link", "link")
    assert (kinds["pipe"], kinds["rights"]) == ("special", "special")
    assert not any(path.startswith("folder-link/") for path in listing)


def test_names_that_are_not_utf8_are_listed_too(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff\x81")).touch()
    with _opened(folder) as tree:
        assert os.fsdecode(b"\xff\x81") in tree.listing()


def test_a_file_is_read_up_to_a_limit(folder: Path) -> None:
    with _opened(folder) as tree:
        assert tree.read("note.txt", 6) == b"hello\n"
        assert tree.read("models/x/weights", 3_000_000) == b"w" * 3_000_000
        with pytest.raises(NotTrusted) as caught:
            tree.read("note.txt", 5)
    assert caught.value.reference == "file-oversized"


@pytest.mark.parametrize(
    ("path", "reference"),
    [("missing", "file-missing"), ("missing/x", "file-missing"), ("note.txt/x", "file-type"), ("models", "file-type")],
)
def test_what_is_no_file_is_not_read(folder: Path, path: str, reference: str) -> None:
    assert _refusal(folder, path).reference == reference


def test_no_link_is_followed_at_any_depth(folder: Path) -> None:
    (folder / "models/out").symlink_to(folder.parent)
    (folder / "models/secret").symlink_to(folder.parent / "secret")
    assert _refusal(folder, "models/secret").reference == "file-type"
    assert _refusal(folder, "models/out/secret").reference == "file-type"


def test_a_pipe_does_not_hold_the_reader_up(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert _refusal(folder, "pipe").reference == "file-type"


def test_what_is_no_file_is_not_even_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening has effects: on a device, and on whoever waits at the other end of a pipe."""
    os.mkfifo(folder / "models/pipe")
    opened: list[str] = []

    def watch(directory: int, path: str, flags: int) -> int:
        opened.append(path)
        return open_beneath(directory, path, flags)

    monkeypatch.setattr(module, "open_beneath", watch)
    with _opened(folder) as tree:
        for use in (lambda: tree.read("models/pipe", 100), lambda: list(tree.digests(["models/pipe"]))):
            with pytest.raises(NotTrusted, match="not an ordinary file"):
                use()
            tree.listing()  # the second time it is known from here
    assert "models" in opened
    assert "models/pipe" not in opened


def test_a_file_that_becomes_a_pipe_after_it_was_listed_is_refused(folder: Path) -> None:
    with _opened(folder) as tree:
        tree.listing()
        (folder / "note.txt").unlink()
        os.mkfifo(folder / "note.txt")
        with pytest.raises(NotTrusted, match="not an ordinary file"):
            tree.read("note.txt", 100)


def test_the_tree_is_the_directory_that_was_opened(folder: Path) -> None:
    """Whoever swaps the directory by name meanwhile changes nothing."""
    with _opened(folder) as tree:
        folder.rename(folder.parent / "moved")
        (folder.parent / "a tree").mkdir()
        (folder.parent / "a tree/note.txt").write_bytes(b"false\n")
        assert tree.read("note.txt", 100) == b"hello\n"


def test_digests_are_those_of_the_files(folder: Path) -> None:
    with _opened(folder) as tree:
        digests = dict(tree.digests(["note.txt", "models/x/weights", "models/x/empty"]))
    for path, digest in digests.items():
        assert digest == hashlib.sha256((folder / path).read_bytes()).hexdigest()
    assert len(digests) == 3


def test_a_tap_gets_the_bytes_that_are_hashed(folder: Path) -> None:
    taken: dict[str, bytes] = {}

    @contextmanager
    def tap(path: str) -> Iterator[Callable[[memoryview], None]]:
        parts: list[bytes] = []
        yield lambda block: parts.append(bytes(block))
        taken[path] = b"".join(parts)

    with _opened(folder) as tree:
        digests = dict(tree.digests(["note.txt", "models/x/weights", "models/x/empty"], tap))
    assert {path: hashlib.sha256(data).hexdigest() for path, data in taken.items()} == digests


def test_a_tap_learns_that_a_file_was_not_read_to_its_end(folder: Path) -> None:
    with _opened(folder) as tree:

        @contextmanager
        def tap(path: str) -> Iterator[Callable[[memoryview], None]]:
            with pytest.raises(Stopped):
                yield lambda block: tree._stop.set()  # as Ctrl-C does while the first block is written
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(tree.digests(["models/x/weights"], tap))


def test_a_missing_file_stops_the_hashing(folder: Path) -> None:
    with _opened(folder) as tree, pytest.raises(NotTrusted, match="missing"):
        list(tree.digests(["note.txt", "missing"]))


def test_an_interrupt_ends_the_threads_at_their_next_block(folder: Path) -> None:
    before = threading.active_count()  # whoever runs the tests has threads of their own
    with _opened(folder) as tree:
        digests = tree.digests(["note.txt", "models/x/weights"])
        next(iter(digests))
        digests.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_directory_that_cannot_be_opened_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(BadInput) as caught:
            Tree(path, Silent())
        assert caught.value.reference == "directory-unreadable"


def test_a_directory_that_can_be_listed_and_not_entered_is_bad_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may enter every directory, so the kernel's answer is played.
    def refuse(path: object, **options: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(BadInput, match="Permission denied"):
        Tree(folder, Silent())
    monkeypatch.undo()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_medium_that_fails_while_it_is_read_is_not_trusted() -> None:
    # The kernel answers a read of this file's first byte with EIO, like a dying disk.
    with _opened(Path("/proc/self")) as tree:
        for use in (lambda: tree.read("mem", 100), lambda: list(tree.digests(["mem"]))):
            with pytest.raises(NotTrusted) as caught:
                use()
            assert (caught.value.reference, caught.value.where) == ("file-unreadable", "mem")


def test_a_directory_that_cannot_be_listed_is_not_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with _opened(folder) as tree, pytest.raises(NotTrusted) as caught:
        tree.listing()
    assert (caught.value.reference, caught.value.where) == ("file-unreadable", ".")


def test_a_tree_without_end_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "/".join(["d"] * 40)).mkdir(parents=True)
    with _opened(folder) as tree, pytest.raises(NotTrusted) as caught:
        tree.listing()
    assert caught.value.reference == "tree-oversized"
    monkeypatch.setattr(module, "MAX_TREE_ENTRIES", 1)
    with _opened(folder / "models") as tree, pytest.raises(NotTrusted) as caught:
        tree.listing()
    assert caught.value.reference == "tree-oversized"
