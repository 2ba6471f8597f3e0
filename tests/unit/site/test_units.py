"""Units of hosts, as their templates have them."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.role_files import SITE

SOCKETS = sorted(SITE.glob("roles/*/templates/*.socket.j2"))


@pytest.mark.parametrize("socket", SOCKETS, ids=lambda path: path.name)
def test_what_a_socket_starts_never_runs_without_it(socket: Path) -> None:
    """systemd refuses to start a socket beside its running service, and stops and starts come in any order."""
    name = socket.name.removesuffix(".j2").replace("@", "@%i")
    (service,) = (
        path
        for suffix in ("service", "container")
        for path in [socket.with_name(socket.name.replace(".socket.", f".{suffix}."))]
        if path.exists()
    )
    required = re.findall(r"^Requires=(.*)$", service.read_text(), re.MULTILINE)
    assert name in " ".join(required).split()


def test_a_host_that_leaves_need_not_have_each_service() -> None:
    """systemctl refuses to stop a unit that is not there, and takes a pattern that meets none."""
    services = yaml.safe_load((SITE / "roles/decommission/vars/main.yml").read_text())["__decommission_services"]
    assert [name for name in services if "*" not in name] == []
