"""Say what keeps the running kernel from driving NVIDIA's GPUs with the modules that are installed, as JSON.

Arguments: the file below /etc/modprobe.d that keeps nouveau away, and as JSON the slices that GPUs are to be cut into,
as gpu.py takes them.  Nothing is changed.

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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_LISTED = re.compile(r"^(?:\S*/)?nvidia(?:-current)?\.ko(?:\.\w+)?:", re.MULTILINE)
_GPU_OR_SLICE = re.compile(r"GPU (?P<gpu>[0-9]+): |\s+MIG (?P<slice>\S+) +Device ")
_MINOR = re.compile(r"^Device Minor:\s*([0-9]+)", re.MULTILINE)
_CUT = ("Enabled", "Disabled")
_MODES = {"ECC": "ecc.mode", "MIG": "mig.mode"}
# Its handle does not keep a GPU from being cut: the driver asks it to let go.
_PERSISTENCE = "nvidia-persiste"


def main() -> None:
    """See above."""
    release, root = platform.release(), Path("/")
    layouts = json.loads(sys.argv[2])
    said = {
        "reasons": [*reasons(root, release), *in_use(root / "proc", layouts)],
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
    for name, mode in _MODES.items() if loaded else ():
        query = f"--query-gpu=index,{mode}.current,{mode}.pending"
        if numbers := pending(said("nvidia-smi", query, "--format=csv,noheader,nounits")):
            yield f"{name} of GPU {', '.join(numbers)} is switched by a restart"


def in_use(proc: Path, layouts: Mapping[str, Any]) -> Iterator[str]:
    """GPUs that are to be cut in another way and can be, and what uses them: it keeps the driver from cutting them."""
    if not layouts:
        return
    modes = said("nvidia-smi", "--query-gpu=index,mig.mode.current", "--format=csv,noheader,nounits")
    # Others say [N/A]: no restart makes one that cannot be cut one that can be.
    able = {number for number, _, mode in (row.partition(", ") for row in modes.splitlines()) if mode.strip() in _CUT}
    gpus = listed(said("nvidia-smi", "--list-gpus"))
    for (number, slices), minor in zip(gpus.items(), minors(proc), strict=False):
        layout = layouts.get(number, layouts.get("all"))
        if number not in able or layout is None or (layout or []) == slices:
            continue
        if users := holders(proc, f"/dev/nvidia{minor}"):
            shape = f"cut into {', '.join(layout)}" if layout else "whole"
            yield f"GPU {number} is to be {shape} (gpu_mig), and {', '.join(users)} would have to let go of it"


def listed(told: str) -> dict[str, list[str]]:
    """Names of the slices of each GPU, by its number, as ``nvidia-smi --list-gpus`` tells them."""
    found: dict[str, list[str]] = {}
    here: list[str] = []
    for part in map(_GPU_OR_SLICE.match, told.splitlines()):
        if part and part["gpu"]:
            found[part["gpu"]] = here = []
        elif part:
            here.append(part["slice"])
    return found


def minors(proc: Path) -> list[str]:
    """Which device each GPU has, in the order of their numbers, which is that on the bus."""
    texts = [path.read_text() for path in sorted(proc.glob("driver/nvidia/gpus/*/information"))]
    return [found[1] for text in texts if (found := _MINOR.search(text))]


def holders(proc: Path, device: str) -> list[str]:
    """Names of programs that have ``device`` open, with their processes, sorted."""
    found = {process: line(process / "comm") for process in proc.glob("[0-9]*") if device in opened(process)}
    return sorted(f"{name} (process {process.name})" for process, name in found.items() if name != _PERSISTENCE)


def opened(process: Path) -> list[str]:
    """Files that a process has open; none of one that has gone."""
    try:
        return [str(handle.readlink()) for handle in (process / "fd").iterdir()]
    except OSError:
        return []


def pending(told: str) -> list[str]:
    """Numbers of GPUs whose mode is to become another one."""
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
