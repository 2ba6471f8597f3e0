"""Both ways of opening below a directory, held against one table; and what nobody may win by being fast."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from appliance.errors import NotTrusted
from appliance.model.progress import Silent
from appliance.store import beneath
from appliance.store.beneath import Neighbours, by_component, by_kernel, open_beneath
from appliance.store.tree import Tree

_FILE = os.O_RDONLY | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_WAYS = {"by the kernel": by_kernel, "by component": by_component}


@pytest.fixture(params=_WAYS.values(), ids=list(_WAYS))
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param is by_kernel and beneath._way() is not by_kernel:
        pytest.skip("needs a kernel with openat2 (Linux 5.6) and no filter that refuses it")
    monkeypatch.setattr(beneath, "_way", lambda: request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tree with one of everything; ``outside`` lies beside it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("outside")
    top = tmp_path / "a tree"
    (top / "a/b").mkdir(parents=True)
    for path in ("file", "a/file", "a/b/file", "a/b/mod\u00e8le x", os.fsdecode(b"a/\xff")):
        (top / path).write_text("inside")
        (top / path).chmod(0o644)  # whatever the umask: others look at it too
    for path, target in {
        "link": "file",
        "a/link": "b/file",
        "a/b/link": "../../../outside/file",
        "folder-link": "a",
        "a/out": "../../outside",
        "absolute": str(tmp_path / "outside"),
        "dangling": "missing",
        "loop": "loop",
        "up": "..",
    }.items():
        (top / path).symlink_to(target)
    os.mkfifo(top / "a/pipe")
    with socket.socket(socket.AF_UNIX) as listener, _inside(top / "a"):
        listener.bind("socket")
    for path in ("a/pipe", "a/socket"):
        (top / path).chmod(0o644)
    for opened in (top, top / "a", top / "a/b"):
        opened.chmod(0o755)
    (top / "a/closed").mkdir()
    (top / "a/closed/file").touch()
    (top / "a/closed").chmod(0)
    (top / "a/unreadable").touch(0)
    return top


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    # A socket's name has 108 bytes, which a temporary directory may have alone.
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _as_nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _outcome(directory: int, path: str, flags: int) -> str:
    return _outcome_of(partial(open_beneath, directory), path, flags)


def _outcome_of(opening: Callable[[str, int], int], path: str, flags: int) -> str:
    """The content of a file, the names in a directory, or the error's name."""
    try:
        descriptor = opening(path, flags)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    try:
        assert not os.get_inheritable(descriptor)
        if flags == _FOLDER:
            return ",".join(sorted(os.listdir(descriptor)))  # noqa: PTH208
        return os.read(descriptor, 100).decode()
    finally:
        os.close(descriptor)


_OUTCOMES = [
    ("file", _FILE, "inside"),
    ("a/file", _FILE, "inside"),
    ("a/b/file", _FILE, "inside"),
    ("a/b/mod\u00e8le x", _FILE, "inside"),
    (os.fsdecode(b"a/\xff"), _FILE, "inside"),
    ("a/b", _FOLDER, "file,link,mod\u00e8le x"),
    ("missing", _FILE, "ENOENT"),
    ("a/missing/file", _FILE, "ENOENT"),
    ("file/x", _FILE, "ENOTDIR"),
    ("a/file/x/y", _FILE, "ENOTDIR"),
    ("file", _FOLDER, "ENOTDIR"),
    ("link", _FILE, "ELOOP"),
    ("a/link", _FILE, "ELOOP"),
    ("a/b/link", _FILE, "ELOOP"),
    ("folder-link", _FOLDER, "ELOOP"),
    ("folder-link/file", _FILE, "ELOOP"),
    ("folder-link/b/file", _FILE, "ELOOP"),
    ("a/out/file", _FILE, "ELOOP"),
    ("a/out", _FOLDER, "ELOOP"),
    ("absolute", _FOLDER, "ELOOP"),
    ("absolute/file", _FILE, "ELOOP"),
    ("dangling", _FILE, "ELOOP"),
    ("dangling/x", _FILE, "ELOOP"),
    ("loop", _FILE, "ELOOP"),
    ("loop/x", _FILE, "ELOOP"),
    ("up/outside/file", _FILE, "ELOOP"),
    ("a/pipe", _FILE, ""),
    ("a/pipe/x", _FILE, "ENOTDIR"),
    ("a/pipe", _FOLDER, "ENOTDIR"),
    ("a/socket", _FILE, "ENXIO"),
    ("a/closed/file", _FILE, "EACCES"),
    ("a/closed", _FOLDER, "EACCES"),
    ("a/unreadable", _FILE, "EACCES"),
    ("../outside/file", _FILE, "EXDEV"),
    ("..", _FOLDER, "EXDEV"),
    ("a/../file", _FILE, "EXDEV"),
    ("a/../../outside/file", _FILE, "EXDEV"),
    ("a/..", _FOLDER, "EXDEV"),
    ("/etc/passwd", _FILE, "EXDEV"),
    ("/file", _FILE, "EXDEV"),
    ("/", _FOLDER, "EXDEV"),
    ("", _FOLDER, "EXDEV"),
    ("a//file", _FILE, "EXDEV"),
    ("file/", _FILE, "EXDEV"),
    ("./file", _FILE, "EXDEV"),
    ("a/./file", _FILE, "EXDEV"),
    ("file\0", _FILE, "EINVAL"),
    ("file\0/x", _FILE, "EINVAL"),
    ("\ud800", _FILE, "EINVAL"),
    ("x" * 256, _FILE, "ENAMETOOLONG"),
    ("/".join(["x"] * 2048), _FILE, "ENOENT"),
    ("/".join(["x"] * 2049), _FILE, "ENAMETOOLONG"),
]


@pytest.mark.usefixtures("_way")
def test_both_ways_have_the_same_outcomes(folder: Path) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    with _opened(folder) as directory, _as_nobody():
        found = [(path, flags, _outcome(directory, path, flags)) for path, flags, _ in _OUTCOMES]
    assert found == _OUTCOMES
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208 - no descriptor was left open


@pytest.mark.usefixtures("_way")
def test_files_that_are_opened_one_after_the_other_have_them_too(folder: Path) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    files = [(path, flags, outcome) for path, flags, outcome in _OUTCOMES if flags == _FILE]
    with _opened(folder) as directory, _as_nobody(), Neighbours(directory) as neighbours:
        for _ in range(2):  # in every order of before and after
            found = [(path, flags, _outcome_of(neighbours.open, path, flags)) for path, flags, _ in files]
            assert found == files
            files.reverse()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


@pytest.mark.usefixtures("_way")
def test_links_that_the_kernel_makes_up_are_links_too() -> None:
    with _opened(Path("/proc/self")) as directory:
        for path in ("cwd/tests", "root/etc/passwd", "fd/0", "exe"):
            assert _outcome(directory, path, _FILE) == "ELOOP"


@pytest.mark.usefixtures("_way")
def test_a_device_can_be_opened_so_that_the_tree_has_to_look_first() -> None:
    with _opened(Path("/dev")) as directory:
        assert _outcome(directory, "zero", _FILE) == "\0" * 100
    with Tree(Path("/dev"), Silent()) as tree, pytest.raises(NotTrusted) as caught:
        tree.read("zero", 100)
    assert caught.value.reference == "file-type"


@pytest.mark.usefixtures("_way")
def test_a_directory_that_was_deleted_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with _opened(tmp_path / "gone") as directory:
        (tmp_path / "gone").rmdir()
        assert _outcome(directory, "file", _FILE) == "ENOENT"
        assert _outcome(directory, ".", _FOLDER) in ("", "ENOENT")


@pytest.mark.usefixtures("_way")
def test_the_descriptor_counts_and_not_the_name(folder: Path) -> None:
    with _opened(folder / "a") as directory:
        (folder / "a").rename(folder.parent / "moved")
        (folder / "a").symlink_to("../outside")
        assert _outcome(directory, "file", _FILE) == "inside"


# Exchanges two names for ever, as renameat2 does it: at no moment is one of them missing.
_EXCHANGE = """
import ctypes, os, sys
rename = ctypes.CDLL(None, use_errno=True).renameat2
one, other = (os.fsencode(name) for name in sys.argv[1:])
while True:
    if rename(-100, one, -100, other, 2):
        sys.exit(os.strerror(ctypes.get_errno()))
"""


@contextmanager
def _exchanging(one: Path, other: Path) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", _EXCHANGE, str(one), str(other)]) as process:
        try:
            yield
            assert process.poll() is None, "nothing was exchanged"
        finally:
            process.kill()


# What is exchanged with a link, and what that leads to.
_SWAPS = {
    "a directory": ("a/b", "outside"),
    "a directory above": ("a", "outside/deep"),
    "the file": ("a/b/file", "outside/file"),
}


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("swap", _SWAPS.values(), ids=list(_SWAPS))
def test_nobody_who_is_fast_leads_a_reader_outside(folder: Path, swap: tuple[str, str]) -> None:
    swapped, target = swap
    (folder.parent / "outside/deep/b").mkdir(parents=True)
    (folder.parent / "outside/deep/b/file").write_text("outside")
    link = folder / "the link"
    link.symlink_to(folder.parent / target)
    outcomes = dict.fromkeys(("inside", "file-type"), 0)
    with Tree(folder, Silent()) as tree, _exchanging(folder / swapped, link):
        while min(outcomes.values()) < 1000 or sum(outcomes.values()) < 5000:
            try:
                outcome = tree.read("a/b/file", 100).decode()
            except NotTrusted as error:
                outcome = error.reference
            assert outcome in outcomes
            outcomes[outcome] += 1


# Answers every openat2 with an error, as the filters of container engines do.  Format of the
# program: <linux/filter.h>; 38 and 22 are PR_SET_NO_NEW_PRIVS and PR_SET_SECCOMP.
_FILTERED = """
import ctypes, struct, sys
from pathlib import Path
from appliance.model.progress import Silent
program = b"".join(struct.pack("HBBI", *step) for step in (
    (0x20, 0, 0, 0), (0x15, 0, 1, 437), (0x06, 0, 0, 0x00050000 | int(sys.argv[1])), (0x06, 0, 0, 0x7FFF0000)))
buffer = ctypes.create_string_buffer(program)
header = struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, header) == 0, ctypes.get_errno()
from appliance.store import beneath
from appliance.store.tree import Tree
with Tree(Path(sys.argv[2]), Silent()) as tree:
    print(beneath._way().__name__, tree.read("a/b/file", 100).decode())
"""


@pytest.mark.parametrize("answer", [errno.ENOSYS, errno.EPERM], ids=["not there", "not allowed"])
def test_where_openat2_is_refused_the_other_way_is_taken(folder: Path, answer: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _FILTERED, str(answer), str(folder)], capture_output=True, encoding="utf-8", check=False
    )
    assert result.stdout == "by_component inside\n", result.stderr
