"""What an operator types on the depot, as docs/site.md tells them to.

``attempt`` variants give whatever came of it; the others raise CommandFailed with all that
was printed.
"""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.site.hosts import CommandFailed, Host
from tests.site.plan import MEDIUM, NETWORK_V4, NETWORK_V6

PROGRAMS = "/opt/appliance/current/bin"
PLAYBOOKS = "/opt/appliance/current/playbooks"
INVENTORY = "/root/inventory"
ROOT = "/root/root.json"
# Other hosts call the depot by the name in /etc/hosts; in the inventory it has another.
GROUPS: Mapping[str, Any] = {
    "depot": {"hosts": {"depot1": {"ansible_connection": "local"}}},
    "inference": {"hosts": {"gpu1": {}}},
    "gateway": {"hosts": {"gpu1": {}}},
}
VARIABLES: Mapping[str, Any] = {
    "appliance_bundle": "demo",
    "appliance_root": "/srv/appliance",
    "appliance_depot_host": "depot",
    "ansible_user": "root",
    "depot_token_hosts": ["gpu1"],
    "pki_clients": ["operator"],
    "gateway_clients": [{"name": "operator", "roles": ["chat", "embedding"]}],
    "egress_client_networks": [NETWORK_V4, NETWORK_V6],
    "egress_admin_networks": [NETWORK_V4, NETWORK_V6],
    "preflight_internet_expected": True,  # until egress is denied, the hosts reach what stands for it
}
_BOOTSTRAP = 'exec python3 "$(echo "$1"/wheels/control/appliance-*.whl)/appliance/bootstrap" "$1" --root "$2"'
_PLAYBOOK = f'cd {PLAYBOOKS} && exec {PROGRAMS}/ansible-playbook --inventory {INVENTORY} "$@" site.yml'
_RECAP = re.compile(r"^(\S+) +: (ok=.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Recap:
    """What the last lines of a playbook's run count for one host."""

    ok: int
    changed: int
    unreachable: int
    failed: int


@dataclass(frozen=True)
class Operator:
    """Somebody logged in on the depot as root."""

    depot: Host

    def take_root(self, document: Path) -> None:
        """Bring the root document, by another way than the disk."""
        self.depot.put(ROOT, document.read_text())

    def write_inventory(
        self, variables: Mapping[str, Any] | None = None, groups: Mapping[str, Any] | None = None
    ) -> None:
        """An inventory of ``groups`` with ``variables`` for all hosts."""
        self.depot.put(f"{INVENTORY}/hosts.yml", json.dumps(GROUPS if groups is None else groups))
        self.depot.put(f"{INVENTORY}/group_vars/all.yml", json.dumps(VARIABLES if variables is None else variables))

    def attempt_bootstrap(self, bundle: str = MEDIUM) -> "subprocess.CompletedProcess[str]":
        """From the bundle on the disk to a control environment."""
        return self.depot.attempt(["sh", "-c", _BOOTSTRAP, "sh", bundle, ROOT], timeout=600)

    def bootstrap(self, bundle: str = MEDIUM) -> None:
        _check(self.attempt_bootstrap(bundle))

    def appliance(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command of the control environment."""
        return self.depot.attempt([f"{PROGRAMS}/appliance", *arguments], timeout=600)

    def attempt_playbook(self, *options: str, timeout: float = 1500) -> "subprocess.CompletedProcess[str]":
        """The playbook over all hosts."""
        return self.depot.attempt(playbook(*options), timeout=timeout)

    def play(self, *options: str, timeout: float = 1500) -> dict[str, Recap]:
        """The playbook over all hosts; the recap by host."""
        return recap(_check(self.attempt_playbook(*options, timeout=timeout)))


def playbook(*options: str) -> list[str]:
    """The operator's command."""
    return ["sh", "-c", _PLAYBOOK, "sh", *options]


def recap(output: str) -> dict[str, Recap]:
    """The recap of a run by host."""
    return {host: _counted(line) for host, line in _RECAP.findall(output)}


def _counted(line: str) -> Recap:
    found = dict(pair.split("=") for pair in line.split())
    return Recap(**{name: int(found[name]) for name in ("ok", "changed", "unreachable", "failed")})


def _check(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode != 0:
        words: Sequence[str] = done.args
        raise CommandFailed(f"{words[-1]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
