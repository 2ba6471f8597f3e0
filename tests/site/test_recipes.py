"""docs/recipes about hosts and bundles, as an operator follows them: every command is typed on a site that lives.

The pages come in an order in which one leaves the site as the next finds it; test_recipes_daily.py has the others.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.site.hosts import Host
from tests.site.operator import INVENTORY, REHEARSAL, VARIABLES, Operator
from tests.site.plan import MEDIUM
from tests.site.recipe import follow, follow_steps
from tests.site.running import Site, running_site
from tests.support.light_bundle import LightBundles
from tests.support.project import REPOSITORY
from tests.support.recipes import halves, section, steps

pytestmark = [pytest.mark.integration, pytest.mark.long]

GIVEN: dict[str, Any] = {**VARIABLES, "depot_token_hosts": "{{ groups['inference'] }}"}
AUDIT = "/var/log/appliance-gateway/audit.log"
GONE = ("vllm-*", "appliance-facts*", "appliance-gateway*", "appliance-node-exporter*", "appliance-weights*")
VALUES = f"{INVENTORY}/group_vars/all.yml"
BACKUP = "/media/backup/depot.tar"


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> LightBundles:
    """Where those who build and sign have demo 0.1.0 and 0.2.0."""
    light = LightBundles(tmp_path_factory.mktemp("recipes"), "demo")
    light.build("0.1.0")
    light.build("0.2.0", says="good evening")
    return light


@pytest.fixture(scope="module")
def site(light: LightBundles) -> Iterator[Site]:
    """A site as the pages find it: bundle demo 0.1.0, the disk with 0.2.0 in the depot, and a bare host beside it."""
    with running_site(bundle=light.folder / "release", hosts=("depot", "gpu1", "gpu2")) as site:
        furnish(site.depot, light)
        site.depot.run(["ssh-keygen", "-R", "gpu2"])  # the test host knows it from the start
        operator = Operator(site.depot)
        operator.set_up(light.trusted, GIVEN, f"{MEDIUM}/demo-0.1.0")
        follow(site.depot, "README.md")
        yield site


def furnish(depot: Host, light: LightBundles) -> None:
    """What people bring to a depot, at the places that the pages name."""
    depot.run(["ln", "--symbolic", MEDIUM, "/media/carried"])
    depot.run(["mkdir", "/media/backup"])
    depot.put("/root/release.root.json", light.trusted.read_text())
    depot.put("/root/verify.sh", (REPOSITORY / "appliance/verify.sh").read_text())


@pytest.fixture(scope="module")
def operator(site: Site) -> Operator:
    return Operator(site.depot)


def answers(operator: Operator, *hosts: str) -> set[str]:
    """What the models say behind the gateways of these hosts."""
    return {"".join(operator.ask("operator", "chat", host=host)["parts"]) for host in hosts}


def change(operator: Operator, values: dict[str, Any]) -> dict[str, Any]:
    """Change these variables of all hosts; what they were before."""
    before: dict[str, Any] = json.loads(operator.depot.run(["cat", VALUES]))
    operator.depot.put(VALUES, json.dumps(before | values))
    return before


# Hosts --------------------------------------------------------------------------------------


def test_a_gpu_host_is_added(site: Site, operator: Operator) -> None:
    follow(site.depot, "add-a-gpu-host.md")
    assert answers(operator, "gpu1", "gpu2") == {"good morning"}


def test_a_rehearsal_refuses_while_users_are_served(site: Site, operator: Operator) -> None:
    """A client elsewhere than on the depot."""
    with served(site.gpu1):
        refused = operator.attempt_playbook(name=REHEARSAL)
    assert refused.returncode != 0
    assert "error: gpu1 has users, and a rehearsal reboots it: search at 192.0.2.7 has asked 1 time" in refused.stderr
    assert "rehearsal_with_clients=true" in refused.stderr


@contextmanager
def served(host: Host) -> Iterator[None]:
    """The host's gateway has served a client just now."""
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "client": "search", "address": "192.0.2.7"}
    before = host.run(["cat", AUDIT])
    host.run(["tee", "--append", AUDIT], text=f"{json.dumps(line)}\n")
    yield
    host.run(["tee", AUDIT], text=before)


def test_a_site_rehearses_and_so_does_its_depot(site: Site, operator: Operator) -> None:
    before = {host: boot(site, host) for host in ("gpu1", "gpu2")}
    first, second = halves("rehearse.md")
    follow_steps(site.depot, first)
    assert all(boot(site, host) != number for host, number in before.items())
    site.depot.reboot()
    follow_steps(site.depot, second)
    # What it finds, it tells.
    site.gpu1.run(["systemctl", "stop", "appliance-gateway.service"])
    found = operator.attempt_playbook("--extra-vars", "rehearsal_patience=1", "--tags", "check", name=REHEARSAL)
    site.gpu1.run(["systemctl", "start", "appliance-gateway.service"])
    assert found.returncode != 0
    assert "error: gpu1 did not come back completely: appliance-gateway.service is inactive" in found.stderr


def boot(site: Site, host: str) -> str:
    """Which boot it is that this host runs in."""
    return site.host(host).run(["cat", "/proc/sys/kernel/random/boot_id"])


# What was lost ------------------------------------------------------------------------------


def test_the_depot_is_restored(site: Site, operator: Operator, light: LightBundles) -> None:
    follow_steps(site.depot, section("restore-the-depot.md", "Before: back up"))
    kept = site.depot.run(["base64", BACKUP])
    # After the backup somebody was revoked.
    before = change(operator, {"pki_clients": ["operator", "later"]})
    operator.play(name="clients.yml")
    later = site.depot.run(["sh", "-c", "tar --create --directory /etc/appliance/pki/clients later | base64"])
    change(operator, {"pki_clients": before["pki_clients"], "pki_revoked": ["later"]})
    operator.play(name="clients.yml")
    assert {recap.changed for recap in operator.play(name="clients.yml").values()} == {0}

    site.depot.reinstall()
    assert site.depot.attempt(["ls", "/etc/appliance", "/srv/appliance", "/root/inventory"]).stdout == ""
    furnish(site.depot, light)
    site.depot.run(["sh", "-c", f"base64 --decode >{BACKUP}"], text=kept)
    # In the shell of the backup, whose umask is 077.
    before_it = section("restore-the-depot.md", "Before: back up")
    follow_steps(site.depot, section("restore-the-depot.md", "The depot is lost"), before=before_it)
    follow(site.depot, "README.md")
    operator.take_client()
    assert answers(operator, "gpu1") == {"good morning"}
    site.depot.run(["sh", "-c", "base64 --decode | tar --extract --directory /root"], text=later)
    assert "certificate revoked" in operator.ask_with("/root/later", "chat")["message"]


def test_a_host_with_a_new_disk_takes_its_place(site: Site, operator: Operator) -> None:
    site.gpu1.reinstall()
    assert site.gpu1.attempt(["which", "podman"]).returncode != 0
    follow(site.depot, "replace-a-host.md")
    assert answers(operator, "gpu1") == {"good morning"}


# Bundles ------------------------------------------------------------------------------------


def test_the_next_bundle_is_served(site: Site, operator: Operator) -> None:
    follow_steps(site.depot, steps("upgrade.md")[:-2])
    assert answers(operator, "gpu1", "gpu2") == {"good evening"}


def test_the_bundle_before_is_served_again(site: Site, operator: Operator) -> None:
    back = section("roll-back.md", "The site still holds it")
    follow_steps(site.depot, back[:4])
    assert answers(operator, "gpu1", "gpu2") == {"good morning"}
    follow_steps(site.depot, back[4:], before=back[:4])
    assert answers(operator, "gpu1", "gpu2") == {"good evening"}


def test_a_bundle_that_was_removed_comes_back_with_an_override_alone(
    site: Site, operator: Operator, light: LightBundles
) -> None:
    upgrade = steps("upgrade.md")
    follow_steps(site.depot, upgrade[-2:], before=upgrade[:-2])
    carried = light.folder / "release"  # what the signers make there lies on the medium
    (carried / "release.pem").symlink_to(light.folder / "release.pem")
    follow_steps(site.depot, section("roll-back.md", "It was removed"), elsewhere=carried)
    assert answers(operator, "gpu1", "gpu2") == {"good morning"}


# The end of a host --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ((), "No host is named, and this playbook wipes one"),
        (("gpu3",), "The inventory has no host gpu3"),
        (("depot1",), "depot1 is the depot"),
        (("gpu2",), "gpu2 is not in pki_revoked"),
    ],
    ids=["nobody", "unknown", "depot", "staying"],
)
def test_no_host_is_taken_out_by_accident(operator: Operator, named: tuple[str, ...], why: str) -> None:
    refused = decommission(operator, *named)
    assert refused.returncode != 0
    assert why in refused.stderr


def decommission(operator: Operator, *named: str) -> "subprocess.CompletedProcess[str]":
    words = [word for host in named for word in ("--extra-vars", f"decommission_host={host}")]
    return operator.attempt_playbook(*words, name="decommission.yml")


def test_neither_another_machine_nor_one_with_users_is_wiped(site: Site, operator: Operator) -> None:
    before = change(operator, {"pki_revoked": ["gpu2"]})
    with served(site.host("gpu2")):
        users = decommission(operator, "gpu2")
    operator.write_host_variables("gpu2", {"ansible_host": "gpu1"})
    other = decommission(operator, "gpu2")
    site.depot.run(["rm", f"{INVENTORY}/host_vars/gpu2.yml"])
    limited = operator.attempt_playbook(
        *("--limit", "gpu2", "--extra-vars", "decommission_host=gpu2"), name="decommission.yml"
    )
    tried = operator.attempt_playbook("--check", "--extra-vars", "decommission_host=gpu2", name="decommission.yml")
    operator.depot.put(VALUES, json.dumps(before))
    assert tried.returncode == 0, tried.stdout
    assert {users.returncode, other.returncode, limited.returncode} == {2}
    assert "error: gpu2 has users: search at 192.0.2.7 has asked 1 time" in users.stderr
    assert "error: The machine at gpu1 is not gpu2: its certificate is that of CN=gpu1" in other.stderr
    assert "do:       run this playbook without --limit" in limited.stderr
    assert answers(operator, "gpu1", "gpu2") == {"good morning"}


def test_a_host_that_is_lost_opens_nothing(site: Site, operator: Operator) -> None:
    gpu2 = site.host("gpu2")
    gpu2.run(["apt-get", "install", "--yes", "curl"], timeout=300)
    gpu2.run(["cp", "--recursive", "/etc/appliance", "/root/kept"])  # as a thief would
    assert (by_certificate(gpu2), by_token(gpu2)) == ("200", "200")
    before = change(operator, {"pki_revoked": ["gpu2"]})
    gpu2.unplug()
    lost = json.dumps({"decommission_host": "gpu2", "decommission_lost": True})
    said = operator.attempt_playbook("--extra-vars", lost, name="decommission.yml")
    gpu2.plug_in()
    assert said.returncode == 0, said.stdout
    assert "gpu2 is decommissioned: 0 files overwritten" in said.stdout
    assert "What overwriting has not reached: nothing on it could be wiped" in said.stdout
    assert (by_certificate(gpu2), by_token(gpu2)) == ("400", "401")
    operator.depot.put(VALUES, json.dumps(before))


def test_a_host_is_taken_out(site: Site, operator: Operator) -> None:
    """Also one that was lost and is found."""
    gpu2 = site.host("gpu2")
    asked = operator.ask("operator", "chat", host="gpu2")
    keys = gpu2.run(["cat", "/etc/appliance/tls/host.key", "/etc/appliance/tls/client.key"]).splitlines()
    secrets = [
        *(line for line in keys if "-" not in line),
        gpu2.run(["cat", "/etc/appliance/clients/huggingface.token"]).strip(),
        asked["id"],
        "good morning",  # it is in the weights
    ]
    gpu2.run(["rm", "--recursive", "--force", "/root/kept"])
    assert len(holding(gpu2, secrets)) >= 7
    page = steps("decommission.md")
    said = follow_steps(site.depot, page[:3])
    assert "What overwriting has not reached: / is overlay, which does not overwrite" in said
    assert holding(gpu2, secrets) == []
    assert gpu2.run(["systemctl", "list-units", "--plain", "--no-legend", *GONE]) == ""
    assert "table inet appliance" in gpu2.run(["nft", "list", "tables"])
    assert site.depot.attempt(["sh", "-c", "ls /etc/appliance/pki/hosts/gpu2/*.key"]).returncode != 0
    packed = site.depot.run(["sh", "-c", "tar --to-stdout --extract --file /srv/appliance/decommissioned/gpu2-*"])
    assert asked["id"] in packed
    follow_steps(site.depot, page[3:], before=page[:3])
    gpu2.reboot()
    assert gpu2.run(["systemctl", "list-units", "--plain", "--no-legend", *GONE]) == ""
    assert holding(gpu2, secrets) == []
    assert answers(operator, "gpu1") == {"good morning"}


def holding(host: Host, secrets: list[str]) -> list[str]:
    """Files of the host that have one of the secrets."""
    places = ["/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var"]
    look = ["grep", "--recursive", "--devices=skip", "--files-with-matches", "--fixed-strings", "--text", "--file=-"]
    return host.attempt([*look, *places], text="\n".join(secrets), timeout=300).stdout.splitlines()


def by_certificate(host: Host) -> str:
    """What the depot answers to the certificate that was kept."""
    kept = "/root/kept/tls"
    return status(host, "--cert", f"{kept}/client.pem", "--key", f"{kept}/client.key", "8443/demo/os/debian13/Packages")


def by_token(host: Host) -> str:
    """What it answers to the token."""
    token = host.run(["cat", "/root/kept/clients/huggingface.token"]).strip()
    return status(host, "--header", f"Authorization: Bearer {token}", "8444/demo/hf/api/models/tiny-chat/revision/main")


def status(host: Host, *own: str) -> str:
    *options, place = own
    ask = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
    return host.run([*ask, "--cacert", "/root/kept/tls/ca.pem", *options, f"https://depot:{place}"])
