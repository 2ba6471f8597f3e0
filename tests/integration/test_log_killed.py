"""A log whose writers are killed: what was acknowledged is there, and the chain holds."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.store.log import Log
from tests.support.site_log import check_log

pytestmark = pytest.mark.integration

# Says each number once it is written down.
WRITER = """
import sys
from pathlib import Path
from appliance.store.log import Log
log, number = Log(Path(sys.argv[1])), 0
while True:
    number += 1
    log.append("verify", {"text": "x" * 3000}, time="2026-10-01T12:00:00Z")
    print(number, flush=True)
"""
_KILLS = 15


def test_what_was_acknowledged_is_never_lost(tmp_path: Path) -> None:
    moments = random.Random(1)  # noqa: S311 - nothing secret about them
    acknowledged = 0
    for _ in range(_KILLS):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout
            assert writer.stdout.readline()  # both are at work
        time.sleep(moments.uniform(0, 0.02))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            told = writer.communicate()[0]
            acknowledged += 1 + len([line for line in told.splitlines(keepends=True) if line.endswith("\n")])
        written = [line.entry.seq for line in Log(tmp_path).lines()]
        assert written == list(range(1, len(written) + 1))
        assert acknowledged <= len(written) <= acknowledged + 2 * _KILLS
    assert check_log(Log(tmp_path).path).returncode == 0
