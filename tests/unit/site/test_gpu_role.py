"""The role gpu's programs, with stand-ins for NVIDIA's that keep what they are told and speak in recorded words."""

import json
import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.gpu_host import Host
from tests.support.role_files import render, role_file

KERNEL = runpy.run_path(str(role_file("gpu", "kernel.py")))
RELEASE = "6.12.117+deb13-amd64"


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
        ({"power_watts": {"7": 500}}, {}, "gpu_power_watts names GPU 7, and there are 0, 1"),
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
    host.write([first | {"mig.mode.pending": "Enabled"}, second])
    assert list(KERNEL["reasons"](tmp_path, RELEASE))[1:] == ["MIG of GPU 0 is switched by a restart"]


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
        ("half", "AddDevice=nvidia.com/gpu=0:1\n"),
        ("lost", "AddDevice=nvidia.com/gpu=0:0\n"),
        ("cpu", ""),
    ):
        (tmp_path / f"vllm-{name}.container").write_text(f"[Container]\nContainerName=vllm-{name}\n{device}")
    found = {"vllm-chat": "GPU", "vllm-half": "MIG", "vllm-lost": "MIG", "vllm-old": "GPU"}
    assert program["names"](tmp_path) == found
    podman = tmp_path / "podman"
    podman.write_text(
        '#!/bin/sh\n[ "$1 $3 $4" = "exec /usr/bin/nvidia-smi --list-gpus" ] || exit 2\n'
        '[ "$2" = vllm-old ] || echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)"\n'
        '[ "$2" != vllm-half ] || echo "  MIG 3g.40gb     Device  0: (UUID: MIG-1)"\n'
        '[ "$2" != vllm-old ] || '
        "{ echo 'Failed to initialize NVML: Unknown Error'; exit 255; }\n"
    )
    podman.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    lost = {name: told for name, of in found.items() if (told := program["ask"](name, of))}
    assert sorted(lost) == ["vllm-lost", "vllm-old"]
    assert lost["vllm-old"] == "vllm-old does not reach its GPUs: Failed to initialize NVML: Unknown Error"


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
