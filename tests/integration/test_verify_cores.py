"""verify.sh on all cores: what it says does not depend on who hashes what, on who ends first, or on who is killed.

The programs that it calls are replaced by ``--tools``: by ones that fail, wait for each other, or know no ``-P``.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.bundles import PLAIN, SCRIPT, Written, run_script

pytestmark = pytest.mark.integration

LARGE = 10_000_000  # from here on, a file is a part of its own
# The list's order is not that of their sizes, so not that in which they are hashed; and two are hashed together.
FILES = {
    "models/a": b"a" * 2000,
    "models/b c": b"b" * LARGE,
    "models/d's \u00e9": b"d" * (LARGE + 1),
    "models/e": b"e" * 2000,
    "models/f": b"f" * 1_000_000,
}
SHA256SUM = shutil.which("sha256sum")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return PLAIN.but(files=FILES).write(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """All but the first have another last byte."""
    written = PLAIN.but(files=FILES).write(tmp_path_factory.mktemp("bad"))
    for name in list(FILES)[1:]:
        with (written.path / name).open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"x")
    return written


def tool(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return folder


def hashing(folder: Path, text: str) -> Path:
    """A sha256sum that does this first when it is asked about a list, which is its third argument."""
    return tool(folder, "sha256sum", f'if [ "$1" = --check ]; then\n{text}\nfi\nexec {SHA256SUM} "$@"')


def judged(written: Written, tools: Path | None = None) -> "subprocess.CompletedProcess[str]":
    told = [] if tools is None else ["--tools", str(tools)]
    return run_script([str(written.path), "--root", str(written.trusted), *told])


def named(said: str) -> list[str]:
    """The files that it names with their digests, in its order."""
    return [line.split('"')[1] for line in said.splitlines() if line.startswith('  file:     "models/')]


# What it says of files that differ --------------------------------------------------------------


@pytest.mark.parametrize("late", ["a$", "b c$", "d's", "f$"])
def test_files_are_named_in_the_order_of_the_list_whoever_is_late(bad: Written, tmp_path: Path, late: str) -> None:
    result = judged(bad, hashing(tmp_path / "tools", f'! grep -q "models/{late}" "$3" || sleep 1'))
    assert (result.returncode, result.stdout) == (3, "")
    assert named(result.stderr) == ["models/b c", r"models/d's \u00e9", "models/e", "models/f"]
    assert "files that are not the ones that were signed: 4\n" in result.stderr


@pytest.mark.parametrize("xargs", ["exit 127", 'case " $*" in *" -P "*) echo "what is -P?" >&2; exit 1 ;; esac'])
def test_without_minus_p_it_says_the_same(good: Written, bad: Written, tmp_path: Path, xargs: str) -> None:
    tools = tool(tmp_path / "tools", "xargs", xargs)
    for written, code in ((good, 0), (bad, 3)):
        known, found = judged(written), judged(written, tools)
        assert (found.returncode, found.stdout, found.stderr) == (code, known.stdout, known.stderr)


# Who fails --------------------------------------------------------------------------------------


FAILING = {
    "killed": "kill -KILL $$",
    "killed at its end": '{real} "$@" | head -c 8; kill -KILL $$',
    "silent": "exit 0",
    "failed": "exit 1",
    "of another kind": 'echo "all is well"; exit 0',
    "ends all": "exit 255",
}
TOGETHER = {**FAILING, "killed with xargs": "kill -KILL $PPID"}


@pytest.mark.parametrize(
    ("xargs", "failing"), [("parallel", name) for name in TOGETHER] + [("none", name) for name in FAILING]
)
def test_a_file_of_which_nobody_said_that_it_is_right_is_not(
    good: Written, tmp_path: Path, xargs: str, failing: str
) -> None:
    what = TOGETHER[failing].format(real=SHA256SUM)
    tools = hashing(tmp_path / "tools", f"if grep -q 'models/b c' \"$3\"; then\n{what}\nfi")
    if xargs == "none":
        tool(tools, "xargs", "exit 127")
    result = judged(good, tools)
    assert (result.returncode, result.stdout) == (3, "")
    assert "models/b c" in named(result.stderr)
    assert "found:    the same now, but it was not read to its end before" in result.stderr


def test_nothing_is_verified_when_nothing_was_hashed(good: Written, tmp_path: Path) -> None:
    result = judged(good, tool(tmp_path / "tools", "xargs", "exit 0"))
    assert (result.returncode, result.stdout) == (3, "")


# On how many cores ------------------------------------------------------------------------------


def test_two_cores_hash_at_once(good: Written, tmp_path: Path) -> None:
    """Each waits until it is not alone, so that one after the other would not come to an end."""
    (tmp_path / "here").mkdir()
    met = f"""
    : >"{tmp_path}/here/$$"
    for _ in $(seq 100); do
        [ "$(ls "{tmp_path}/here" | wc -l)" -lt 2 ] || exec {SHA256SUM} "$@"
        sleep 0.1
    done
    exit 1"""
    tools = tool(hashing(tmp_path / "tools", met), "nproc", "echo 2")
    result = judged(good, tools)
    assert result.returncode == 0, result.stderr
    assert judged(good, tool(tools, "xargs", "exit 127")).returncode == 0  # they have met


@pytest.mark.parametrize("said", ["echo many", "echo 0", "exit 1", "echo 1000000"])
def test_an_odd_number_of_cores_is_no_reason_to_refuse(good: Written, tmp_path: Path, said: str) -> None:
    assert judged(good, tool(tmp_path / "tools", "nproc", said)).returncode == 0


def test_many_small_files_take_few_processes(tmp_path: Path) -> None:
    files = {f"models/{number:04}": b"x" for number in range(2500)}
    written = PLAIN.but(files=files).write(tmp_path / "bundle")
    tools = hashing(tmp_path / "tools", f'echo >>"{tmp_path}/calls"')
    assert judged(written, tools).returncode == 0
    assert len((tmp_path / "calls").read_text().splitlines()) <= 4  # bundle.json is not small


def gone(group: int) -> bool:
    """Whether the last process of a group ends soon; one that was killed is there until it is waited for."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_an_interrupted_run_leaves_no_process_and_no_file(good: Written, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    tools = tool(hashing(tmp_path / "tools", f'echo >>"{tmp_path}/begun"\nsleep 300'), "nproc", "echo 2")
    with subprocess.Popen(
        ["sh", str(SCRIPT), str(good.path), str(good.trusted), "--tools", str(tools)],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        for _ in range(600):
            if (tmp_path / "begun").exists() and (tmp_path / "begun").read_text() == "\n\n":
                break
            time.sleep(0.05)
        # Not SIGINT, which is ignored for good where the tests run in the background.
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=30) == 130
        assert list((tmp_path / "tmp").iterdir()) == []
        assert gone(process.pid)
