"""Hosts of a site as pytest-testinfra sees hosts."""

import shlex
from typing import Any

from testinfra.backend.local import LocalBackend
from testinfra.host import Host as Inspected

from tests.site.hosts import Host


class _Inside(LocalBackend):  # type: ignore[misc]  # testinfra declares no types
    """Runs commands on this machine that run them on the host."""

    NAME = "site"

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.hostname = host.name
        self._site_host = host

    def get_command(self, command: str, *args: Any) -> str:
        return shlex.join(self._site_host.command(["sh", "-c", super().get_command(command, *args)]))


def inspect(host: Host) -> Any:
    """``host`` with testinfra's modules: ``inspect(site.gpu1).service("ssh").is_running``."""
    backend = _Inside(host)
    inspected = Inspected(backend)
    backend.set_host(inspected)
    return inspected
