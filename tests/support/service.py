"""A service's file of systemd, followed without systemd: user, rights, directories and commands.

So a test in a bare root has the program under the very rights that the unit gives it.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

_DIRECTORIES = {"RuntimeDirectory": "/run", "LogsDirectory": "/var/log", "CacheDirectory": "/var/cache"}


@dataclass(frozen=True)
class Service:
    """``lines`` are the settings in their order."""

    lines: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, text: str) -> "Service":
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
        return cls(tuple((name, value) for name, _, value in pairs))

    def last(self, name: str, default: str = "") -> str:
        return ([default] + [value for key, value in self.lines if key == name])[-1]

    def commands(self, name: str, main: int) -> list[list[str]]:
        """What ``name`` (ExecStart, ExecReload ...) runs, each with its rights; ``main`` is $MAINPID."""
        return [self._command(value, main) for key, value in self.lines if key == name]

    def rights(self) -> list[str]:
        """What goes before a command that has the rights of the service."""
        bounds = _capabilities(self.last("CapabilityBoundingSet"))
        argv = ["setpriv", "--no-new-privs", f"--bounding-set={bounds}"]
        if user := self.last("User"):
            ambient = _capabilities(self.last("AmbientCapabilities"))
            ids = [f"--reuid={user}", f"--regid={self.last('Group', user)}", "--init-groups"]
            argv += [*ids, f"--inh-caps={ambient}", f"--ambient-caps={ambient}"]
        return [*argv, "sh", "-c", f'umask {self.last("UMask", "0022")}; exec "$@"', "sh"]

    def directories(self) -> str:
        """Shell that makes its directories, with what is in them, its own."""
        user = self.last("User", "root")
        paths = [
            (f"{place}/{self.last(name)}", self.last(f"{name}Mode", "0755"))
            for name, place in _DIRECTORIES.items()
            if self.last(name)
        ]
        return "\n".join(f"mkdir -p {path}; chmod {mode} {path}; chown -R {user}: {path}" for path, mode in paths)

    def _command(self, value: str, main: int) -> list[str]:
        words = [word.replace("$MAINPID", str(main)) for word in shlex.split(value.removeprefix("+"))]
        return words if value.startswith("+") else [*self.rights(), *words]


def _capabilities(names: str) -> str:
    return ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in names.split())])


def script(commands: Sequence[Sequence[str]]) -> str:
    """Shell that runs them one after the other."""
    return "\n".join(shlex.join(command) for command in commands)
