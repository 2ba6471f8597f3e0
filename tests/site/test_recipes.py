"""docs/recipes about hosts, as an operator follows them on a site that lives; test_recipes_daily.py has the others."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.site.hosts import Host
from tests.site.operator import VARIABLES, Operator
from tests.site.plan import MEDIUM
from tests.site.recipe import follow_steps
from tests.site.running import Site, running_site
from tests.support.light_bundle import LightBundles
from tests.support.recipes import halves

pytestmark = [pytest.mark.integration, pytest.mark.long]

GIVEN: dict[str, Any] = {
    **VARIABLES,
    "gateway_clients": [{"name": "operator", "roles": ["chat", "embedding"]}],
    "depot_token_hosts": [],
}


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
