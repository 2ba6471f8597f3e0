"""Say what keeps the running kernel from driving NVIDIA's GPUs with the modules that are installed, as JSON.

Argument: the file below /etc/modprobe.d that keeps nouveau away.  Nothing is changed.

The output has
    reasons     why the host has to be restarted, for people; none where it need not be
    initramfs   releases of kernels whose first file system is older than that file
    load        modules that are installed for the running kernel and not loaded

Runs on bare hosts: Python alone.
"""

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_LISTED = re.compile(r"^(?:\S*/)?nvidia(?:-current)?\.ko(?:\.\w+)?:", re.MULTILINE)
_ECC = "--query-gpu=index,ecc.mode.current,ecc.mode.pending"


def main() -> None:
    """See above."""
    release, root = platform.release(), Path("/")
    said = {
        "reasons": list(reasons(root, release)),
        "initramfs": initramfs(root / "boot", Path(sys.argv[1])),
        "load": unloaded(root, release),
    }
    print(json.dumps(said))


def reasons(root: Path, release: str) -> Iterator[str]:
    """See above; ``release`` is that of the running kernel."""
    if held := sorted(path.name for path in (root / "sys/bus/pci/drivers/nouveau").glob("*:*:*.*")):
        yield f"nouveau holds {', '.join(held)}"
    built = releases(root / "lib/modules")
    if built and release not in built:
        yield f"it runs Linux {release}, and NVIDIA's modules are installed for {', '.join(built)}"
    loaded = line(root / "sys/module/nvidia/version")
    installed = said("modinfo", "--field=version", "nvidia").strip() if loaded and release in built else ""
    if installed and installed != loaded:
        yield f"version {loaded} of the driver is loaded, and {installed} is installed"
    if loaded and (numbers := pending(said("nvidia-smi", _ECC, "--format=csv,noheader,nounits"))):
        yield f"ECC of GPU {', '.join(numbers)} is switched by a restart"


def pending(told: str) -> list[str]:
    """Numbers of GPUs whose ECC is to become another one."""
    rows = [[value.strip() for value in row.split(",")] for row in told.splitlines()]
    return [row[0] for row in rows if len(row) == 3 and row[1] != row[2]]


def releases(modules: Path) -> list[str]:
    """Kernels that NVIDIA's modules are installed for, sorted."""
    return sorted(found.parent.name for found in modules.glob("*/modules.dep") if _LISTED.search(found.read_text()))


def unloaded(root: Path, release: str) -> list[str]:
    """See above."""
    if release not in releases(root / "lib/modules"):
        return []
    return [name for name in ("nvidia", "nvidia-uvm") if not (root / "sys/module" / name.replace("-", "_")).exists()]


def initramfs(boot: Path, rules: Path) -> list[str]:
    """Releases of kernels, sorted.  The time at which ``rules`` took its place counts, whatever its mtime says."""
    if not rules.exists():
        return []
    changed = rules.stat().st_ctime
    found = [file for file in boot.glob("initrd.img-*") if file.stat().st_mtime < changed]
    return sorted(file.name.removeprefix("initrd.img-") for file in found)


def line(path: Path) -> str:
    """What a file of /sys says; nothing where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def said(*argv: str) -> str:
    """What a program says; nothing where it is not there or fails."""
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120, check=False, text=True
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout


if __name__ == "__main__":
    main()
