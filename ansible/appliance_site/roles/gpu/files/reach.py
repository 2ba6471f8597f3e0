"""Say which containers with GPUs do not reach them any more, as a JSON list of sentences; an empty one is good news.

Each is asked by the ``nvidia-smi`` that CDI puts into it, with the container's own rights and devices.
Runs on hosts: their own Python alone.
"""

import json
import re
import subprocess
from pathlib import Path

_UNITS = Path("/etc/containers/systemd")
_GPU = re.compile(r"^AddDevice=nvidia\.com/gpu=(?P<slice>[0-9]+:)?", re.MULTILINE)
_NAME = re.compile(r"^ContainerName=(\S+)$", re.MULTILINE)


def main() -> None:
    """See above."""
    print(json.dumps([lost for name, of in names(_UNITS).items() if (lost := ask(name, of))]))


def names(units: Path) -> dict[str, str]:
    """Containers that are given GPUs, sorted, and what of them: ``GPU`` or a slice of one (``MIG``)."""
    texts = [path.read_text() for path in units.glob("*.container")]
    given = {_NAME.findall(text)[0]: gpu for text in texts if (gpu := _GPU.search(text))}
    return {name: "MIG" if given[name]["slice"] else "GPU" for name in sorted(given)}


def ask(name: str, of: str) -> str:
    """What is wrong with it, or nothing.  A container that has lost its slice still sees the GPU around it."""
    argv = ("podman", "exec", name, "/usr/bin/nvidia-smi", "--list-gpus")
    try:
        done = subprocess.run(argv, capture_output=True, timeout=120, check=False, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return f"{name} says nothing of its GPUs for 120 s"
    if done.returncode == 0 and re.search(rf"^ *{of} .+: ", done.stdout, re.MULTILINE):
        return ""
    return f"{name} does not reach its GPUs: {(done.stderr + done.stdout).strip()[-300:]}"


if __name__ == "__main__":
    main()
