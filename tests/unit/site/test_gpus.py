"""What a host tells of its GPUs, recorded from real drivers, and what is refused before anything is changed."""

import hashlib
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.role_files import filters, role_file

RECORDED = Path(__file__).parent / "gpus"
GPUS = filters("gpus")
# Recorded: github.com/NVIDIA/nccl, issue 1617; four H100 and their network cards.
FOUR_H100 = """\
        GPU0    GPU1    GPU2    GPU3    NIC0    NIC1    CPU Affinity    NUMA Affinity   GPU NUMA ID
GPU0     X      NV6     NV6     NV6     PIX     SYS     6,14,22,30      3               N/A
GPU1    NV6      X      NV6     NV6     SYS     PIX     4,12,20,28      1               N/A
GPU2    NV6     NV6      X      NV6     SYS     SYS     7,15,23,31      7               N/A
GPU3    NV6     NV6     NV6      X      SYS     SYS     5,13,21,29      5               N/A
NIC0    PIX     SYS     SYS     SYS      X      SYS
NIC1    SYS     PIX     SYS     SYS     SYS      X

Legend:

  X    = Self
"""
OVER_PCIE = "\tGPU0\tGPU1\tCPU Affinity\n\x1b[4mGPU0\x1b[0m\t X \tSYS\t0-31\nGPU1\tSYS\t X \t0-31\n"
IMAGE = f"vllm-openai@sha256:{'1' * 64}"
MODEL: dict[str, Any] = {
    "name": "chat",
    "gpus": 1,
    "devices": [],
    "image": IMAGE,
    "gpu_gib": 23.5,
    "memory_utilization": 0.92,
}


def told(tmp_path: Path, log: str | None, matrix: str = "") -> dict[str, Any]:
    """What the program says on a host whose driver says ``log``, and of the ways between its GPUs ``matrix``."""
    if log is not None:
        (tmp_path / "log").write_bytes((RECORDED / log).read_bytes())
        (tmp_path / "matrix").write_text(matrix)
        smi = tmp_path / "nvidia-smi"
        smi.write_text(f'#!/bin/sh\n[ "$1" != topo ] || exec cat {tmp_path}/matrix\nexec cat {tmp_path}/log\n')
        smi.chmod(0o755)
    program = [sys.executable, "-I", str(role_file("preflight", "gpus.py")), "/var/lib/containers"]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = subprocess.run(program, env=environment, stdout=subprocess.PIPE, check=True).stdout
    seen: dict[str, Any] = json.loads(said)
    seen["pci"] = [{"address": gpu["address"][-12:], "driver": "nvidia", "iommu": None} for gpu in seen["gpus"]]
    seen["toolkit"] = True
    seen["mounts"] = {"/var/lib/containers": {"at": "/", "type": "ext4", "options": "rw,relatime"}}
    return seen


def complaints(seen: dict[str, Any], *models: dict[str, Any], cuda: str = "13.0.1") -> list[str]:
    found: list[str] = GPUS.gpu_complaints(seen, models or [MODEL], {IMAGE: cuda}, 85)
    assert all("; do: " in complaint for complaint in found)
    return found


@pytest.fixture
def idle(tmp_path: Path) -> dict[str, Any]:
    """Two GPUs with nobody on them."""
    return told(tmp_path, "two-a5000.xml", OVER_PCIE) | {"processes": []}


def test_a_host_says_what_its_gpus_are(tmp_path: Path) -> None:
    seen = told(tmp_path, "two-a5000.xml", OVER_PCIE)
    assert seen["driver"] == "590.44.01"
    assert [(gpu["number"], gpu["address"], gpu["mib"], gpu["celsius"]) for gpu in seen["gpus"]] == [
        (0, "00000000:81:00.0", 24564, 13),
        (1, "00000000:c1:00.0", 24564, 15),
    ]
    assert seen["links"] == [["X", "SYS"], ["SYS", "X"]]


def test_a_host_without_a_driver_says_so(tmp_path: Path) -> None:
    seen = told(tmp_path, None)
    assert (seen["driver"], seen["gpus"], seen["processes"], seen["links"]) == (None, [], [], [])


def test_network_cards_are_no_gpus(tmp_path: Path) -> None:
    seen = told(tmp_path, "two-a5000.xml", FOUR_H100)
    assert seen["links"][0] == ["X", "NV6", "NV6", "NV6"]
    assert len(seen["links"]) == 4


def test_gpus_are_found_on_the_bus_whoever_drives_them(tmp_path: Path) -> None:
    for address, vendor, kind in (("0000:01:00.0", "0x10de", "0x030200"), ("0000:01:00.1", "0x10de", "0x040300")):
        device = tmp_path / "bus" / address
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")
    (tmp_path / "nouveau").mkdir()
    (tmp_path / "bus/0000:01:00.0/driver").symlink_to(tmp_path / "nouveau")
    found = runpy.run_path(str(role_file("preflight", "gpus.py")))["_on_the_bus"](tmp_path / "bus")
    assert found == [{"address": "0000:01:00.0", "driver": "nouveau", "iommu": None}]


def test_two_idle_gpus_are_good(idle: dict[str, Any]) -> None:
    assert complaints(idle) == []


def test_who_holds_memory_of_a_gpu_is_named_unless_it_is_a_model_of_ours(tmp_path: Path) -> None:
    seen = told(tmp_path, "two-a5000.xml")
    assert complaints(seen) == [
        "/root/src/llama.cpp/build/bin/llama-server (process 100477) holds 22430 MiB of GPU 0 and is none of ours; do: "
        "end it, and keep it from starting again"
    ]
    assert complaints(seen, MODEL | {"devices": [1]}) == []
    seen["processes"][0]["cgroup"] = "0::/vllm.slice/vllm-chat.service/libpod-payload-1"
    assert complaints(seen) == []


def test_a_partitioned_gpu_with_an_old_driver_is_refused_for_both(tmp_path: Path) -> None:
    driver, partitioned = complaints(told(tmp_path, "a100-partitioned.xml"), MODEL | {"gpu_gib": 79.1})
    assert driver.startswith(
        "the driver is 535.54.03, and the image vllm-openai was made with CUDA 13.0.1, which needs 580"
    )
    assert "NVIDIA A100-SXM4-80GB, 00000000:01:00.0) is partitioned (MIG)" in partitioned
    assert "--multi-instance-gpu=0" in partitioned


@pytest.mark.parametrize(("cuda", "good"), [("11.8.0", True), ("12.9.1", True), ("13.0.1", False), ("", True)])
def test_a_driver_runs_its_own_and_older_cuda(tmp_path: Path, cuda: str, good: bool) -> None:
    seen = told(tmp_path, "a100-partitioned.xml")
    seen["gpus"][0]["partitioned"] = False
    assert (complaints(seen, cuda=cuda) == []) is good


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"celsius": 86}, "86 degrees Celsius, and slows down at 95"),
        ({"uncorrected": 2}, "2 memory errors"),
        ({"remapping_failed": True}, "no spare rows"),
        ({"needs": "Drain and Reset"}, "Drain and Reset"),
        ({"fabric": "In Progress"}, "NVLink fabric (In Progress)"),
        ({"mib": 16384}, "has 16.0 GiB, and the profile of chat was planned for 23.5"),
    ],
)
def test_an_ill_gpu_is_refused_only_for_those_who_use_it(
    idle: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    idle["gpus"][1] |= change
    (complaint,) = complaints(idle)
    assert said in complaint
    assert complaints(idle, MODEL | {"devices": [0]}) == []


def test_too_few_gpus_are_counted_on_the_bus(idle: dict[str, Any]) -> None:
    (complaint,) = complaints(idle, MODEL | {"gpus": 4})
    assert complaint.startswith("2 NVIDIA GPUs are on its bus, and chat need 4")
    (complaint,) = complaints(idle, MODEL | {"devices": [5]})
    assert "need 6" in complaint


@pytest.mark.parametrize(
    ("driver", "secure", "said"),
    [("nouveau", None, "held by the driver nouveau"), (None, True, "Secure Boot"), (None, False, "does not answer")],
)
def test_a_driver_that_does_not_answer_is_told_with_what_is_known(
    idle: dict[str, Any], driver: str | None, secure: bool | None, said: str
) -> None:
    bus = [{"address": "0000:01:00.0", "driver": driver, "iommu": None}]
    (complaint,) = complaints(idle | {"driver": None, "gpus": [], "pci": bus, "secure_boot": secure})
    assert said in complaint


def test_a_driver_that_the_same_run_installs_is_awaited(idle: dict[str, Any], tmp_path: Path) -> None:
    bare = idle | {"driver": None, "gpus": [], "processes": [], "links": [], "toolkit": False}
    assert GPUS.gpu_complaints(bare, [MODEL], {IMAGE: "13.0.1"}, 85, awaited=True) == []
    (complaint,) = GPUS.gpu_complaints(bare, [MODEL | {"gpus": 4}], {IMAGE: "13.0.1"}, 85, awaited=True)
    assert complaint.startswith("2 NVIDIA GPUs are on its bus, and chat need 4")
    older = told(tmp_path, "two-a5000.xml") | {"driver": "535.54.03", "processes": []}
    assert GPUS.gpu_complaints(older, [MODEL], {IMAGE: "13.0.1"}, 85, awaited=True) == []
    older["gpus"][0]["celsius"] = 90
    (complaint,) = GPUS.gpu_complaints(older, [MODEL], {IMAGE: "13.0.1"}, 85, awaited=True)
    assert "90 degrees Celsius" in complaint


def test_containers_need_the_toolkit(idle: dict[str, Any]) -> None:
    (complaint,) = complaints(idle | {"toolkit": False})
    assert "/usr/bin/nvidia-ctk" in complaint


def test_gpus_of_one_model_over_pcie_want_no_iommu_between_them(idle: dict[str, Any]) -> None:
    pair = MODEL | {"gpus": 2, "devices": [0, 1]}
    assert complaints(idle, pair) == []
    for gpu in idle["pci"]:
        gpu["iommu"] = "DMA-FQ"
    (complaint,) = complaints(idle, pair)
    assert "iommu=pt" in complaint
    assert complaints(idle, MODEL | {"devices": [0]}) == []
    assert complaints(idle | {"links": [["X", "NV4"], ["NV4", "X"]]}, pair) == []


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ({"type": "nfs4", "options": "rw"}, "lies on nfs4 (/var)"),
        ({"type": "xfs", "options": "rw,noexec"}, "mounted noexec (/var)"),
    ],
)
def test_a_place_that_cannot_hold_images_is_refused(idle: dict[str, Any], mount: dict[str, str], said: str) -> None:
    (complaint,) = complaints(idle | {"mounts": {"/var/lib/containers": {"at": "/var", **mount}}})
    assert said in complaint


def test_models_without_gpus_ask_for_nothing(idle: dict[str, Any]) -> None:
    assert complaints(idle | {"pci": [], "driver": None}, MODEL | {"gpus": 0}) == []


def test_two_models_cannot_have_more_than_one_gpu_between_them() -> None:
    other = MODEL | {"name": "embedder", "memory_utilization": 0.3}
    assert GPUS.gpu_claims([MODEL, other]) == ["each GPU is claimed by chat (0.92 of it) and embedder (0.3 of it)"]
    assert GPUS.gpu_claims([MODEL | {"devices": [0]}, other | {"devices": [0, 1]}]) == [
        "GPU 0 is claimed by chat (0.92 of it) and embedder (0.3 of it)"
    ]
    assert GPUS.gpu_claims([MODEL | {"devices": [0]}, other | {"devices": [1]}]) == []
    assert GPUS.gpu_claims([MODEL | {"memory_utilization": 0.6}, other]) == []
    assert GPUS.gpu_claims([MODEL, MODEL | {"gpus": 0, "memory_utilization": 0.9}]) == []


def test_the_version_of_cuda_comes_from_the_image(tmp_path: Path) -> None:
    blobs = tmp_path / "images/blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return digest

    config = json.dumps(
        {"os": "linux", "architecture": "amd64", "config": {"Env": ["PATH=/bin", "CUDA_VERSION=13.0.1"]}}
    )
    types = "application/vnd.oci.image"
    descriptor = {
        "mediaType": f"{types}.config.v1+json",
        "digest": f"sha256:{blob(config.encode())}",
        "size": len(config),
    }
    manifest = {"schemaVersion": 2, "mediaType": f"{types}.manifest.v1+json", "config": descriptor, "layers": []}
    image = f"vllm-openai@sha256:{blob(json.dumps(manifest).encode())}"
    assert GPUS.image_cuda(image, str(tmp_path)) == "13.0.1"
