"""One host of a running site, as tests use it.

Commands reach it through its namespaces and not through its network, so that neither a
firewall nor a stopped SSH server is an obstacle.
"""

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.site.command import in_cgroup
from tests.site.plan import REINSTALL, HostPlan, first_process

_UMASK = 0o022  # of root's shell on a bare host, whatever the tester's is
_PATIENCE = 120.0  # seconds, for a busy machine
_BOOTED = ("running", "degraded")
# A host counts as booted before its addresses are there.
_WAIT_FOR_NETWORK = ("/usr/lib/systemd/systemd-networkd-wait-online", "--ipv4", "--ipv6", "--interface=host0:routable")
_ENVIRONMENT = (
    "HOME=/root",
    "LANG=C.UTF-8",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "USER=root",
)


class CommandFailed(AssertionError):
    """A command on a host did not do what it should; the message has all that it printed."""


@dataclass(frozen=True)
class Host:
    """A host, reached from the machine; ``supervisor`` is the site's first process."""

    plan: HostPlan
    supervisor: int

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def init(self) -> int | None:
        """The host's systemd as the machine numbers it; None while it is down."""
        return first_process(self._cgroup / "payload" / "init.scope")

    def run(self, argv: Sequence[str], *, text: str = "", timeout: float = 60) -> str:
        """Run ``argv`` as root, with ``text`` as its input; its standard output.

        Raises CommandFailed when it ends with another status than 0, or not within
        ``timeout`` seconds.
        """
        done = self.attempt(argv, text=text, timeout=timeout)
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}"
            raise CommandFailed(f"{self.name}: {shlex.join(argv)} ended with {done.returncode}:\n{said}")
        return done.stdout

    def attempt(
        self, argv: Sequence[str], *, text: str = "", timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``argv`` as root, whatever its status."""
        with subprocess.Popen(
            self.command(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            umask=_UMASK,
        ) as process:
            try:
                stdout, stderr = process.communicate(text, timeout)
            except BaseException as error:
                # Seen from here, what runs on the host is of the same process group.
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    problem = f"{self.name}: {shlex.join(argv)} did not end within {timeout:.0f} s"
                    raise CommandFailed(problem) from None
                raise
        return subprocess.CompletedProcess(list(argv), process.returncode, stdout, stderr)

    def follow(
        self, argv: Sequence[str], on_line: Callable[[str], None], *, timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``argv`` as root, whatever its status; ``on_line`` gets each line of what it prints, errors too, at once.

        The result has all lines as its ``stdout``.
        """
        lines: list[str] = []
        with subprocess.Popen(
            # Where there is no terminal, Python would keep its lines back.
            self.command(["env", "PYTHONUNBUFFERED=1", *argv]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            umask=_UMASK,
        ) as process:
            assert process.stdout is not None
            end = threading.Timer(timeout, os.killpg, (process.pid, signal.SIGKILL))
            end.start()
            try:
                for line in process.stdout:
                    lines.append(line)
                    on_line(line.rstrip("\n"))
                process.wait()
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            finally:
                end.cancel()
        if process.returncode == -signal.SIGKILL:
            raise CommandFailed(f"{self.name}: {shlex.join(argv)} did not end within {timeout:.0f} s")
        return subprocess.CompletedProcess(list(argv), process.returncode, "".join(lines), "")

    def command(self, argv: Sequence[str], *variables: str) -> list[str]:
        """``argv`` as a command of the machine that runs on the host as root; ``variables`` are ``NAME=value``."""
        init = self.init
        if init is None:
            raise CommandFailed(f"{self.name} is not running")
        cgroup = self._cgroup / "payload" / "tests"
        cgroup.mkdir(exist_ok=True)
        enter = ["nsenter", f"--target={init}", "--all", "--root", "--wd", "env", "--ignore-environment"]
        return in_cgroup(cgroup, [*enter, *_ENVIRONMENT, *variables, *argv])

    def put(self, path: str, content: str, mode: str = "0644") -> None:
        """Write ``content`` to ``path`` on the host; its directory is made when it is not there."""
        self.run(["install", "-D", f"--mode={mode}", "/dev/stdin", path], text=content)

    def journal(self, *arguments: str) -> str:
        """What the host's journal says, as ``journalctl`` takes ``arguments``."""
        return self.run(["journalctl", "--no-pager", "--output=short-monotonic", *arguments])

    def unplug(self) -> None:
        """Take the host off the network, from outside of it."""
        self._link("down")

    def plug_in(self) -> None:
        """Put it back."""
        self._link("up")

    def reboot(self) -> None:
        """Restart the host and wait until it is up again."""
        before = self.init
        self.run(["systemctl", "--no-block", "reboot"])
        deadline = time.monotonic() + _PATIENCE
        while self.init in {before, None}:
            if time.monotonic() > deadline:
                raise CommandFailed(f"{self.name} did not restart")
            time.sleep(0.05)
        self.wait_until_booted()

    def reinstall(self) -> None:
        """Put a new disk with a bare system into the host, and boot it."""
        Path(f"/proc/{self.supervisor}/root/run/site/scratch", self.name, REINSTALL).touch()
        self.reboot()

    def wait_until_booted(self) -> str:
        """Wait until systemd has started all that it should, the network too; ``running`` or ``degraded``."""
        deadline = time.monotonic() + _PATIENCE
        state = ""
        while time.monotonic() < deadline and Path("/proc", str(self.supervisor)).exists():
            if self.init is not None:
                state = self.attempt(["systemctl", "is-system-running", "--wait"], timeout=_PATIENCE).stdout.strip()
                if state in _BOOTED:
                    self.run(_WAIT_FOR_NETWORK, timeout=_PATIENCE)
                    return state
            time.sleep(0.05)
        raise CommandFailed(f"{self.name} did not boot: {state or 'its systemd did not start'}")

    @property
    def _cgroup(self) -> Path:
        return Path(f"/proc/{self.supervisor}/root/sys/fs/cgroup", self.name)

    def _link(self, state: str) -> None:
        network = f"--net=/proc/{self.supervisor}/ns/net"
        subprocess.run(["nsenter", network, "ip", "link", "set", f"vb-{self.name}", state], check=True)
