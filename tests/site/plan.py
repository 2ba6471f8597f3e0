"""What a site consists of: its hosts, its addresses, and where its files lie."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
MEDIUM = "/media/bundle"  # where the first host finds the bundle that was carried in
BRIDGE = "br0"
REINSTALL = "reinstall"  # a host with this file beside its disk is bare after its next boot
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Addresses:
    """One machine's place in both networks."""

    v4: str
    v6: str


# The site's own networks, and its way out.
NETWORK_V4, NETWORK_V6 = "10.99.0.0/24", "fd99::/64"
ROUTER = Addresses("10.99.0.1", "fd99::1")
# Outside is beyond the router, as the internet is; the first two are the router's other side.
UPLINK = Addresses("203.0.113.1", "2001:db8:113::1")
OUTSIDE = Addresses("203.0.113.10", "2001:db8:113::10")


@dataclass(frozen=True)
class HostPlan:
    """A host to boot."""

    name: str
    addresses: Addresses


@dataclass(frozen=True)
class Plan:
    """A site to start.

    ``scratch`` is the directory of this site alone, removed when it ends; ``base`` the
    root file system that the hosts share and do not change.  Every host has each directory
    of ``small`` on a disk of its own that is soon full.
    """

    name: str
    scratch: Path
    base: Path
    bundle: Path | None
    host_names: tuple[str, ...]
    small: tuple[str, ...] = ()

    @property
    def hosts(self) -> Sequence[HostPlan]:
        """The hosts in order; the first has the bundle and the key to all."""
        return tuple(
            HostPlan(name, Addresses(f"10.99.0.{number}", f"fd99::{number}"))
            for number, name in enumerate(self.host_names, start=11)
        )

    @property
    def cgroup(self) -> Path:
        """The cgroup of everything that runs in the site, as its keeper sees it."""
        return cgroup_of(self.name)

    def to_json(self) -> str:
        """For the command line of the processes that hold the site."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        values = json.loads(text)
        return cls(
            name=values["name"],
            scratch=Path(values["scratch"]),
            base=Path(values["base"]),
            bundle=Path(values["bundle"]) if values["bundle"] else None,
            host_names=tuple(values["host_names"]),
            small=tuple(values["small"]),
        )


def cgroup_of(name: str) -> Path:
    """The cgroup of the site ``name``."""
    return CGROUPS / f"appliance-site-{name}"


def first_process(cgroup: Path) -> int | None:
    """The process directly in ``cgroup`` that is the first of a PID namespace of its own, by our own number."""
    try:
        members = (cgroup / "cgroup.procs").read_text().split()
    except OSError:
        return None
    for member in members:
        try:
            status = Path("/proc", member, "status").read_text()
        except OSError:
            continue
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
        if len(numbers) > 1 and numbers[-1] == "1":
            return int(member)
    return None
