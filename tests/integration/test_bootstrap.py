"""From a carried bundle to a control environment, on a Debian 13 that has Python and nothing else."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.control_bundle import ControlBundle, control_bundle, signed_by
from tests.support.debian_root import DebianRoot, debian_root
from tests.support.documents import commands
from tests.support.sites import snapshot

pytestmark = pytest.mark.integration


def published() -> str:
    """The command that README gives to operators, with the places of this test's host."""
    (line,) = (
        line for line in commands("../README.md", "If you run a site (operator)")[1].splitlines() if "whl" in line
    )
    return line.replace(" wheels/", " /mnt/bundle/wheels/").replace(
        " . --root /root/release.root.json", ' /mnt/bundle --root "/mnt/my root/root.json"'
    )


BOOTSTRAP = published()
HOSTILE = """
mkdir -p /tmp/place /tmp/home/.local/lib/python3.13/site-packages
for name in argparse hashlib json yaml cryptography appliance ansible {first}; do
    echo 'import os; os.write(os.open("/tmp/ran", os.O_WRONLY | os.O_CREAT), b"x"); os._exit(0)' >/tmp/place/$name.py
done
cp /tmp/place/* /tmp/home/.local/lib/python3.13/site-packages
cd /tmp/place
export HOME=/tmp/home PYTHONPATH=/tmp/place:: PYTHONSTARTUP=/tmp/place/json.py PYTHONINSPECT= PYTHONWARNINGS=error
"""
CONTROL = "/opt/appliance/control-kit-1.0.0"
AT_MOMENT = "until [ -e {sign} ]; do kill -0 $! || exit 99; sleep 0.02; done; kill -{signal} $!"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where bundles are built."""
    return tmp_path_factory.mktemp("build host")


@pytest.fixture(scope="module")
def bundle(bundles: Path) -> ControlBundle:
    return control_bundle(bundles)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRoot]:
    copy = debian_root("trixie", "python3").copy(tmp_path_factory.mktemp("host") / "root")
    yield copy
    subprocess.run(["rm", "--recursive", "--one-file-system", copy.path], check=True)


class Host:
    """A bare host with a bundle on a read-only medium."""

    def __init__(self, system: DebianRoot, folder: Path) -> None:
        self.system = system
        self.folder = folder

    def sh(self, script: str, bundle: ControlBundle) -> "subprocess.CompletedProcess[str]":
        trusted = self.folder / "my root"
        trusted.mkdir(exist_ok=True)
        (trusted / "root.json").write_bytes(bundle.trusted.read_bytes())
        mounts = {"bundle": bundle.path, "my root": trusted}
        return self.system.run(["bash", "-c", script], mounts=mounts, as_root=True)

    def files(self) -> dict[str, tuple[object, ...]]:
        """All but the log of the site, which tells of every run."""
        found = snapshot(*(self.system.path / name for name in ("etc", "opt", "srv")))
        told = tuple(str(self.system.path / "srv/appliance" / name) for name in ("log", "receipts"))
        return {path: what for path, what in found.items() if not path.startswith(told)}


@pytest.fixture
def host(system: DebianRoot, tmp_path: Path) -> Iterator[Host]:
    yield Host(system, tmp_path)
    for name in ("opt", "srv"):
        subprocess.run(["find", system.path / name, "-mindepth", "1", "-delete"], check=True)


def test_a_bare_host_gets_its_control_environment(host: Host, bundle: ControlBundle) -> None:
    before = host.files()
    done = host.sh(BOOTSTRAP, bundle)
    assert (done.returncode, done.stdout) == (0, f"{CONTROL}\n"), done.stderr
    assert "/opt/appliance/current/bin/ansible-playbook" in done.stderr.splitlines()[-1]
    changed = {path for path, what in host.files().items() if before.get(path) != what}
    assert not [path for path in changed if path.startswith(str(host.system.path / "etc"))]

    tried = host.sh(
        "cd /opt/appliance/current/bin && ./appliance --version && ./ansible-playbook --version && "
        './appliance verify /srv/appliance/current/kit --root "/mnt/my root/root.json" && '
        "test -f ../playbooks/site.yml",
        bundle,
    )
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.startswith("appliance 0.")
    assert "\nverified\n" in tried.stdout

    whole = host.files()
    again = host.sh(BOOTSTRAP, bundle)
    assert (again.returncode, again.stdout) == (0, f"{CONTROL}\n"), again.stderr
    assert "already there, verified again" in again.stderr
    log = (host.system.path / "srv/appliance/log/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in log] == ["import", "root", "switch", "import"]
    link = str(host.system.path / "opt/appliance/current")  # made anew each time
    assert {**host.files(), link: None} == {**whole, link: None}


@pytest.mark.parametrize(
    ("first", "command"),
    [("sitecustomize usercustomize", BOOTSTRAP), ("", BOOTSTRAP.replace("/usr/bin/python3 -I", "python3"))],
    ids=["as published", "without its option"],
)
def test_nothing_of_the_callers_python_is_run(first: str, command: str, host: Host, bundle: ControlBundle) -> None:
    """Neither by the bootstrap nor by the programs that it leaves there for root."""
    programs = "/opt/appliance/current/bin/appliance --version && /opt/appliance/current/bin/ansible-playbook --version"
    done = host.sh(f"{HOSTILE.format(first=first)}{command} && {programs}; code=$?; ls -d /tmp/ran; exit $code", bundle)
    assert done.returncode == 0, done.stderr
    assert "ansible-playbook [core" in done.stdout
    assert "/tmp/ran" not in done.stdout.splitlines()


def test_both_pages_give_one_command() -> None:
    readme = commands("../README.md", "If you run a site (operator)")
    page = commands("site/install.md", "Install a site")
    assert (readme[0], readme[1].splitlines()[:2]) == (page[0], page[1].splitlines())


def test_stock_pip_takes_the_wheels_where_they_lie(host: Host, bundle: ControlBundle) -> None:
    """As the README has it, with the pip that the bundle carries: a bare Debian has none."""
    line = commands("../README.md", "If you run a site (operator)")[2].splitlines()[0]
    assert line.startswith("pip install ")
    tried = host.sh(
        "set -e; python3 -m venv --without-pip /tmp/tried; cd /mnt/bundle; wheel=$(echo wheels/control/pip-*.whl); "
        f'pip() {{ /tmp/tried/bin/python $wheel/pip "$@"; }}; {line}; /tmp/tried/bin/appliance --version',
        bundle,
    )
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.splitlines()[-1].startswith("appliance 0.")


def flipped(path: str) -> Callable[[Path, ControlBundle], ControlBundle]:
    def spoil(folder: Path, bundle: ControlBundle) -> ControlBundle:
        copy = bundle.copy(folder / "carried")
        (file,) = copy.path.glob(path)
        with file.open("r+b") as opened:
            opened.seek(file.stat().st_size // 2)
            byte = opened.read(1)
            opened.seek(-1, 1)
            opened.write(bytes([byte[0] ^ 1]))
        return copy

    return spoil


def extra_file(folder: Path, bundle: ControlBundle) -> ControlBundle:
    copy = bundle.copy(folder / "carried")
    (copy.path / "wheels/control/extra.whl").write_bytes(b"x")
    return copy


def stranger(folder: Path, bundle: ControlBundle) -> ControlBundle:
    return signed_by(bundle.trusted.parent, "stranger", trusted="release")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (flipped("evidence/lock.yaml"), "file-mismatch"),
        (flipped("wheels/control/cryptography-*.whl"), "not the file that SHA256SUMS lists"),
        (extra_file, "file-unlisted"),
        (stranger, "root-"),
    ],
    ids=["a flipped byte", "a flipped byte in a wheel", "an extra file", "a stranger's signature"],
)
def test_a_refused_bundle_leaves_the_host_as_it_was(
    spoil: Callable[[Path, ControlBundle], ControlBundle], said: str, host: Host, bundle: ControlBundle
) -> None:
    before = host.files()
    refused = host.sh(f"{BOOTSTRAP}; code=$?; ls -A /tmp; exit $code", spoil(host.folder, bundle))
    assert refused.returncode == 3, refused.stderr
    assert said in refused.stderr
    assert refused.stdout == ""
    assert host.files() == before


def test_what_the_site_demands_holds_for_its_first_bundle(host: Host, bundle: ControlBundle) -> None:
    before = host.files()
    policy = "schema: appliance.policy/v1\\nlowest_versions: {kit: 1.0.1}\\n"
    script = f"umask 022; printf '{policy}' >'/tmp/my policy.yaml'; cd /tmp; {BOOTSTRAP} --policy 'my policy.yaml'"
    refused = host.sh(f"{script}; code=$?; rm 'my policy.yaml'; ls -A /tmp; exit $code", bundle)
    assert (refused.returncode, refused.stdout) == (3, ""), refused.stderr
    assert "version-below-lowest" in refused.stderr
    assert host.files() == before


def test_an_interrupt_leaves_nothing_behind(host: Host, bundle: ControlBundle) -> None:
    before = host.files()
    moment = AT_MOMENT.format(sign="/tmp/appliance-bootstrap-*/control/bin/python", signal="TERM")
    ended = host.sh(f"{BOOTSTRAP} & {moment}; wait $!; code=$?; ls -A /tmp; exit $code", bundle)
    assert (ended.returncode, ended.stdout) == (130, ""), ended.stderr
    assert host.files() == before


def test_the_next_run_goes_on_where_one_was_killed(host: Host, bundle: ControlBundle) -> None:
    moment = AT_MOMENT.format(sign=f"{CONTROL}/bin/python", signal="KILL")
    killed = host.sh(f"{BOOTSTRAP} & {moment}; wait $!; ls /opt/appliance; {BOOTSTRAP}", bundle)
    assert (killed.returncode, killed.stdout) == (0, f"control-kit-1.0.0\n{CONTROL}\n"), killed.stderr
    tried = host.sh("/opt/appliance/current/bin/ansible-playbook --version", bundle)
    assert tried.returncode == 0, tried.stderr
