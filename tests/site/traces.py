"""What a site is made of, as the machine sees it; and how much of that is left."""

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.site.plan import cgroup_of
from tests.site.running import scratch_of

_PATIENCE = 20.0  # seconds


@dataclass(frozen=True)
class Traces:
    """The marks of the site ``name``.

    Its processes are known by their cgroup.  Not by their namespaces: the kernel gives the
    number of one that has ended to the next, which may be a container's of another site.
    """

    name: str

    @property
    def scratch(self) -> Path:
        """Where the site has its files."""
        return scratch_of(self.name)

    def left(self) -> list[str]:
        """What is still there: each begins with ``process``, ``mount``, ``disk``, ``cgroup`` or ``directory``."""
        found = [f"process {path.name}: {_command(path)}" for path in _processes() if self._belongs(path)]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found += [f"mount {line}" for line in mounts if f"/{self.scratch.name}/" in line or " /run/site" in line]
        found += [
            f"disk {path.parent}" for path in Path("/sys/block").glob("loop*/loop/backing_file") if self._has(path)
        ]
        found += [f"cgroup {path}" for mount in cgroup_mounts() for path in mount.glob(f"*{self.scratch.name}*")]
        return found + ([f"directory {self.scratch}"] if self.scratch.exists() else [])

    def left_in_the_end(self, *kinds: str) -> list[str]:
        """The same once everything had its time to end; only ``kinds`` when some are given."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            found = [mark for mark in self.left() if not kinds or mark.startswith(kinds)]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def _has(self, backing: Path) -> bool:
        try:
            return backing.read_text().startswith(f"{self.scratch}/")
        except OSError:
            return False  # it was let go of meanwhile

    def _belongs(self, process: Path) -> bool:
        command = _command(process)
        if f'"scratch": "{self.scratch}"' in command:
            return True  # the keeper, which is in no cgroup of the site, or one that is not there yet
        return bool(command) and cgroup_of(self.name).name in re.split("[/\n]", _cgroup(process))


def machine() -> dict[str, str]:
    """The machine's own network and cgroups, and where systemd-nspawn would leave files."""
    commands = ("ip -oneline link", "ip -oneline -4 address", "ip route show table all", "ip -6 route show table all")
    seen = {command: _stable(subprocess.check_output(command.split(), text=True)) for command in commands}
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    seen["cgroup mounts"] = "\n".join(line for line in mounts if " - cgroup" in line)
    seen["files"] = " ".join(str(path) for path in (Path("/run/systemd/nspawn"), Path("/run/site")) if path.exists())
    seen["temporary files"] = " ".join(str(path) for path in Path("/tmp").glob("nspawn-*"))
    return seen


def cgroup_mounts() -> list[Path]:
    """Where the machine has its cgroups of version 2."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(words[1]) for words in lines if words[2] == "cgroup2"]


def _stable(text: str) -> str:
    """Without lifetimes, which count down."""
    return re.sub(r"(valid_lft|preferred_lft|expires) \S+", "", text)


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _cgroup(process: Path) -> str:
    try:
        return (process / "cgroup").read_text()
    except OSError:
        return ""  # it has ended


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
