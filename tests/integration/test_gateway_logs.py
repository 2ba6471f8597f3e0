"""What the gateway writes down, and how it is rotated: real nginx and logrotate, under the rights of the unit."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.debian_root import DebianRoot
from tests.support.gateway import Gateway, gateway_root, make_gateway, running
from tests.support.processes import below, wait_for

pytestmark = pytest.mark.integration

LOGS = "/var/log/appliance-gateway"
# Each of rotate, reload and start follows each of them.
COURSE = ("rotate", "rotate", "reload", "rotate", "start", "reload", "reload", "start", "start", "rotate")


class Life:
    """A gateway that is started again and again, with the files of one host."""

    def __init__(self, folder: Path, root: DebianRoot) -> None:
        self.gateway = make_gateway(folder)
        self._root = root
        self._runs = ExitStack()

    def start(self) -> None:
        """Anew, as after ``systemctl restart`` or a boot: nothing is left of what was in /run."""
        self._runs.close()
        self._runs.enter_context(running(self.gateway, self._root))

    def rotate(self) -> None:
        done = self.gateway.rotate()
        assert (done.returncode, done.stderr) == (0, "")

    def reload(self) -> None:
        done = self.gateway.reload()
        assert done.returncode == 0, done.stderr

    def end(self) -> None:
        self._runs.close()


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    life = Life(tmp_path_factory.mktemp("a gateway"), gateway_root())
    life.start()
    yield life
    life.end()


def models(gateway: Gateway, client: str) -> int:
    """The status that ``client`` gets, after its line was found in the log that is written now."""
    answer = gateway.ask(client, "/v1/models")
    assert gateway.audit(answer.headers["x-request-id"])["status"] == answer.status
    return answer.status


def test_a_revocation_counts_after_logs_were_rotated_and_after_anything_else(life: Life) -> None:
    for number, step in enumerate(COURSE):
        getattr(life, step)()
        revoked = number % 2 == 0
        life.gateway.revoke("mallory", *(["dave"] if revoked else []))
        life.reload()
        assert models(life.gateway, "dave") == (403 if revoked else 200), step
    owners = life.gateway.run(["stat", "--format=%U %a", LOGS, f"{LOGS}/audit.log", f"{LOGS}/audit.log.1"]).stdout
    assert owners.split("\n") == ["appliance-gateway 750", *2 * ["appliance-gateway 640"], ""]


def test_a_list_that_nginx_refuses_fails_the_reload_and_changes_nothing(life: Life) -> None:
    life.gateway.revoke("mallory", "dave")
    life.reload()
    (life.gateway.folder / "etc/appliance/tls/crl.pem").write_text("no list")
    refused = life.gateway.reload()
    assert refused.returncode == 1
    assert "crl.pem" in refused.stderr
    assert "nginx was not reloaded and keeps serving with the files that it had" in refused.stderr
    assert models(life.gateway, "dave") == 403
    assert models(life.gateway, "alice") == 200


def test_a_reload_that_nothing_comes_of_fails(life: Life) -> None:
    gateway = life.gateway
    master = gateway.master
    (*_, program) = gateway.service.commands("ExecReload", 1)
    gateway.revoke("mallory")
    os.kill(master, signal.SIGSTOP)
    try:
        refused = gateway.run([*program, "--within", "1"])
    finally:
        os.kill(master, signal.SIGCONT)
    assert refused.returncode == 1
    assert "keeps serving with the files that it had: no new worker came" in refused.stderr
    life.reload()
    assert models(gateway, "dave") == 200


@pytest.mark.parametrize(("name", "bad"), [("nginx.conf", "no_such_directive on;"), ("clients.conf", "map {")])
def test_a_configuration_is_tried_without_a_trace(life: Life, name: str, bad: str) -> None:
    gateway = life.gateway
    good = gateway.folder / "etc/appliance/gateway" / name
    program = ["unshare", "--mount", "/usr/local/lib/appliance/check-gateway", "/etc/appliance/tls/host.key", name]
    gateway.revoke("mallory")
    before = places(gateway)
    (gateway.folder / "etc/appliance/tls/a candidate").write_text(good.read_text())
    assert gateway.run([*program, "/etc/appliance/tls/a candidate"]).returncode == 0
    (gateway.folder / "etc/appliance/tls/a candidate").write_text(good.read_text() + bad)
    refused = gateway.run([*program, "/etc/appliance/tls/a candidate"])
    assert refused.returncode == 1
    assert name in refused.stderr
    assert places(gateway) == before


def places(gateway: Gateway) -> str:
    own = ("/run/appliance-gateway", LOGS, "/var/cache/appliance-gateway", "/etc/appliance/gateway")
    return gateway.run(["find", *own, "-printf", "%p %u %m %s\n"]).stdout


def test_no_gateway_of_the_tests_outlives_them(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path / "a gateway")
    with running(gateway, gateway_root()):
        started = below(gateway.nginx.pid)
        assert any(process.words[0].startswith("nginx: master") for process in started)
    wait_for(lambda: not any(process.alive for process in started))
