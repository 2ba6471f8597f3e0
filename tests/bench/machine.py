"""What the figures were measured on."""

import os
import platform
import ssl
import subprocess
from pathlib import Path

from tests.bench.table import parse_speed

CORES = len(os.sched_getaffinity(0))  # as many as this process may use

# The same MiB is hashed again and again: no file, no copy, no Python.  A short look, because there
# are many: on a busy machine only some find the cores free.  By the wall clock, as with -multi.
_SPEED = "openssl speed -elapsed -bytes 1048576 -seconds 1 -evp sha256"


def openssl_speed(cores: int) -> float:
    """SHA-256 with one process on each of so many cores, bytes a second: the ratio 1.00."""
    several = ["-multi", str(cores)] if cores > 1 else []
    return parse_speed(_output(*_SPEED.split(), *several))


def describe(folder: Path) -> dict[str, str]:
    """Processor, kernel, file system and versions, for people."""
    cpu = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in cpu.splitlines() if line.startswith("model name")), "")
    flags = set(cpu.split())
    has_sha = "with" if flags & {"sha_ni", "sha2"} else "without"
    return {
        "processor": f"{model or platform.machine()}, cores: {CORES}, {has_sha} SHA instructions",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "kernel": platform.release(),
        "file system": _output("df", "--output=fstype", str(folder)).split()[-1],
        "openssl": _output("openssl", "version").strip(),
        "Python": f"{platform.python_version()} with {ssl.OPENSSL_VERSION}",
        "coreutils": _output("sha256sum", "--version").splitlines()[0],
        "load when it began": load(),
    }


def load() -> str:
    """Processes that ran or waited for storage, on average over the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout
