"""Say which containers with GPUs do not reach them any more, as a JSON list of sentences; an empty one is good news.

Each is asked by the ``nvidia-smi`` that CDI puts into it, with the container's own rights and devices.
Runs on hosts: their own Python alone.
"""

import json
import re
import subprocess
from pathlib import Path

_UNITS = Path("/etc/containers/systemd")
_GPU = re.compile(r"^AddDevice=nvidia\.com/gpu=", re.MULTILINE)
_NAME = re.compile(r"^ContainerName=(\S+)$", re.MULTILINE)


def main() -> None:
    """See above."""
    print(json.dumps([lost for name in names(_UNITS) if (lost := ask(name))]))


def names(units: Path) -> list[str]:
    """Containers that are given GPUs, sorted."""
    texts = [path.read_text() for path in units.glob("*.container")]
    return sorted(_NAME.findall(text)[0] for text in texts if _GPU.search(text))


def ask(name: str) -> str:
    """What is wrong with it, or nothing."""
    argv = ("podman", "exec", name, "/usr/bin/nvidia-smi", "--list-gpus")
    try:
        done = subprocess.run(argv, capture_output=True, timeout=120, check=False, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return f"{name} says nothing of its GPUs for 120 s"
    if done.returncode == 0 and re.search("^GPU [0-9]+: ", done.stdout, re.MULTILINE):
        return ""
    return f"{name} does not reach its GPUs: {(done.stderr + done.stdout).strip()[-300:]}"


if __name__ == "__main__":
    main()
