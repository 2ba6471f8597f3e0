"""bundles/tools.sh on a machine where another program uses apt at that moment.

The apt is the real one, with a root of its own and an archive in a directory, so that nothing is
installed on this host; dpkg is /bin/true.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.debian_archive import build_deb, sha256

SCRIPT = Path(__file__).parents[2] / "bundles/tools.sh"
LOCKS = ("var/lib/apt/lists/lock", "var/lib/dpkg/lock-frontend", "var/cache/apt/archives/lock")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as apt-get does"),
    pytest.mark.skipif(not all(map(shutil.which, ("apt-get", "dpkg-deb"))), reason="needs apt-get and dpkg-deb"),
]


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """The root of an apt that knows one package, sealing-wax."""
    root = tmp_path / "root"
    for folder in ("etc/apt/preferences.d", "var/log/apt", *(str(Path(lock).parent / "partial") for lock in LOCKS)):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    archive = tmp_path / "archive"
    deb = build_deb(archive, "sealing-wax", "1.0-1")
    control = subprocess.run(["dpkg-deb", "--field", deb], check=True, capture_output=True, text=True).stdout
    size = deb.stat().st_size
    (archive / "Packages").write_text(
        f"{control}Filename: ./{deb.name}\nSize: {size}\nSHA256: {sha256(deb.read_bytes())}\n"
    )
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] copy:{archive} ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir "{root}";\nDir::Etc::main "/dev/null";\nDir::Etc::parts "/dev/null";\nDir::Bin::dpkg "/bin/true";\n'
        'APT::Sandbox::User "root";\nDPkg::Pre-Install-Pkgs "";\n'
    )
    return root


@contextmanager
def installing(apt: Path, patience: int) -> Iterator["subprocess.Popen[str]"]:
    variables = {**os.environ, "APT_CONFIG": str(apt.parent / "apt.conf"), "APT_LOCK_WAIT": str(patience)}
    with subprocess.Popen([SCRIPT, "sealing-wax:/none"], env=variables, stderr=subprocess.PIPE, text=True) as process:
        yield process


@pytest.mark.parametrize("lock", LOCKS)
def test_it_waits_for_another_apt_and_says_so(apt: Path, lock: str) -> None:
    with (apt / lock).open("w") as held, installing(apt, 600) as process:
        fcntl.lockf(held, fcntl.LOCK_EX)
        assert process.stderr
        said = [process.stderr.readline(), process.stderr.readline()]
        fcntl.lockf(held, fcntl.LOCK_UN)
        rest = process.communicate()[1]
    assert said[0] == "> installing sealing-wax\n"
    assert said[1].startswith(f"> waiting up to 600 s for a lock of apt: {apt / lock}")
    assert f"process {os.getpid()}" in said[1], "it says who has it"
    assert process.returncode == 0, rest


def test_it_does_not_wait_for_ever(apt: Path) -> None:
    with (apt / LOCKS[0]).open("w") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        with installing(apt, 1) as process:
            said = process.communicate()[1]
    assert process.returncode == 2
    assert "error: another program has held a lock of apt for 1 s" in said
    assert f"where: {apt / LOCKS[0]}" in said


def test_what_is_no_lock_is_not_waited_for(apt: Path) -> None:
    (apt / "etc/apt/sources.list").write_text("nonsense\n")
    with installing(apt, 600) as process:
        said = process.communicate()[1]
    assert process.returncode == 2
    assert "Malformed line" in said
    assert "waiting" not in said


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck: apt-get install shellcheck")
    found = subprocess.run(["shellcheck", *SCRIPT.parent.glob("*.sh")], capture_output=True, text=True, check=False)
    assert found.stdout == ""
