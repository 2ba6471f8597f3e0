"""Say what this host is and has, as JSON, for the role preflight to judge.

Arguments: the name that the depot is called by, then the directory that bundles lie in.
Nothing is changed, and a program that is not there has said nothing.  Runs on bare hosts:
Python alone.
"""

import json
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path


def main() -> None:
    """See above."""
    depot, root = sys.argv[1], Path(sys.argv[2])
    images = Path("/var/lib/containers/storage")
    now = datetime.now(tz=UTC)
    memory = re.search(r"MemTotal: +([0-9]+) kB", Path("/proc/meminfo").read_text())
    places = [root, root.parent, images.parent, images.parents[1], Path("/")]
    seen = {
        "system": _system(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "service_manager": Path("/proc/1/comm").read_text().strip(),
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": int(now.timestamp()),
        "memory_mib": int(memory[1]) // 1024 if memory else 0,
        # Not all of them have to be there.
        "disk": _said("df", "--block-size=1", "--output=file,target,avail", *map(str, places)),
        # One file system: containers that run show their images once more.
        "used": _said("du", "--one-file-system", "--summarize", "--block-size=1", f"{root}/models", str(images)),
        "depot": _said("getent", "ahosts", depot).splitlines(),
        "listening": _said("ss", "--listening", "--tcp", "--numeric", "--processes", "--cgroup", "--no-header"),
    }
    print(json.dumps(seen))


def _system() -> dict[str, str]:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    keys = {"id": "ID", "name": "PRETTY_NAME", "version": "VERSION_ID"}
    return {name: release.get(key, "unknown") for name, key in keys.items()}


def _said(*argv: str) -> str:
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True).stdout
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    main()
