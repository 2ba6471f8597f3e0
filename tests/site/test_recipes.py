"""docs/recipes, as an operator follows it: every command of every page is typed on a site that lives.

The pages come in an order in which one leaves the site as the next finds it.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.site.hosts import Host
from tests.site.operator import PROGRAMS, VARIABLES, Operator
from tests.site.plan import MEDIUM
from tests.site.recipe import follow, follow_steps
from tests.site.running import Site, running_site
from tests.support.light_bundle import LightBundles
from tests.support.processes import wait_for
from tests.support.recipes import RECIPES, halves

pytestmark = [pytest.mark.integration, pytest.mark.long]

GIVEN: dict[str, Any] = {
    **VARIABLES,
    "gateway_clients": [{"name": "operator", "roles": ["chat", "embedding"]}],
    "depot_token_hosts": [],
}
# As it will be one day after the last day of a list.
EXPIRED_LIST = """
import datetime, pathlib
from appliance_site.certificates import load_pair, revocation_list
top = pathlib.Path("/etc/appliance/pki")
authority = load_pair((top / "intermediate.pem").read_bytes(), (top / "intermediate.key").read_bytes())
yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
data = revocation_list(authority, [], yesterday - datetime.timedelta(days=397), yesterday, 1)
(top / "crl.pem").write_bytes(data + (top / "root-crl.pem").read_bytes())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site as the pages find it, with bundle demo 0.1.0."""
    light = LightBundles(tmp_path_factory.mktemp("recipes"), "demo")
    carried = light.build("0.1.0").parent
    with running_site(bundle=carried, hosts=("depot", "gpu1")) as site:
        Operator(site.depot).set_up(light.trusted, GIVEN, f"{MEDIUM}/demo-0.1.0")
        yield site


@pytest.fixture(scope="module")
def operator(site: Site) -> Operator:
    return Operator(site.depot)


def test_the_index_has_every_page() -> None:
    index = (RECIPES / "README.md").read_text()
    assert [page.name for page in RECIPES.glob("*.md") if f"]({page.name})" not in index] == ["README.md"]


def test_the_tools_are_in_the_bundle(site: Site) -> None:
    follow(site.depot, "README.md")


def test_a_client_is_added(site: Site, operator: Operator) -> None:
    follow(site.depot, "add-a-client.md")
    assert "".join(operator.ask("search", "chat")["parts"]) == "good morning"
    assert operator.ask("search", "embedding")["status"] == 403
    again = operator.play(name="clients.yml")
    assert {recap.changed for recap in again.values()} == {0}


def test_a_client_is_revoked(site: Site, operator: Operator) -> None:
    follow(site.depot, "revoke-a-client.md")
    assert "certificate revoked" in operator.ask("search", "chat")["message"]
    assert "".join(operator.ask("operator", "chat")["parts"]) == "good morning"


def test_the_audit_log_is_read(site: Site) -> None:
    follow(site.depot, "read-the-audit-log.md")


def test_certificates_are_renewed(site: Site, operator: Operator) -> None:
    said = follow(site.depot, "renew.md").splitlines()
    shown, issued = said[-2:]
    assert shown == issued
    assert "".join(operator.ask("operator", "chat")["parts"]) == "good morning"


def test_an_expired_revocation_list_is_mended(site: Site, operator: Operator) -> None:
    expire_list(site)
    wait_for(lambda: "CRL has expired" in operator.ask("operator", "chat").get("message", ""), 60, pause=0.5)
    follow(site.depot, "expired-crl.md")
    assert "certificate revoked" in operator.ask("search", "chat")["message"]


def expire_list(site: Site) -> None:
    site.depot.run([f"{PROGRAMS}/python", "-c", EXPIRED_LIST])
    expired = site.depot.run(["cat", "/etc/appliance/pki/crl.pem"])
    for host in (site.depot, site.gpu1):
        host.put("/etc/appliance/tls/crl.pem", expired)


def test_a_rehearsal_refuses_while_users_are_served(site: Site, operator: Operator) -> None:
    """A client that is not on the depot."""
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "client": "search", "address": "192.0.2.7"}
    log = "/var/log/appliance-gateway/audit.log"
    before = site.gpu1.run(["cat", log])
    site.gpu1.run(["tee", "--append", log], text=f"{json.dumps(line)}\n")
    refused = operator.attempt_playbook(name="rehearse.yml")
    site.gpu1.run(["tee", log], text=before)
    assert refused.returncode != 0
    assert "error: gpu1 has users, and a rehearsal boots it: search at 192.0.2.7 has asked 1 times" in refused.stderr
    assert "rehearsal_with_clients=true" in refused.stderr


def test_a_site_rehearses_and_so_does_its_depot(site: Site, operator: Operator) -> None:
    before = boot(site.gpu1)
    first, second = halves("rehearse.md")
    follow_steps(site.depot, first)
    assert boot(site.gpu1) != before
    site.depot.reboot()
    follow_steps(site.depot, second)
    # What it finds, it tells.
    site.gpu1.run(["systemctl", "stop", "appliance-gateway.service"])
    found = operator.attempt_playbook("--extra-vars", "rehearsal_patience=1", "--tags", "check", name="rehearse.yml")
    site.gpu1.run(["systemctl", "start", "appliance-gateway.service"])
    assert found.returncode != 0
    assert "error: gpu1 did not come back whole: appliance-gateway.service is inactive" in found.stderr


def boot(host: Host) -> str:
    """Which boot it is that this host runs in."""
    return host.run(["cat", "/proc/sys/kernel/random/boot_id"])
