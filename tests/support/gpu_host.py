"""A host with two GPUs as the role gpu's programs see it: stand-ins for NVIDIA's that keep what they are told.

They speak in recorded words.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.role_files import role_file

# Its state is a JSON list of GPUs, by the names of nvidia-smi's queries. What it says to changes is what people have
# recorded of the real one. Where that cannot do something, it says so and ends with 0.
SMI = r"""#!{python} -I
import json, sys
from pathlib import Path
WARNING = "Treating as warning and moving on."
USED = "In use by another client"
FULL = "Insufficient Resources"
place = Path({state!r})
gpus = json.loads(place.read_text())
if sys.argv[1] == "mig":
    # Words of NVIDIA's MIG User Guide; "in use" is that of github.com/NVIDIA/DCGM, issue 95.
    gpu = gpus[int(sys.argv[3])]
    verb, number = sys.argv[4], sys.argv[3]
    sizes = [int(name[0]) for name in gpu["slices"]]
    if gpu["mig.mode.current"] != "Enabled":
        print("No MIG-enabled devices found.")
        sys.exit(6)
    if verb == "-lgi":
        if not gpu["slices"] + gpu["unusable"]:
            print("No GPU instances found: Not Found")
            sys.exit(6)
        print("| GPU   Name             Profile  Instance   Placement  |")
        for name in gpu["slices"] + gpu["unusable"]:
            print(f"|   {{number}}  MIG {{name}}          9        2          0:4     |")
        sys.exit()
    gpu.setdefault("told", []).append(" ".join(sys.argv[4:]))
    if verb == "-dci":
        if gpu.get("held"):
            print(f"Unable to destroy compute instance ID  0 from GPU  {{number}} GPU instance ID  3: {{USED}}")
            print(f"Failed to destroy compute instances: {{USED}}")
            sys.exit(19)
        gpu["slices"], gpu["unusable"] = [], gpu["slices"] + gpu["unusable"]
        print(f"Successfully destroyed compute instance ID  0 from GPU  {{number}} GPU instance ID  2")
    elif verb == "-dgi":
        gpu["unusable"] = []
        print(f"Successfully destroyed GPU instance ID  2 from GPU  {{number}}")
    elif verb == "-cgi":
        assert sys.argv[6] == "-C"
        for name in sys.argv[5].split(","):
            if int(name[0]) + sum(int(made[0]) for made in gpu["slices"]) > 7:
                place.write_text(json.dumps(gpus))
                print(f"Unable to create a GPU instance on GPU  {{number}} using profile {{name}}: {{FULL}}")
                print(f"Failed to create GPU instances: {{FULL}}")
                sys.exit(19)
            print(f"Successfully created GPU instance ID  2 on GPU  {{number}} using profile MIG {{name}} (ID  9)")
            gpu["slices"].append(name)
        gpu["slices"].sort(reverse=True)
    place.write_text(json.dumps(gpus))
    sys.exit()
options = dict(word.split("=", 1) if "=" in word else (word, "") for word in sys.argv[1:])
if "--query-gpu" in options:
    assert options["--format"] == "csv,noheader,nounits"
    for gpu in gpus:
        print(", ".join(str(gpu[name]) for name in options["--query-gpu"].split(",")))
    sys.exit()
if "--list-gpus" in options:
    gpus[0]["lists"] = gpus[0].get("lists", 0) + 1
    place.write_text(json.dumps(gpus))
    for gpu in gpus:
        print(f"GPU {{gpu['index']}}: NVIDIA H100 80GB HBM3 (UUID: GPU-{{gpu['index']}})")
        for number, name in enumerate(gpu["slices"]):
            print(f"  MIG {{name:<11}} Device  {{number}}: (UUID: MIG-{{gpu['index']}}{{number}})")
    sys.exit()
if "--query-compute-apps" in options:
    for gpu in gpus:
        for pid in gpu["users"]:
            print(f"{{gpu['pci.bus_id']}}, {{pid}}, /usr/bin/python3")
    sys.exit()
gpu = gpus[int(options.pop("--id"))]
((option, value),) = options.items()
bus = f"GPU 00000000:{{int(gpu['index']) + 1:02d}}:00.0"
if option == "--persistence-mode":
    gpu["persistence_mode"] = "Enabled"
    print(f"Enabled persistence mode for {{bus}}.")
elif option == "--power-limit":
    if gpu.get("stubborn"):
        print(f"Changing power management limit is not supported for {{bus.replace(' ', ': ')}}.\n{{WARNING}}")
    else:
        print(f"Power limit for {{bus}} was set to {{float(value):.2f}} W from {{gpu['power.limit']}} W.")
        gpu["power.limit"] = f"{{float(value):.2f}}"
elif option == "--lock-gpu-clocks":
    if gpu.get("stubborn"):
        print(f"Setting locked GPU clocks is not supported for {{bus}}.\n{{WARNING}}")
    else:
        low, high = value.split(",")
        gpu["clocks"] = value
        print(f'GPU clocks set to "(gpuClkMin {{low}}, gpuClkMax {{high}})" for {{bus}}')
elif option == "--ecc-config":
    gpu["ecc.mode.pending"] = "Enabled" if value == "1" else "Disabled"
    print(f"{{gpu['ecc.mode.pending']}} ECC support for {{bus}}.")
elif option == "--multi-instance-gpu":
    wanted = "Enabled" if value == "1" else "Disabled"
    if gpu["mig.mode.current"] == "[N/A]":
        print(f"Unable to enable MIG Mode for {{bus}}: Not Supported\n{{WARNING}}")
    elif gpu.get("held"):
        gpu["mig.mode.pending"] = wanted
        print(f"Warning: MIG mode is in pending enable state for {{bus}}:In use by another client")
    else:
        gpu["mig.mode.current"] = gpu["mig.mode.pending"] = wanted
        print(f"{{wanted}} MIG Mode for {{bus}}")
else:
    sys.exit(f"{{option}} is not known")
gpu.setdefault("told", []).append(option)
print("All done.")
place.write_text(json.dumps(gpus))
"""
CTK = r"""#!{python} -I
import json, sys
from pathlib import Path
verb, what, *options = sys.argv[1:]
assert (verb, what) == ("cdi", "generate")
given = dict(option.split("=", 1) for option in options)
assert given["--format"] == "json"
said = Path({said!r})
Path(given["--output"]).write_text(said.read_text())
sys.exit(int(Path({state!r}).exists()))
"""
MODPROBE = r"""#!{python} -I
import sys
from pathlib import Path
option, access = sys.argv[1:]
assert option == "-f" and Path(access).read_text().startswith("DeviceFileMinor: ")
with Path({state!r}).open("a") as told:
    print(access, file=told)
"""
GPU = {
    "persistence_mode": "Disabled",
    "mig.mode.current": "Disabled",
    "mig.mode.pending": "Disabled",
    "slices": [],
    "unusable": [],
    "users": [],
    "power.limit": "700.00",
    "power.min_limit": "200.00",
    "power.max_limit": "700.00",
    "ecc.mode.current": "Enabled",
    "ecc.mode.pending": "Enabled",
}


class Host:
    """A host with two GPUs, NVIDIA's programs, and what the inventory says of them."""

    def __init__(self, folder: Path) -> None:
        self.tools, self.target = folder / "bin", folder / "cdi/nvidia.yaml"
        self._state, self._said, self._broken = folder / "gpus.json", folder / "said.json", folder / "broken"
        self._config = folder / "gpu.json"
        self.tools.mkdir()
        self.nodes = folder / "nodes"
        self.write([{**GPU, "index": f"{n}", "pci.bus_id": f"00000000:0{n + 1}:00.0"} for n in range(2)])
        programs = {"nvidia-smi": (SMI, self._state), "nvidia-ctk": (CTK, self._broken)}
        for name, (text, state) in (programs | {"nvidia-modprobe": (MODPROBE, self.nodes)}).items():
            program, python = self.tools / name, Path(sys.executable).resolve()  # no first line may have a space in it
            program.write_text(text.format(python=python, state=str(state), said=str(self._said)))
            program.chmod(0o755)
        self.device = folder / "nvidia0"
        self.device.touch()
        self._right = folder / "nvidia-caps/nvidia-cap30"
        self._capabilities = folder / "capabilities"
        self.describe("0", "1", "all")

    def give_rights(self) -> None:
        """What the driver tells of a slice, by the MIG User Guide; the device is there once it was asked for."""
        for place in ("gpu0/mig/gi2", "gpu0/mig/gi2/ci0"):
            (self._capabilities / place).mkdir(parents=True)
            (self._capabilities / place / "access").write_text("DeviceFileMinor: 30\nDeviceFileMode: 292\n")
        self._right.parent.mkdir()
        self._right.touch()

    def describe(self, *names: str, path: Path | None = None) -> None:
        """What nvidia-ctk is going to say, by the CDI specification 0.6.0."""
        node = {"path": "/dev/nvidia0", "hostPath": str(path or self.device)}
        right = {"path": "/dev/nvidia-caps/nvidia-cap30", "hostPath": str(self._right)}
        edits_of = {name: [node, right] if ":" in name and self._right.exists() else [node] for name in names}
        devices = [{"name": name, "containerEdits": {"deviceNodes": nodes}} for name, nodes in edits_of.items()]
        edits = {"mounts": [{"hostPath": str(self.device), "containerPath": "/x"}], "hooks": []}
        told = {"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": devices, "containerEdits": edits}
        self._said.write_text(json.dumps(told))

    def break_toolkit(self) -> None:
        self._broken.touch()

    def write(self, gpus: list[dict[str, Any]]) -> None:
        self._state.write_text(json.dumps(gpus))

    def gpus(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self._state.read_text())
        return found

    def set(self, **wanted: object) -> "subprocess.CompletedProcess[str]":
        """Run the unit's program; ``told`` of each GPU is what it was told in this run.

        ``lists`` of the first is how often the program has asked for all GPUs and slices.
        """
        kept = [{name: value for name, value in gpu.items() if name not in {"told", "lists"}} for gpu in self.gpus()]
        self.write(kept)
        self._config.write_text(json.dumps({"mig": {}, "power_watts": {}, "clocks_mhz": {}, "ecc": None} | wanted))
        paths = map(str, (role_file("gpu", "gpu.py"), self._config, self.target))
        places = (f"--tools={self.tools}", f"--capabilities={self._capabilities}")
        program = [sys.executable, "-I", *paths, *places]
        return subprocess.run(program, env={}, capture_output=True, text=True, check=False)

    def refused(self, **wanted: object) -> str:
        """What it says; containers must get no GPU then."""
        done = self.set(**wanted)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert not self.target.exists()
        return done.stderr
