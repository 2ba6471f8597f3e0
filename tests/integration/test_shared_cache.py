"""One cache, and processes that do not see each other: two CI containers with one volume."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.store.cache import Cache
from tests.support.namespaces import needs_namespaces

pytestmark = [pytest.mark.integration, needs_namespaces]

_OWN = ("--pid", "--fork", "--kill-child", "--mount-proc")
# Its number is one that nobody else has in a namespace of their own.
_LATE = ("sh", "-c", 'for number in 1 2 3 4 5 6 7; do sleep 0 & done; wait; "$@"; exit', "sh")
_WORK = """
import sys
from pathlib import Path
from appliance.store.cache import Cache

with Cache(Path(sys.argv[1])).work("image") as folder:
    (folder / "half an image").touch()
    print(folder, flush=True)
    sys.stdin.readline()
    print((folder / "half an image").exists(), flush=True)
"""


@contextmanager
def container(cache: Path, *, late: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """A process that works in the cache until it gets a line; of all others it sees its shell alone."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    command = ["unshare", *user, *_OWN, "--", *(_LATE if late else ()), sys.executable, "-c", _WORK, str(cache)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_the_work_of_a_live_build_is_left_alone(tmp_path: Path) -> None:
    with container(tmp_path, late=True) as first:
        place = Path(line(first))
        with container(tmp_path) as second:
            assert Path(line(second)) != place
            with Cache(tmp_path).work("here"):
                assert place.is_dir()
            for process in (second, first):
                assert process.communicate("\n")[0] == "True\n", "its files were there to the end"
    assert list((tmp_path / "work").iterdir()) == []


def test_what_a_killed_build_has_left_is_cleared_by_others(tmp_path: Path) -> None:
    with container(tmp_path) as first:
        place = Path(line(first))
        os.kill(first.pid, signal.SIGKILL)  # its child dies with it
        first.wait()
        assert first.stdout
        assert first.stdout.read() == ""
    assert place.is_dir()
    with container(tmp_path) as second:
        line(second)
        assert not place.exists()
