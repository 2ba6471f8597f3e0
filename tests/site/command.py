"""How a site's processes, and those who reach into it, run programs."""

import subprocess
from collections.abc import Sequence
from pathlib import Path


def run(*argv: str, text: str = "") -> None:
    """Run ``argv`` with ``text`` as its input; ends this process when it fails."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}: {done.stdout}{done.stderr}")


def in_cgroup(cgroup: Path, argv: Sequence[str]) -> list[str]:
    """``argv`` as a command that enters ``cgroup`` before it starts, so that it ends with the site."""
    return ["sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', str(cgroup), *argv]
