"""What makes the shared root file system one host of the site: its name, network and keys.

Beside that only what this kind of test host needs; nothing of the product.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path

from tests.site.command import run
from tests.site.plan import OUTSIDE, ROUTER, HostPlan, Plan

_NETWORK = """\
[Match]
Name=host0

[Network]
IPv6AcceptRA=no

[Address]
Address={v4}/24

[Address]
Address={v6}/64
DuplicateAddressDetection=none

[Route]
Gateway={router_v4}

[Route]
Gateway={router_v6}
"""

# The hosts may lack the right to raise limits, and controllers for them.
_CONTAINERS = """\
[containers]
pids_limit = 0
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
"""

# Their times are random: a run in the morning would differ from one at noon.
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer")


def furnish(root: Path, host: HostPlan, plan: Plan) -> None:
    """Make the file system at ``root`` that of ``host``."""
    hosts = [f"{other.addresses.v4} {other.name}\n{other.addresses.v6} {other.name}\n" for other in plan.hosts]
    _write(root / "etc/hostname", f"{host.name}\n")
    _write(root / "etc/machine-id", f"{uuid.uuid4().hex}\n")
    _write(root / "etc/hosts", "127.0.0.1 localhost\n::1 localhost\n" + "".join(hosts))
    # No name server of the site's own: what is not in /etc/hosts is asked for outside, where it is seen.
    _write(root / "etc/resolv.conf", f"nameserver {OUTSIDE.v4}\n")
    _write(root / "etc/containers/containers.conf", _CONTAINERS)
    _write(
        root / "etc/systemd/network/10-site.network",
        _NETWORK.format(v4=host.addresses.v4, v6=host.addresses.v6, router_v4=ROUTER.v4, router_v6=ROUTER.v6),
    )
    run("chroot", str(root), "systemctl", "--quiet", "enable", "systemd-networkd.service")
    run("chroot", str(root), "systemctl", "--quiet", "mask", *_MASKED)


def share_keys(roots: Sequence[Path], plan: Plan) -> None:
    """Give each host a key of its own, and the first one a key that opens all."""
    known = []
    for root, host in zip(roots, plan.hosts, strict=True):
        for old in root.glob("etc/ssh/ssh_host_*"):
            old.unlink()
        public = _make_key(root, "etc/ssh/ssh_host_ed25519_key", host.name)
        known.append(f"{host.name},{host.addresses.v4},{host.addresses.v6} {public}")
    for root in roots:
        (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    operator = _make_key(roots[0], "root/.ssh/id_ed25519", "operator")
    _write(roots[0] / "root/.ssh/known_hosts", "".join(known))
    for root in roots:
        _write(root / "root/.ssh/authorized_keys", operator)


def take_keys(root: Path, host: HostPlan, other: Path) -> None:
    """Give a host that comes later a key of its own, and let in who may log in on the ``other``."""
    for old in root.glob("etc/ssh/ssh_host_*"):
        old.unlink()
    _make_key(root, "etc/ssh/ssh_host_ed25519_key", host.name)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    _write(root / "root/.ssh/authorized_keys", (other / "root/.ssh/authorized_keys").read_text())


def _make_key(root: Path, path: str, comment: str) -> str:
    """Make an SSH key pair; its public half as one line."""
    run("chroot", str(root), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", f"/{path}")
    return (root / f"{path}.pub").read_text()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
