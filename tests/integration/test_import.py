"""``appliance import`` as a process of its own: killed at its worst moments, and on real file systems."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bundles import Recipe, Written
from tests.support.sites import snapshot, version

pytestmark = pytest.mark.integration

# Stops for ever at one call, and says so: the moment to be killed at.
DRIVER = """
import sys, time
from appliance.cli.main import run
from appliance.store import site, staging
def stop(*arguments):
    print("now", flush=True)
    while True:
        time.sleep(60)
holder, name = sys.argv[1].split(".")
setattr({"Staging": staging.Staging, "Site": site.Site}[holder], name, stop)
sys.exit(run(sys.argv[2:]))
"""
COPIED_NOTHING, COPIED_ALL, REMEMBERED, NOT_SWITCHED = (
    "Staging.check_room",
    "Staging.settle",
    "Staging.commit",
    "Site.switch",
)


@pytest.fixture
def carried(tmp_path: Path) -> Written:
    return Recipe().write(tmp_path / "on a medium")


def arguments(written: Written, site: Path) -> list[str]:
    return ["import", str(written.path), "--root", str(written.trusted), "--site", str(site)]


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


def take(written: Written, site: Path) -> "subprocess.CompletedProcess[str]":
    return run(sys.executable, "-m", "appliance", *arguments(written, site))


def end_at(moment: str, number: signal.Signals, written: Written, site: Path) -> int:
    """Start an import, end it at ``moment`` by a signal; returns the exit code."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, moment, *arguments(written, site)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "now\n"
        process.send_signal(number)
        return process.wait(timeout=60)


@pytest.mark.parametrize("moment", [COPIED_NOTHING, COPIED_ALL, REMEMBERED, NOT_SWITCHED])
def test_the_next_import_goes_on_where_one_was_killed(moment: str, carried: Written, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert take(carried, site).returncode == 0
    second = version("2.0.0").write(tmp_path / "second")
    assert end_at(moment, signal.SIGKILL, second, site) == -signal.SIGKILL
    assert (site / "current/tiny").resolve().name == "tiny-1.0.0"

    done = take(second, site)
    assert done.returncode == 0, done.stderr
    assert (site / "current/tiny").resolve().name == "tiny-2.0.0"
    assert sorted(path.name for path in (site / "bundles").iterdir()) == ["tiny-1.0.0", "tiny-2.0.0"]
    checked = run(
        *(sys.executable, "-m", "appliance", "verify", str(site / "current/tiny")), "--root", str(carried.trusted)
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [COPIED_NOTHING, COPIED_ALL])
def test_an_interrupted_import_has_never_been(
    moment: str, number: signal.Signals, carried: Written, tmp_path: Path
) -> None:
    before = snapshot(tmp_path)
    assert end_at(moment, number, carried, tmp_path / "srv/site") == 130
    assert {path: what[2:] for path, what in snapshot(tmp_path).items()} == {
        path: what[2:] for path, what in before.items()
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount file systems")
@pytest.mark.parametrize(("room", "code"), [("8m", 0), ("16k", 2)])
def test_from_a_read_only_medium_to_a_disk_with_and_without_room(
    room: str, code: int, carried: Written, tmp_path: Path
) -> None:
    script = """
    set -eu
    mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
    mkdir "$2" && mount -t tmpfs -o "size=$3" tmpfs "$2"
    site=$2; shift 3
    code=0; "$@" || code=$?
    ls -A "$site"
    exit $code
    """
    site = tmp_path / "site"
    command = [sys.executable, "-m", "appliance", *arguments(carried, site)]
    done = run("unshare", "--mount", "sh", "-c", script, "sh", str(carried.path), str(site), room, *command)
    assert done.returncode == code, done.stderr
    if code == 0:
        assert done.stdout == f"{site}/bundles/tiny-1.0.0\nbundles\ncurrent\nlog\nreceipts\nstate\n"
    else:
        assert "disk-full" in done.stderr
        assert done.stdout == ""
