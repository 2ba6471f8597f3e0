"""Starts a site, and finds one that runs.

    with running_site(bundle=directory) as site:
        site.depot.run(["ssh", "gpu1", "hostname"])

The site ends with the ``with`` block, and with the process that started it, however that
ends: its keeper waits for the end of a pipe.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.site.capture import Packet, captured
from tests.site.hosts import CommandFailed, Host
from tests.site.plan import OUTSIDE, REPOSITORY, Plan
from tests.support.debian_root import debian_root

HOSTS = ("depot", "gpu1")
_BASE = ("trixie", "systemd", "systemd-sysv", "dbus", "udev", "openssh-server", "python3", "iproute2")
_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "tcpdump": "tcpdump",
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
}
_PATIENCE = 60.0  # seconds


class SiteFailed(AssertionError):
    """A site did not start; the message says why."""


@dataclass(frozen=True)
class Site:
    """A running site; ``keeper`` is the process to end it with."""

    plan: Plan
    supervisor: int
    keeper: int

    @property
    def depot(self) -> Host:
        return self.host("depot")

    @property
    def gpu1(self) -> Host:
        return self.host("gpu1")

    @property
    def hosts(self) -> tuple[Host, ...]:
        return tuple(Host(plan, self.supervisor) for plan in self.plan.hosts)

    def host(self, name: str) -> Host:
        return {host.name: host for host in self.hosts}[name]

    @property
    def description(self) -> str:
        """A line for each host, with its addresses."""
        places = [(host.name, host.plan.addresses) for host in self.hosts] + [("outside", OUTSIDE)]
        lines = [f"{name:8} {addresses.v4:14} {addresses.v6:18}" for name, addresses in places]
        return "\n".join(lines) + "(stands for the internet)"

    def wait_for_end(self) -> None:
        """Until somebody else ends the site."""
        while Path("/proc", str(self.supervisor)).exists():
            time.sleep(0.5)

    def capture(self) -> AbstractContextManager[list[Packet]]:
        """Record what passes the site's bridge during a ``with`` block; the list is filled at its end."""
        return captured(self.supervisor, self.plan.scratch)


def why_not() -> str:
    """What this machine lacks to run a site; empty when nothing."""
    if os.geteuid() != 0:
        return "needs root: namespaces, mounts and a network of its own"
    missing = [package for program, package in _PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        return f"needs: apt-get install {' '.join(missing)}"
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        return "needs a kernel with overlayfs"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices"
    return ""


@contextmanager
def running_site(
    *, bundle: Path | None = None, hosts: Sequence[str] = HOSTS, name: str | None = None, small: Sequence[str] = ()
) -> Iterator[Site]:
    """Boot a site of bare ``hosts``; the first has ``bundle`` at ``/media/bundle``, read-only.

    ``name`` is for others to find it by; one site of a name can be up.  ``small`` are directories
    that lie on a disk of 16 MiB each.  Raises
    SiteFailed; what the site's processes said is on standard error.
    """
    name = name or uuid.uuid4().hex[:8]
    base = debian_root(*_BASE).path
    carried = bundle.resolve(strict=True) if bundle else None
    plan = Plan(name, scratch_of(name), base, carried, tuple(hosts), tuple(small))
    with tempfile.TemporaryFile("w+") as log:
        keeper = subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation", "private"),
                *(sys.executable, "-m", "tests.site.keeper", plan.to_json()),
            ],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        try:
            yield _booted(plan, keeper)
        finally:
            _end(keeper)
            log.seek(0)
            sys.stderr.write(log.read())
    if keeper.returncode != 0:
        raise SiteFailed(f"the site {name} ended before its time, or could not be cleared up")


def find_site(name: str) -> Site | None:
    """The site ``name`` that another process started; None when there is none."""
    try:
        values = json.loads((scratch_of(name) / "site.json").read_text())
    except FileNotFoundError:
        return None
    return Site(Plan.from_json(values["plan"]), values["supervisor"], values["keeper"])


def scratch_of(name: str) -> Path:
    """Where the site ``name`` has its files: on disk, since container images are large."""
    cache = os.environ.get("APPLIANCE_TEST_CACHE") or Path.home() / ".cache/appliance-tests"
    return Path(cache, "sites", name)


def _booted(plan: Plan, keeper: "subprocess.Popen[str]") -> Site:
    assert keeper.stdout is not None
    ready, _, _ = select.select([keeper.stdout], [], [], _PATIENCE)
    line = keeper.stdout.readline() if ready else ""
    if not line:
        raise SiteFailed(f"the site {plan.name} did not start")
    site = Site(plan, int(line), keeper.pid)
    try:
        for host in site.hosts:
            host.wait_until_booted()
    except CommandFailed as error:
        raise SiteFailed(f"the site {plan.name} did not start: {error}") from None
    return site


def _end(keeper: "subprocess.Popen[str]") -> None:
    """Tell the keeper to end, by the end of its input, and wait until it has cleared up."""
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    keeper.stdin.close()
    keeper.wait()
    keeper.stdout.close()
