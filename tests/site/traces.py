"""What a site is made of, as the machine sees it; and how much of that is left."""

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.site.running import Site, scratch_of

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
_PATIENCE = 20.0  # seconds


@dataclass(frozen=True)
class Traces:
    """The marks of one site; ``namespaces`` are those of its processes."""

    scratch: Path
    namespaces: frozenset[str]

    @classmethod
    def of(cls, site: Site) -> "Traces":
        """What ``site`` can be known by, now that it is up."""
        roots = [site.keeper, site.supervisor, *(host.init for host in site.hosts)]
        found = {name for process in roots for name in _namespaces(Path("/proc", str(process)))}
        return cls(site.plan.scratch, frozenset(found - _namespaces(Path("/proc/self"))))

    @classmethod
    def of_name(cls, name: str) -> "Traces":
        """What a site of this name can be known by before it is up, which is less."""
        return cls(scratch_of(name), frozenset())

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
        if _namespaces(process) & self.namespaces:
            return True
        return f'"scratch": "{self.scratch}"' in _command(process)  # a keeper's or a supervisor's arguments


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


def _namespaces(process: Path) -> set[str]:
    found = set()
    for name in _NAMESPACES:
        try:
            found.add(str((process / "ns" / name).readlink()))
        except OSError:
            continue  # it has ended
    return found


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
