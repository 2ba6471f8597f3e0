"""Namespaces with the real unshare: no network, and nothing left whatever happens."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.tools import namespace
from appliance.tools.run import run
from tests.support.namespaces import needs_namespaces
from tests.support.processes import below, wait_for
from tests.support.project import REPOSITORY

pytestmark = [pytest.mark.integration, needs_namespaces]

SLEEPER = """
from appliance.tools.namespace import offline
from appliance.tools.run import run
run([*offline(), "sh", "-c", "trap '' INT TERM HUP; sleep 999 & sleep 999"])
"""


def test_there_is_no_network_and_no_other_process() -> None:
    interfaces = run([*namespace.offline(), "sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1"])
    assert interfaces.split() == ["lo"]
    first, *others = run([*namespace.offline(), "sh", "-c", "id -u; ls -d /proc/[0-9]*"]).split()
    assert first == "0"
    assert {"/proc/1"} <= set(others) <= {"/proc/1", "/proc/2", "/proc/3"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_our_sudden_end(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    wait_for(lambda: [child.words for child in below(process.pid)].count(("sleep", "999")) == 2, seconds=20)
    running = below(process.pid)
    process.send_signal(number)
    process.wait()
    wait_for(lambda: not any(child.alive for child in running), seconds=20)


def test_a_tree_is_removed(tmp_path: Path) -> None:
    make = 'mkdir -p "$1/a/b" && chown -R 10001:10001 "$1/a" && chmod 700 "$1/a"'
    run([*namespace.offline(), "sh", "-c", make, "sh", tmp_path / "tree"])
    namespace.remove(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_who_may_not_make_them_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("unshare", "setpriv"):
        (tmp_path / program).write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BadInput, match="Operation not permitted") as caught:
        namespace.check()
    assert caught.value.reference == "namespaces-denied"
    assert "--add-subuids" in caught.value.hint
