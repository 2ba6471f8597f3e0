"""A bundle that carries the exporter of GPUs and Grafana, on one host that is everything: both run, and are seen.

The host has what programs see of a GPU, so role gpu limits it and describes it to podman.

Programs take their places, because neither image can be had here; the playbook, podman and systemd are real.  The next
bundle has neither, and nothing is left of them.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.site.hosts import CommandFailed, Host
from tests.site.monitoring import LOOK, PAGE, Monitoring, ask
from tests.site.operator import CLIENTS, GROUPS, ROOT, VARIABLES, Operator
from tests.site.plan import MEDIUM
from tests.site.running import running_site
from tests.site.stand_in_gpu import give_gpu
from tests.support.gpu_metrics import EXPORTER, TOLD
from tests.support.grafana import GRAFANA
from tests.support.light_bundle import NAME, LightBundles
from tests.support.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.long]

HOST = "appliance"
LIMIT = {"gpu_power_watts": {"all": 500}}
PROGRAMS = {
    "dcgm-exporter": {"usr/bin/dcgm-exporter": EXPORTER, "told": TOLD.encode()},
    "grafana": {"usr/share/grafana/bin/grafana": GRAFANA},
}
BESIDE = ("/etc/appliance/grafana", "/etc/appliance/gpu-metrics", "/run/appliance/grafana.sock")


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """After the first run."""
    folder = tmp_path_factory.mktemp("build host")
    bundles = LightBundles(folder, on_gpu=True, programs=PROGRAMS)
    with_both = bundles.build("1.0.0")
    without = LightBundles(folder, on_gpu=True).build("1.1.0")
    assert without.parent == with_both.parent
    with running_site(bundle=with_both.parent, hosts=(HOST,)) as site:
        host = site.host(HOST)
        give_gpu(host)
        groups = {name: {"hosts": {HOST: {"ansible_connection": "local"}}} for name in GROUPS}
        operator = Operator(host)
        operator.take_root(bundles.trusted)
        operator.take_client()
        operator.bootstrap(f"{MEDIUM}/{with_both.name}")
        operator.write_inventory({**VARIABLES, "appliance_bundle": NAME, "appliance_depot_host": HOST, **LIMIT}, groups)
        assert operator.play()[HOST].failed == 0
        yield operator


@pytest.fixture(scope="module")
def host(operator: Operator) -> Host:
    return operator.depot


@pytest.fixture(scope="module")
def monitoring(host: Host) -> Monitoring:
    found = Monitoring(host, HOST)
    found.take_program()
    return found


def page(host: Host, path: str) -> dict[str, Any]:
    """Status and body of what somebody with a client certificate gets below the status page's address."""
    return ask(host, f"{CLIENTS}/operator", PAGE, HOST, path, "127.0.0.1")


def seen(look: Callable[[], object]) -> bool:
    """Whether something is there yet, of a host that may still be starting."""
    try:
        return bool(look())
    except (AssertionError, CommandFailed):
        return False


def test_prometheus_has_what_the_exporter_tells(monitoring: Monitoring) -> None:
    wait_for(lambda: bool(monitoring.query('up{job="dcgm"} == 1')), LOOK, pause=1)
    ((labels, clock),) = monitoring.query("DCGM_FI_DEV_SM_CLOCK").items()
    assert clock == 139
    assert {("gpu", "0"), ("instance", HOST), ("job", "dcgm")} <= set(labels)


def test_who_may_look_sees_grafana_which_has_the_answers_of_prometheus(monitoring: Monitoring) -> None:
    shown = page(monitoring.host, "/grafana/")
    assert shown["status"] == 200
    said = dict(line.split(": ", 1) for line in shown["body"].splitlines() if ": " in line)
    assert (said["user"], said["network"], said["other"]) == ("10003", "lo", "refused")
    # It asks without a question: what matters is who says so.
    assert json.loads(said["answer"])["errorType"] == "bad_data"


def test_a_gpu_has_its_limit_and_containers_are_told_of_it_by_our_unit_alone(host: Host) -> None:
    assert host.run(["cat", "/run/watts"]) == "500.00\n"
    assert json.loads(host.run(["cat", "/run/cdi/nvidia.yaml"]))["kind"] == "nvidia.com/gpu"
    assert host.run(["podman", "exec", "vllm-tiny-chat", "/usr/bin/nvidia-smi", "--list-gpus"]).startswith("GPU 0: ")
    enabled = ["systemctl", "is-enabled", "appliance-gpu.service", "nvidia-cdi-refresh.service"]
    assert host.attempt(enabled).stdout.split() == ["enabled", "masked"]


def test_a_second_run_changes_nothing(operator: Operator) -> None:
    assert operator.play()[HOST].changed == 0


def test_both_are_there_after_a_boot(monitoring: Monitoring) -> None:
    host = monitoring.host
    host.reboot()
    wait_for(lambda: seen(lambda: monitoring.query('up{job="dcgm"} == 1')), LOOK, pause=1)
    wait_for(lambda: seen(lambda: page(host, "/grafana/")["status"] == 200), LOOK, pause=1)
    assert host.run(["cat", "/run/watts"]) == "500.00\n"
    assert host.run(["systemctl", "--failed", "--plain", "--no-legend"]) == ""


def test_a_model_that_has_lost_its_gpu_ends_the_run_with_its_name(operator: Operator, host: Host) -> None:
    give_gpu(host)
    host.run(["podman", "exec", "vllm-tiny-chat", "/usr/bin/python3", "-c", "open('/tmp/lost', 'w')"])
    done = operator.attempt_playbook()
    assert "vllm-tiny-chat does not reach its GPUs" in done.stdout + done.stderr
    host.run(["systemctl", "restart", "vllm-tiny-chat.service"], timeout=120)


def test_nothing_is_left_when_the_bundle_carries_neither(operator: Operator, host: Host) -> None:
    give_gpu(host)
    done = operator.appliance("import", f"{MEDIUM}/{NAME}-1.1.0", "--root", ROOT)
    assert done.returncode == 0, done.stderr
    assert operator.appliance("switch", NAME, "1.1.0").returncode == 0
    assert operator.play()[HOST].failed == 0
    units = host.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "appliance-gr*", "appliance-gpu-*"])
    assert units == ""
    assert [path for path in BESIDE if host.attempt(["test", "-e", path]).returncode == 0] == []
    assert host.run(["ip", "netns", "list"]) == ""
    assert page(host, "/grafana/")["status"] == 404
    assert operator.play()[HOST].changed == 0
