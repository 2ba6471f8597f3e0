"""Set the limits of this host's GPUs, then describe the GPUs to containers: what appliance-gpu.service runs.

    gpu.py CONFIG TARGET [--tools DIRECTORY]

CONFIG is JSON: ``power_watts`` and ``clocks_mhz``, each by number of the GPU or by ``all``, and
``ecc``, which is true, false or null.  TARGET becomes what nvidia-ctk says of the GPUs, for CDI
(the CNCF's Container Device Interface).  It is replaced in one go, after all that it names was
seen to be there.

When a limit cannot be set or the description is not right, TARGET is removed: containers that
start then get no GPU, rather than one without its limit or a driver that has gone.  Exit code 1
with a message on standard error.  Runs on hosts: their own Python alone, and of NVIDIA's programs
those in DIRECTORY, which is /usr/bin.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Gpu = dict[str, str]
# As ``nvidia-smi --help-query-gpu`` calls them; a GPU that lacks one says [N/A].
ASKED = ("index", "persistence_mode", "power.limit", "power.min_limit", "power.max_limit", "ecc.mode.pending")
ECC = {True: "Enabled", False: "Disabled"}
# Seconds: a GPU that has fallen off the bus can keep the program waiting for good.
LIMIT = 120


class Wrong(Exception):
    """What a person has to read."""


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="gpu.py")
    parser.add_argument("config", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--tools", type=Path, default=Path("/usr/bin"))
    given = parser.parse_args()
    try:
        wanted = json.loads(given.config.read_text())
        numbers = apply(given.tools, wanted)
        describe(given.tools, given.target, numbers)
    except (Wrong, OSError, ValueError, LookupError, TypeError) as error:
        given.target.unlink(missing_ok=True)
        print(f"GPUs are not for use: {error}", file=sys.stderr)
        return 1
    return 0


def apply(tools: Path, wanted: Mapping[str, Any]) -> list[str]:
    """Set what is not as wanted; the numbers of all GPUs.  Raises Wrong."""
    gpus = ask(tools)
    numbers = [gpu["index"] for gpu in gpus]
    if strange := {*wanted["power_watts"], *wanted["clocks_mhz"]} - {"all", *numbers}:
        raise Wrong(f"a limit is for GPU {', '.join(sorted(strange))}, and there are {', '.join(numbers) or 'none'}")
    # First: a driver that nobody holds forgets the rest with its last user.
    for gpu in gpus:
        if gpu["persistence_mode"] == "Disabled":
            change(tools, gpu, "--persistence-mode=1")
    for gpu in gpus:
        power(tools, gpu, of(wanted["power_watts"], gpu))
        clocks(tools, gpu, of(wanted["clocks_mhz"], gpu))
        ecc(tools, gpu, wanted["ecc"])
    # nvidia-smi ends with 0 after "Treating as warning and moving on".
    for gpu in ask(tools):
        watts = of(wanted["power_watts"], gpu)
        if watts is not None and float(gpu["power.limit"]) != watts:
            raise Wrong(f"GPU {gpu['index']} may draw {gpu['power.limit']} W still, and not {watts}")
        if wanted["ecc"] is not None and gpu["ecc.mode.pending"] != ECC[wanted["ecc"]]:
            raise Wrong(f"ECC of GPU {gpu['index']} is to be {gpu['ecc.mode.pending']} still")
    return numbers


def ask(tools: Path) -> list[Gpu]:
    """What each GPU says, by the names in ASKED, in the order of their numbers."""
    said = run(tools / "nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader,nounits")
    rows = [[value.strip() for value in line.split(",")] for line in said.splitlines() if line.strip()]
    if not rows or any(len(row) != len(ASKED) or not row[0].isdecimal() for row in rows):
        raise Wrong(f"nvidia-smi does not say what GPUs there are: {said.strip()[:500]!r}")
    return [dict(zip(ASKED, row, strict=True)) for row in rows]


def of(figures: Mapping[str, int], gpu: Gpu) -> int | None:
    """What is said of this GPU, or of all."""
    return figures.get(gpu["index"], figures.get("all"))


def power(tools: Path, gpu: Gpu, watts: int | None) -> None:
    """Hold it to so many watts."""
    if watts is None:
        return
    try:
        limit, least, most = (float(gpu[f"power.{name}"]) for name in ("limit", "min_limit", "max_limit"))
    except ValueError:
        raise Wrong(
            f"GPU {gpu['index']} has no limit of power that could be set; take it out of gpu_power_watts"
        ) from None
    if not least <= watts <= most:
        raise Wrong(f"GPU {gpu['index']} can be held to {least:g} to {most:g} W, and gpu_power_watts says {watts}")
    if limit != watts:
        change(tools, gpu, f"--power-limit={watts}")


def clocks(tools: Path, gpu: Gpu, mhz: int | None) -> None:
    """Hold it to so many MHz.  No driver tells what it is held to, so this is said each time."""
    if mhz is None:
        return
    said = change(tools, gpu, f"--lock-gpu-clocks=0,{mhz}")
    if "GPU clocks set to" not in said:
        raise Wrong(f"GPU {gpu['index']} was not held to {mhz} MHz: {said.strip()[:500]}")


def ecc(tools: Path, gpu: Gpu, on: bool | None) -> None:
    """Have its memory correct errors, or not, from the next restart on."""
    if on is None or gpu["ecc.mode.pending"] == ECC[on]:
        return
    if gpu["ecc.mode.pending"] not in ECC.values():
        raise Wrong(f"GPU {gpu['index']} has no ECC that could be set; take gpu_ecc out of the inventory")
    change(tools, gpu, f"--ecc-config={on:d}")


def change(tools: Path, gpu: Gpu, option: str) -> str:
    """Set something of one GPU; what nvidia-smi says."""
    said = run(tools / "nvidia-smi", f"--id={gpu['index']}", option)
    print(f"GPU {gpu['index']}: {option}", flush=True)
    return said


def describe(tools: Path, target: Path, numbers: list[str]) -> None:
    """Have nvidia-ctk describe the GPUs, and let TARGET be that.  Raises Wrong."""
    # Who looks for descriptions reads no directories in there, so nobody sees one that is half written.
    beside = target.parent / ".appliance"
    beside.mkdir(mode=0o755, parents=True, exist_ok=True)
    made = beside / "nvidia.json"
    made.unlink(missing_ok=True)
    run(tools / "nvidia-ctk", "cdi", "generate", "--format=json", f"--output={made}")
    told = json.loads(made.read_text())
    names = {str(device["name"]) for device in told["devices"]}
    if told["kind"] != "nvidia.com/gpu" or {"all", *numbers} - names:
        raise Wrong(
            f"nvidia-ctk describes {told['kind']} {', '.join(sorted(names))}, and not GPUs {', '.join(numbers)}"
        )
    if gone := sorted({path for path in named(told) if not Path(path).exists()}):
        raise Wrong(f"nvidia-ctk names what is not there: {', '.join(gone[:5])}")
    made.chmod(0o644)
    # JSON is YAML. This is the name that NVIDIA's own unit uses, so there never are two descriptions of one GPU.
    made.rename(target)


def named(told: Mapping[str, Any]) -> Iterator[str]:
    """Every path of the host in a description."""
    for edits in (told.get("containerEdits", {}), *(device["containerEdits"] for device in told["devices"])):
        for node in edits.get("deviceNodes") or ():
            yield node.get("hostPath") or node["path"]
        for mount in edits.get("mounts") or ():
            yield mount["hostPath"]
        for hook in edits.get("hooks") or ():
            yield hook["path"]


def run(program: Path, *arguments: str) -> str:
    """What it says, on both of its outputs.  Raises Wrong."""
    try:
        done = subprocess.run(
            [program, *arguments],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
            check=False,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise Wrong(f"{program} is not there; install the driver and the container toolkit") from None
    except subprocess.TimeoutExpired:
        raise Wrong(f"{program} {' '.join(arguments)} says nothing for {LIMIT} s") from None
    if done.returncode:
        raise Wrong(f"{program} {' '.join(arguments)} ends with {done.returncode}: {done.stdout.strip()[-500:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
