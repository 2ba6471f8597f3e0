"""Cut this host's GPUs and limit them, then describe them to containers: what appliance-gpu.service runs.

    gpu.py CONFIG TARGET [--tools DIRECTORY] [--capabilities DIRECTORY]

CONFIG is JSON: ``mig``, ``power_watts`` and ``clocks_mhz``, each by number of the GPU or by
``all``, and ``ecc``, which is true, false or null.  ``mig`` has the slices of a GPU by the
driver's own names (``["3g.40gb", "3g.40gb"]``), or false for one that is to be whole.  TARGET
becomes what nvidia-ctk says of the GPUs, for CDI (the CNCF's Container Device Interface).  It is
replaced in one go, after all that it names was seen to be there.

When a GPU cannot be cut as it should be, a limit cannot be set or the description is not right,
TARGET is removed: containers that start then get no GPU, rather than another slice, one without
its limit or a driver that has gone.  Nothing that uses a GPU is ended.  Exit code 1 with a
message on standard error.  Runs on hosts: their own Python alone, and of NVIDIA's programs
those in a DIRECTORY, which is /usr/bin; what the driver tells of rights to slices is in the other.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

Gpu = dict[str, str]
Slices = dict[str, list[str]]  # names of the slices of each GPU that can be used, by its number
# As ``nvidia-smi --help-query-gpu`` calls them; a GPU that lacks one says [N/A].
ASKED = (
    *("index", "pci.bus_id", "persistence_mode", "mig.mode.current", "mig.mode.pending"),
    *("power.limit", "power.min_limit", "power.max_limit", "ecc.mode.pending"),
)
MODES = {True: "Enabled", False: "Disabled"}
# A GPU of ``nvidia-smi --list-gpus``, or one of its slices below it; what is a part of a slice is called 1c.3g.40gb.
LISTED = re.compile(r"GPU (?P<gpu>[0-9]+): |\s+MIG (?P<slice>\S+) +Device +(?P<place>[0-9]+): ")
# A row of ``nvidia-smi mig -lgi``.
INSTANCE = re.compile(r"^\| +[0-9]+ +MIG ", re.MULTILINE)
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
    parser.add_argument("--capabilities", type=Path, default=Path("/proc/driver/nvidia/capabilities"))
    given = parser.parse_args()
    try:
        wanted = json.loads(given.config.read_text())
        called = apply(given.tools, wanted, given.target)
        make_nodes(given.tools, given.capabilities)
        describe(given.tools, given.target, called)
    except (Wrong, OSError, ValueError, LookupError, TypeError) as error:
        given.target.unlink(missing_ok=True)
        print(f"GPUs are not for use: {error}", file=sys.stderr)
        return 1
    return 0


def apply(tools: Path, wanted: Mapping[str, Any], target: Path) -> list[str]:
    """Set what is not as wanted; what CDI has to call the GPUs and slices then.  Raises Wrong."""
    gpus = ask(tools)
    numbers = [gpu["index"] for gpu in gpus]
    for what in ("mig", "power_watts", "clocks_mhz"):
        if strange := {*wanted[what]} - {"all", *numbers}:
            raise Wrong(f"gpu_{what} names GPU {', '.join(sorted(strange))}, and there are {', '.join(numbers)}")
    # First: a driver that nobody holds forgets the rest with its last user.
    for gpu in gpus:
        if gpu["persistence_mode"] == "Disabled":
            change(tools, gpu, "--persistence-mode=1")
    # Before limits: some GPUs are reset by it.
    found = slices(tools)
    for gpu in gpus:
        found = cut(tools, gpu, of(wanted["mig"], gpu), found, target)
    for gpu in gpus:
        power(tools, gpu, of(wanted["power_watts"], gpu))
        clocks(tools, gpu, of(wanted["clocks_mhz"], gpu))
        ecc(tools, gpu, wanted["ecc"])
    # nvidia-smi ends with 0 after "Treating as warning and moving on".
    gpus = ask(tools)
    for gpu in gpus:
        watts = of(wanted["power_watts"], gpu)
        if watts is not None and float(gpu["power.limit"]) != watts:
            raise Wrong(f"GPU {gpu['index']} may draw {gpu['power.limit']} W still, and not {watts}")
        if wanted["ecc"] is not None and gpu["ecc.mode.pending"] != MODES[wanted["ecc"]]:
            raise Wrong(f"ECC of GPU {gpu['index']} is to be {gpu['ecc.mode.pending']} still")
    return list(names(gpus, found))


def ask(tools: Path) -> list[Gpu]:
    """What each GPU says, by the names in ASKED, in the order of their numbers."""
    said = run(tools / "nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader,nounits")
    rows = [[value.strip() for value in line.split(",")] for line in said.splitlines() if line.strip()]
    if not rows or any(len(row) != len(ASKED) or not row[0].isdecimal() for row in rows):
        raise Wrong(f"nvidia-smi does not say what GPUs there are: {said.strip()[:500]!r}")
    return [dict(zip(ASKED, row, strict=True)) for row in rows]


def names(gpus: list[Gpu], found: Slices) -> Iterator[str]:
    """What CDI calls the GPUs: a number, or number and place of each slice of one that is cut."""
    for gpu in gpus:
        if gpu["mig.mode.current"] == MODES[True]:
            yield from (f"{gpu['index']}:{place}" for place in range(len(found[gpu["index"]])))
        else:
            yield gpu["index"]


def slices(tools: Path) -> Slices:
    """The slices of each GPU that can be used, in the order in which the driver counts them."""
    return listed(run(tools / "nvidia-smi", "--list-gpus"))


def listed(told: str) -> Slices:
    """The same, of what nvidia-smi has told.  Raises Wrong where it counts in another order."""
    found: Slices = {}
    here: list[str] = []
    for line in map(LISTED.match, told.splitlines()):
        if line and line["gpu"]:
            found[line["gpu"]] = here = []
        elif line:
            if int(line["place"]) != len(here):
                raise Wrong(f"nvidia-smi does not list slices in their order: {line[0].strip()}")
            here.append(line["slice"])
    return found


def of(said: Mapping[str, Any], gpu: Gpu) -> Any:
    """What is said of this GPU, or of all; None where nothing is."""
    return said.get(gpu["index"], said.get("all"))


def cut(tools: Path, gpu: Gpu, layout: list[str] | Literal[False] | None, there: Slices, target: Path) -> Slices:
    """Cut it into the slices of ``layout`` (MIG), or make it whole; what is as it should be stays.  Raises Wrong.

    ``there`` are the slices of all GPUs before; it returns those after.  Slices do not outlive a
    boot, nor, since the Hopper generation, does the mode: NVIDIA, MIG User Guide, "Getting Started with MIG".
    """
    able = gpu["mig.mode.current"] in MODES.values()
    if layout is None or (layout is False and not able):
        return there
    wanted, number = layout or [], gpu["index"]
    mode = MODES[bool(wanted)]
    shape = f"cut into {', '.join(wanted)}" if wanted else "whole"
    meant = f"GPU {number} is to be {shape} (gpu_mig)"
    if not able:
        raise Wrong(f"{meant}, and cannot be cut at all; write it as {number}: false there")
    if gpu["mig.mode.current"] == gpu["mig.mode.pending"] == mode and there[number] == wanted:
        return there
    if users := using(tools, gpu):
        raise Wrong(f"{meant}, and is in use by {', '.join(users)}; stop that, or restart the host")
    # Nobody is to be given what becomes something else now.
    target.unlink(missing_ok=True)
    said = switch(tools, gpu, wanted, there[number])
    now = next(other for other in ask(tools) if other["index"] == number)
    if now["mig.mode.current"] != mode:
        when = "with the next restart of the host" if now["mig.mode.pending"] == mode else "not at all"
        raise Wrong(f"{meant}, and becomes that {when}: {said.strip()[:500]}")
    found = slices(tools)
    if found[number] != wanted:
        made = ", ".join(found[number]) or "no slices"
        raise Wrong(f"{meant}, and the driver has made {made} of it; write it in this order")
    return found


def switch(tools: Path, gpu: Gpu, wanted: list[str], there: list[str]) -> str:
    """Take away the slices that are there, switch the mode if need be, and make those that are wanted.

    It returns what nvidia-smi says.
    """
    said = ""
    if gpu["mig.mode.current"] == MODES[True]:
        if there:
            change(tools, gpu, "-dci", of_mig=True)
        # It may have some that nobody could use, of a run that was cut off.
        if INSTANCE.search(run(tools / "nvidia-smi", "mig", "-i", gpu["index"], "-lgi", may_fail=True)):
            change(tools, gpu, "-dgi", of_mig=True)
    if {gpu["mig.mode.current"], gpu["mig.mode.pending"]} != {MODES[bool(wanted)]}:
        said = change(tools, gpu, f"--multi-instance-gpu={bool(wanted):d}")
    # It says this where the mode has to wait for a restart, and ends with 0 all the same.
    if wanted and not re.search("pending enable|Treating as warning", said):
        return change(tools, gpu, "-cgi", ",".join(wanted), "-C", of_mig=True)
    return said


def using(tools: Path, gpu: Gpu) -> list[str]:
    """Programs that compute on it, by name and process."""
    said = run(tools / "nvidia-smi", "--query-compute-apps=gpu_bus_id,pid,process_name", "--format=csv,noheader")
    rows = [[value.strip() for value in line.split(",", 2)] for line in said.splitlines()]
    return [f"{row[2]} (process {row[1]})" for row in rows if len(row) == 3 and row[0] == gpu["pci.bus_id"]]


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
    if on is None or gpu["ecc.mode.pending"] == MODES[on]:
        return
    if gpu["ecc.mode.pending"] not in MODES.values():
        raise Wrong(f"GPU {gpu['index']} has no ECC that could be set; take gpu_ecc out of the inventory")
    change(tools, gpu, f"--ecc-config={on:d}")


def change(tools: Path, gpu: Gpu, *options: str, of_mig: bool = False) -> str:
    """Set something of one GPU, or of its slices; what nvidia-smi says."""
    which = ("mig", "-i", gpu["index"]) if of_mig else (f"--id={gpu['index']}",)
    said = run(tools / "nvidia-smi", *which, *options)
    print(f"GPU {gpu['index']}: {' '.join(options)}", flush=True)
    return said


def make_nodes(tools: Path, capabilities: Path) -> None:
    """Make the devices by which a slice may be used, which the driver makes when somebody first does.

    Source: NVIDIA, MIG User Guide, "Device Nodes and Capabilities".
    """
    for access in sorted((*capabilities.glob("gpu*/mig/gi*/access"), *capabilities.glob("gpu*/mig/gi*/ci*/access"))):
        run(tools / "nvidia-modprobe", "-f", str(access))


def describe(tools: Path, target: Path, wanted: list[str]) -> None:
    """Have nvidia-ctk describe the GPUs, and let TARGET be that.  Raises Wrong where one of ``wanted`` is missing."""
    # Who looks for descriptions reads no directories in there, so nobody sees one that is half written.
    beside = target.parent / ".appliance"
    beside.mkdir(mode=0o755, parents=True, exist_ok=True)
    made = beside / "nvidia.json"
    made.unlink(missing_ok=True)
    run(tools / "nvidia-ctk", "cdi", "generate", "--format=json", f"--output={made}")
    told = json.loads(made.read_text())
    there = {str(device["name"]) for device in told["devices"]}
    if told["kind"] != "nvidia.com/gpu" or {"all", *wanted} - there:
        raise Wrong(f"nvidia-ctk describes {told['kind']} {', '.join(sorted(there))}, and not GPUs {', '.join(wanted)}")
    for device in told["devices"]:
        if ":" in device["name"] and not any("/nvidia-caps/" in path for path in named({"devices": [device]})):
            raise Wrong(f"nvidia-ctk describes slice {device['name']} without the devices by which it may be used")
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


def run(program: Path, *arguments: str, may_fail: bool = False) -> str:
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
    if done.returncode and not may_fail:
        raise Wrong(f"{program} {' '.join(arguments)} ends with {done.returncode}: {done.stdout.strip()[-500:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
