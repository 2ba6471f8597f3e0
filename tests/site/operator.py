"""What an operator types on the depot, as the pages of docs/site tell them to.

``attempt`` variants give whatever came of it; the others raise CommandFailed with all that
was printed.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.site.course import Course
from tests.site.hosts import CommandFailed, Host
from tests.site.plan import MEDIUM, NETWORK_V4, NETWORK_V6

PROGRAMS = "/opt/appliance/current/bin"
PLAYBOOKS = "/opt/appliance/current/playbooks"
SITE = "site.yml"
REHEARSAL = "rehearse.yml"
INVENTORY = "/root/inventory"
ROOT = "/root/root.json"
# Other hosts call the depot by the name in /etc/hosts; in the inventory it has another.
GROUPS: Mapping[str, Any] = {
    "depot": {"hosts": {"depot1": {"ansible_connection": "local"}}},
    "inference": {"hosts": {"gpu1": {}}},
    "gateway": {"hosts": {"gpu1": {}}},
    "monitoring": {"hosts": {"depot1": {}}},
}
VARIABLES: Mapping[str, Any] = {
    "appliance_bundle": "demo",
    "appliance_root": "/srv/appliance",
    "appliance_depot_host": "depot",
    "ansible_user": "root",
    "depot_token_hosts": ["gpu1"],
    "pki_clients": ["operator"],
    "gateway_clients": [{"name": "operator", "roles": ["chat", "embedding"]}],
    "monitoring_clients": ["operator"],
    "egress_client_networks": [NETWORK_V4, NETWORK_V6],
    "egress_admin_networks": [NETWORK_V4, NETWORK_V6],
    "preflight_internet_expected": True,  # until egress is denied, the hosts reach what stands for it
}
CLIENT = "/root/client.py"
CLIENTS = "/etc/appliance/pki/clients"  # certificates that the site issued
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
    """Somebody logged in on the depot as root, with a umask as such a login has it."""

    depot: Host
    umask: str = "022"

    def take_root(self, document: Path) -> None:
        """Bring the root document, by another way than the disk."""
        self.depot.put(ROOT, document.read_text())

    def write_inventory(
        self, variables: Mapping[str, Any] | None = None, groups: Mapping[str, Any] | None = None
    ) -> None:
        """An inventory of ``groups`` with ``variables`` for all hosts."""
        self.depot.put(f"{INVENTORY}/hosts.yml", json.dumps(GROUPS if groups is None else groups))
        self.depot.put(f"{INVENTORY}/group_vars/all.yml", json.dumps(VARIABLES if variables is None else variables))

    def write_host_variables(self, host: str, variables: Mapping[str, Any]) -> None:
        """What the inventory says of one host alone."""
        self.depot.put(f"{INVENTORY}/host_vars/{host}.yml", json.dumps(variables))

    def bootstrap_command(self, bundle: str = MEDIUM) -> list[str]:
        """The command with the whole name of the wheel: a ``*`` does not reach into it."""
        wheel = self.depot.run(["sh", "-c", 'echo "$1"/wheels/control/appliance-*.whl', "sh", bundle]).strip()
        return ["/usr/bin/python3", "-I", f"{wheel}/appliance/bootstrap", bundle, "--root", ROOT]

    def attempt_bootstrap(self, bundle: str = MEDIUM) -> "subprocess.CompletedProcess[str]":
        """From the bundle on the disk to a control environment."""
        command = f"umask {self.umask} && {shlex.join(self.bootstrap_command(bundle))}"
        return self.depot.attempt(["sh", "-c", command], timeout=600)

    def bootstrap(self, bundle: str = MEDIUM) -> None:
        _check(self.attempt_bootstrap(bundle))

    def set_up(self, root: Path, inventory: Mapping[str, Any], bundle: str = MEDIUM) -> None:
        """From a bare site to one after the first run of the playbook."""
        self.take_root(root)
        self.take_client()
        self.bootstrap(bundle)
        self.write_inventory(inventory)
        self.play()

    def appliance(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command of the control environment."""
        return self.depot.attempt([f"{PROGRAMS}/appliance", *arguments], timeout=600)

    def attempt_playbook(
        self, *options: str, name: str = SITE, timeout: float = 1500
    ) -> "subprocess.CompletedProcess[str]":
        """A playbook over all hosts."""
        return self.depot.attempt(self._playbook(*options, name=name), timeout=timeout)

    def play(self, *options: str, name: str = SITE, timeout: float = 1500) -> dict[str, Recap]:
        """A playbook over all hosts; the recap by host."""
        return recap(_check(self.attempt_playbook(*options, name=name, timeout=timeout)))

    def attempt_follow(
        self, course: Course, *options: str, timeout: float = 1500
    ) -> "subprocess.CompletedProcess[str]":
        """The whole playbook, told to ``course`` while it goes on."""
        return self.depot.follow(self._playbook(*options), course.line, timeout=timeout)

    def _playbook(self, *options: str, name: str = SITE) -> list[str]:
        *shell, command = playbook(*options, name=name)
        return [*shell, f"umask {self.umask} && {command}"]

    def follow(self, course: Course, *options: str, timeout: float = 1500) -> dict[str, Recap]:
        """The same; the recap by host."""
        return recap(_check(self.attempt_follow(course, *options, timeout=timeout)))

    def take_client(self) -> None:
        """Bring the program that asks the gateway."""
        self.depot.put(CLIENT, Path(__file__).with_name("client.py").read_text())

    def ask(self, who: str, task: str, *prompt: str, host: str = "gpu1") -> dict[str, Any]:
        """What a gateway answers to ``task`` (see ``client.py``) of a client with a certificate of this site."""
        return self.ask_with(f"{CLIENTS}/{who}", task, *prompt, host=host)

    def ask_with(self, certificates: str, task: str, *prompt: str, host: str = "gpu1") -> dict[str, Any]:
        """The same with the certificate in another directory on the depot, or with "none"."""
        ask = [f"{PROGRAMS}/python", CLIENT, certificates, task, *prompt]
        done = self.depot.attempt(["env", f"GATEWAY={host}", *ask], timeout=120)
        if not done.stdout:
            raise CommandFailed(done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def playbook(*options: str, name: str = SITE) -> list[str]:
    """The operator's command."""
    command = [f"{PROGRAMS}/ansible-playbook", "--inventory", INVENTORY, *options, name]
    return ["sh", "-c", f"cd {PLAYBOOKS} && {shlex.join(command)}"]


def recap(output: str) -> dict[str, Recap]:
    """The recap of a run by host of the inventory; localhost only looks whether there is one."""
    return {host: _counted(line) for host, line in _RECAP.findall(output) if host != "localhost"}


def _counted(line: str) -> Recap:
    found = dict(pair.split("=") for pair in line.split())
    return Recap(**{name: int(found[name]) for name in ("ok", "changed", "unreachable", "failed")})


def _check(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode != 0:
        words: Sequence[str] = done.args
        raise CommandFailed(f"{words[-1]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
