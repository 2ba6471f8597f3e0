"""A gateway after its first night: logs are rotated, it is reloaded, restarted and booted, and clients are revoked."""

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.site.hosts import Host
from tests.site.operator import VARIABLES, Operator
from tests.site.plan import MEDIUM
from tests.site.running import Site, running_site
from tests.support.light_bundle import NAME, LightBundles
from tests.support.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.long]

UNIT = "appliance-gateway.service"
STEPS: dict[str, list[str]] = {
    "rotate": ["logrotate", "--force", "/etc/logrotate.conf"],
    "reload": ["systemctl", "reload", UNIT],
    "restart": ["systemctl", "restart", UNIT],
    "reboot": [],
}
# After each of them comes each of them.
COURSE = (
    *("rotate", "rotate", "reload", "rotate", "restart", "rotate", "reboot", "reload", "reload", "restart"),
    *("reload", "reboot", "restart", "restart", "reboot", "reboot", "rotate"),
)
REVOKED: list[str] = []
CLIENTS = [f"client-{number}" for number in range(len(COURSE) + 2)]
GIVEN: dict[str, Any] = {
    **VARIABLES,
    "appliance_bundle": NAME,
    "pki_clients": [*VARIABLES["pki_clients"], *CLIENTS],
    "gateway_clients": [{"name": name, "roles": ["chat"]} for name in CLIENTS],
    "depot_token_hosts": [],
}


@pytest.fixture(scope="module")
def site(light: LightBundles) -> Iterator[Site]:
    carried = light.build().parent
    with running_site(bundle=carried) as running:
        yield running


@pytest.fixture(scope="module")
def operator(site: Site, light: LightBundles) -> Operator:
    """After the first run."""
    operator = Operator(site.depot)
    operator.set_up(light.trusted, GIVEN, f"{MEDIUM}/{NAME}-1.0.0")
    return operator


@pytest.fixture
def revoke(operator: Operator) -> Callable[[], "subprocess.CompletedProcess[str]"]:
    """Revoke one more client, as docs/site/certificates.md tells it."""

    def revoke() -> "subprocess.CompletedProcess[str]":
        REVOKED.append(CLIENTS[len(REVOKED)])
        operator.write_inventory({**GIVEN, "pki_revoked": REVOKED})
        return operator.attempt_playbook(name="certificates.yml")

    return revoke


def answers(operator: Operator, client: str) -> bool:
    """Whether the model answers; the other thing that can be is that the certificate is refused."""
    answer = operator.ask(client, "chat")
    if "parts" in answer:
        return True
    assert (answer["status"], "certificate revoked" in answer["message"]) == (403, True), answer
    return False


def act(host: Host, step: str) -> None:
    if step == "reboot":
        host.reboot()
        # A model starts with the host, and before it there is nothing to ask.
        wait_for(lambda: host.attempt(["systemctl", "is-active", "vllm-tiny-chat"]).returncode == 0, 120, pause=0.5)
    else:
        host.run(STEPS[step], timeout=120)


def test_whatever_came_before_a_revocation_counts_when_the_run_has_ended(
    operator: Operator, site: Site, revoke: Callable[[], "subprocess.CompletedProcess[str]"]
) -> None:
    for number, step in enumerate(COURSE):
        what = " ".join(COURSE[: number + 1])
        act(site.gpu1, step)
        client = CLIENTS[len(REVOKED)]
        assert answers(operator, client), what
        done = revoke()
        assert done.returncode == 0, f"{what}\n{done.stdout}{done.stderr}"
        assert not answers(operator, client), what
        assert answers(operator, CLIENTS[-1]), what
        assert site.gpu1.run(["systemctl", "--failed", "--plain", "--no-legend"]) == "", what


def test_a_gateway_that_does_not_take_up_the_list_fails_the_run_and_is_seen(
    operator: Operator, site: Site, revoke: Callable[[], "subprocess.CompletedProcess[str]"]
) -> None:
    configuration = "/etc/appliance/gateway/nginx.conf"
    good = site.gpu1.run(["cat", configuration])
    site.gpu1.put(configuration, f"{good}\nno_such_directive on;\n")
    done = revoke()
    assert done.returncode != 0
    assert "appliance-gateway.service did not start on gpu1" in done.stdout
    assert 'unknown directive "no_such_directive"' in done.stdout
    wait_for(lambda: "appliance-gateway-reload" in site.gpu1.run(["systemctl", "--failed"]), 20, pause=0.2)
    site.gpu1.put(configuration, good)
    assert operator.attempt_playbook(name="certificates.yml").returncode == 0
    assert not answers(operator, REVOKED[-1])
    assert answers(operator, CLIENTS[-1])
