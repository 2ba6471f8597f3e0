"""``make demo``: whom it refuses, and that it leaves nothing behind wherever it is interrupted.

The longest waits until it has told all; ``test_path.py`` takes the same steps but for the rehearsal.
"""

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site.plan import REPOSITORY
from tests.site.running import find_site
from tests.site.traces import Traces
from tests.support.demo import check_needs, kept_lock
from tests.support.processes import below

pytestmark = [pytest.mark.integration, pytest.mark.demo]

NAME = f"demo-{uuid.uuid4().hex[:8]}"
NOBODY = 65534


def test_an_ordinary_user_is_told_what_to_do() -> None:
    """Who can read the Makefile: in a clone of somebody else, made with umask 077, there is nothing to see."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "Makefile").write_text((REPOSITORY / "Makefile").read_text())
        (folder / "Makefile").chmod(0o644)
        said = subprocess.run(
            ["make", "demo"], cwd=folder, user=NOBODY, group=NOBODY, capture_output=True, text=True, check=False
        )
    assert said.returncode == 2
    assert "this needs root" in said.stderr
    assert "do: sudo make demo" in said.stderr


def test_a_machine_without_the_tools_is_told_which(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "tests.site.demo"],
        cwd=REPOSITORY,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 2
    assert "apt-get install systemd-container" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.fixture
def demo_process(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """The demo without a terminal, with bundle and key in a place of the test's own."""
    check_needs()
    (tmp_path / "temporary files").mkdir()
    own = {
        "TMPDIR": str(tmp_path / "temporary files"),
        "OUT": str(tmp_path / "built"),
        "KEY": str(tmp_path / "demo key.pem"),
    }
    appliance = REPOSITORY / ".venv/bin/appliance"
    subprocess.run([appliance, "keys", "new", own["KEY"], "--no-passphrase"], check=True, capture_output=True)
    with (
        kept_lock(),
        subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.site.demo", "--name", NAME],
            cwd=REPOSITORY,
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        yield process
        process.kill()


@pytest.mark.parametrize(
    "said", ["> Fetching", "2. ", "> importing", pytest.param("The site stays up", marks=pytest.mark.long)]
)
def test_ctrl_c_leaves_nothing(demo_process: "subprocess.Popen[str]", tmp_path: Path, said: str) -> None:
    assert demo_process.stdout is not None
    heard = []
    for line in demo_process.stdout:
        heard.append(line)
        if said in line:
            break
    else:
        pytest.fail(f"ended before it said {said!r}:\n{''.join(heard)}")
    assert said != "The site stays up" or "   All came back. 2 hosts, 1 gateways, 2 answers from models.\n" in heard
    children = below(demo_process.pid)
    demo_process.send_signal(signal.SIGINT)
    assert "ended: nothing is left" in demo_process.stdout.read()
    assert demo_process.wait() == 130
    assert [child for child in children if child.alive] == []
    assert find_site(NAME) is None
    assert Traces(NAME).left() == []
    assert list((tmp_path / "temporary files").iterdir()) == []
