"""The role gpu's programs, with stand-ins for NVIDIA's that keep what they are told and speak in recorded words."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.role_files import render, role_file

KERNEL = runpy.run_path(str(role_file("gpu", "kernel.py")))
RELEASE = "6.12.117+deb13-amd64"
# Its state is a JSON list of GPUs, by the names of nvidia-smi's queries. What it says to changes is what people have
# recorded of the real one. Where that cannot do something, it says so and ends with 0.
SMI = r"""#!{python} -I
import json, sys
from pathlib import Path
WARNING = "Treating as warning and moving on."
place = Path({state!r})
gpus = json.loads(place.read_text())
options = dict(word.split("=", 1) if "=" in word else (word, "") for word in sys.argv[1:])
if "--query-gpu" in options:
    assert options["--format"] == "csv,noheader,nounits"
    for gpu in gpus:
        print(", ".join(str(gpu[name]) for name in options["--query-gpu"].split(",")))
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
GPU = {
    "persistence_mode": "Disabled",
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
        self.write([{**GPU, "index": str(number)} for number in range(2)])
        for name, text, state in (("nvidia-smi", SMI, self._state), ("nvidia-ctk", CTK, self._broken)):
            program = self.tools / name
            program.write_text(text.format(python=sys.executable, state=str(state), said=str(self._said)))
            program.chmod(0o755)
        self.device = folder / "nvidia0"
        self.device.touch()
        self.describe("0", "1", "all")

    def describe(self, *names: str, path: Path | None = None) -> None:
        """What nvidia-ctk is going to say, by the CDI specification 0.6.0."""
        node = {"path": "/dev/nvidia0", "hostPath": str(path or self.device)}
        devices = [{"name": name, "containerEdits": {"deviceNodes": [node]}} for name in names]
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
        """Run the unit's program; ``told`` of each GPU is what it was told in this run."""
        self.write([{name: value for name, value in gpu.items() if name != "told"} for gpu in self.gpus()])
        self._config.write_text(json.dumps({"power_watts": {}, "clocks_mhz": {}, "ecc": None} | wanted))
        paths = map(str, (role_file("gpu", "gpu.py"), self._config, self.target))
        program = [sys.executable, "-I", *paths, f"--tools={self.tools}"]
        return subprocess.run(program, env={}, capture_output=True, text=True, check=False)

    def refused(self, **wanted: object) -> str:
        """What it says; containers must get no GPU then."""
        done = self.set(**wanted)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert not self.target.exists()
        return done.stderr


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_limits_are_set_once_and_containers_are_told_of_the_gpus(host: Host) -> None:
    wanted = {"power_watts": {"all": 500, "1": 450}, "ecc": False}
    assert host.set(**wanted).returncode == 0
    assert [(gpu["power.limit"], gpu["ecc.mode.pending"]) for gpu in host.gpus()] == [
        ("500.00", "Disabled"),
        ("450.00", "Disabled"),
    ]
    assert host.gpus()[0]["told"][0] == "--persistence-mode"
    assert json.loads(host.target.read_text())["kind"] == "nvidia.com/gpu"
    assert host.target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in host.target.parent.glob("*.*")] == [".appliance", "nvidia.yaml"]
    assert host.set(**wanted).stdout == ""
    assert all("told" not in gpu for gpu in host.gpus())


def test_clocks_are_held_each_time(host: Host) -> None:
    for _ in range(2):
        assert host.set(clocks_mhz={"1": 1410}).returncode == 0
        assert host.gpus()[1]["told"][-1] == "--lock-gpu-clocks"
    assert [gpu.get("clocks") for gpu in host.gpus()] == [None, "0,1410"]


def test_what_is_not_said_is_left_as_it_is(host: Host) -> None:
    host.write([{**gpu, "persistence_mode": "Enabled", "power.limit": "[N/A]"} for gpu in host.gpus()])
    assert host.set().returncode == 0
    assert all("told" not in gpu for gpu in host.gpus())


@pytest.mark.parametrize(
    ("wanted", "change", "said"),
    [
        ({"power_watts": {"all": 900}}, {}, "GPU 0 can be held to 200 to 700 W, and gpu_power_watts says 900"),
        ({"power_watts": {"7": 500}}, {}, "a limit is for GPU 7, and there are 0, 1"),
        ({"power_watts": {"1": 500}}, {"power.limit": "[N/A]"}, "GPU 1 has no limit of power"),
        ({"power_watts": {"1": 500}}, {"stubborn": True}, "GPU 1 may draw 700.00 W still, and not 500"),
        ({"clocks_mhz": {"1": 1410}}, {"stubborn": True}, "GPU 1 was not held to 1410 MHz: Setting locked GPU clocks"),
        ({"ecc": True}, {"ecc.mode.pending": "[N/A]"}, "GPU 1 has no ECC"),
    ],
)
def test_a_limit_that_cannot_be_set_takes_the_gpus_from_containers(
    host: Host, wanted: dict[str, object], change: dict[str, object], said: str
) -> None:
    assert host.set().returncode == 0
    first, second = host.gpus()
    host.write([first, second | change])
    assert said in host.refused(**wanted)


def test_a_description_that_is_not_right_is_worse_than_none(host: Host, tmp_path: Path) -> None:
    assert host.set().returncode == 0
    host.describe("0", "all")
    assert "describes nvidia.com/gpu 0, all, and not GPUs 0, 1" in host.refused()
    host.describe("0", "1", "all", path=tmp_path / "libcuda.so.580")
    assert f"names what is not there: {tmp_path}/libcuda.so.580" in host.refused()
    host.describe("0", "1", "all")
    assert host.set().returncode == 0
    host.break_toolkit()
    assert "nvidia-ctk cdi generate" in host.refused()


def test_a_host_without_a_driver_gives_containers_nothing(host: Host) -> None:
    host.target.parent.mkdir()
    host.target.write_text("of another time")
    (host.tools / "nvidia-smi").unlink()
    assert "nvidia-smi is not there; install the driver" in host.refused()
    (host.tools / "nvidia-smi").write_text("#!/bin/sh\necho 'No devices were found'\n")
    (host.tools / "nvidia-smi").chmod(0o755)
    assert "No devices were found" in host.refused()


def modules(root: Path, *releases: str) -> None:
    """Kernels that have the modules, as depmod lists them."""
    for release in releases:
        (root / "lib/modules" / release).mkdir(parents=True)
        (root / "lib/modules" / release / "modules.dep").write_text(
            "kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz\nupdates/nvidia/nvidia.ko.xz:\n"
        )


def test_a_kernel_that_drives_the_gpus_needs_no_restart(tmp_path: Path) -> None:
    modules(tmp_path, RELEASE)
    assert list(KERNEL["reasons"](tmp_path, RELEASE)) == []
    assert KERNEL["unloaded"](tmp_path, RELEASE) == ["nvidia", "nvidia-uvm"]
    (tmp_path / "sys/module/nvidia_uvm").mkdir(parents=True)
    assert KERNEL["unloaded"](tmp_path, RELEASE) == ["nvidia"]


def test_a_kernel_without_the_modules_needs_a_restart_if_another_one_has_them(tmp_path: Path) -> None:
    assert list(KERNEL["reasons"](tmp_path, "6.1.0-1-amd64")) == []
    modules(tmp_path, RELEASE)
    (reason,) = KERNEL["reasons"](tmp_path, "6.1.0-1-amd64")
    assert reason == f"it runs Linux 6.1.0-1-amd64, and NVIDIA's modules are installed for {RELEASE}"
    assert KERNEL["unloaded"](tmp_path, "6.1.0-1-amd64") == []


def test_nouveau_goes_with_a_restart(tmp_path: Path) -> None:
    modules(tmp_path, RELEASE)
    (tmp_path / "sys/bus/pci/drivers/nouveau/0000:01:00.0").mkdir(parents=True)
    (tmp_path / "sys/bus/pci/drivers/nouveau/bind").touch()
    assert list(KERNEL["reasons"](tmp_path, RELEASE)) == ["nouveau holds 0000:01:00.0"]


def test_a_driver_that_is_not_the_installed_one_and_ecc_that_waits_need_a_restart(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules(tmp_path, RELEASE)
    (tmp_path / "sys/module/nvidia").mkdir(parents=True)
    (tmp_path / "sys/module/nvidia/version").write_text("590.44.01\n")
    (host.tools / "modinfo").write_text("#!/bin/sh\necho 590.48.01\n")
    (host.tools / "modinfo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{host.tools}:{os.environ['PATH']}")
    first, second = host.gpus()
    host.write([first, second | {"ecc.mode.pending": "Disabled"}])
    assert list(KERNEL["reasons"](tmp_path, RELEASE)) == [
        "version 590.44.01 of the driver is loaded, and 590.48.01 is installed",
        "ECC of GPU 1 is switched by a restart",
    ]


def test_first_file_systems_that_do_not_know_of_nouveau_are_made_again(tmp_path: Path) -> None:
    rules = tmp_path / "appliance-gpu.conf"
    for release in ("6.1", RELEASE):
        (tmp_path / f"initrd.img-{release}").touch()
    assert KERNEL["initramfs"](tmp_path, rules) == []
    rules.touch()
    later = rules.stat().st_ctime + 1
    os.utime(tmp_path / f"initrd.img-{RELEASE}", (later, later))
    os.utime(tmp_path / "initrd.img-6.1", (later - 9, later - 9))
    assert KERNEL["initramfs"](tmp_path, rules) == ["6.1"]


def test_a_container_that_has_lost_its_gpus_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both answers are nvidia-smi's, the second of NVIDIA/nvidia-container-toolkit, issue 48."""
    program = runpy.run_path(str(role_file("gpu", "reach.py")))
    for name, device in (
        ("chat", "AddDevice=nvidia.com/gpu=0\n"),
        ("old", "AddDevice=nvidia.com/gpu=1\n"),
        ("cpu", ""),
    ):
        (tmp_path / f"vllm-{name}.container").write_text(f"[Container]\nContainerName=vllm-{name}\n{device}")
    assert program["names"](tmp_path) == ["vllm-chat", "vllm-old"]
    podman = tmp_path / "podman"
    podman.write_text(
        '#!/bin/sh\n[ "$1 $3 $4" = "exec /usr/bin/nvidia-smi --list-gpus" ] || exit 2\n'
        '[ "$2" = vllm-chat ] && exec echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)"\n'
        "echo 'Failed to initialize NVML: Unknown Error'; exit 255\n"
    )
    podman.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert program["ask"]("vllm-chat") == ""
    assert program["ask"]("vllm-old") == "vllm-old does not reach its GPUs: Failed to initialize NVML: Unknown Error"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "appliance-gpu.service"
    unit.write_text(render("gpu", "appliance-gpu.service.j2"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, re.sub(r".*(nvidia-\w+\.service|Failed to prepare).*\n", "", done.stderr)) == (0, "")
