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
# Recorded of the same host as a100-partitioned.xml: github.com/influxdata/telegraf, issue 5812.
FOUR_SLICES = """\
GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-513536b6-7d19-9063-b049-1e69664bb298)
  MIG 1g.20gb     Device  0: (UUID: MIG-ce861fb0-a248-58ce-a9a8-f9adbc22a66a)
  MIG 1g.20gb     Device  1: (UUID: MIG-a45882f0-9215-5733-a0c1-49286ab31cb5)
  MIG 1g.20gb     Device  2: (UUID: MIG-f00d722c-f4e1-52c9-aa31-750441ae1bfe)
  MIG 1g.20gb     Device  3: (UUID: MIG-930574a9-d43a-5d2b-95da-3e68384c8d6b)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-d8594bd4-0fc3-8595-e355-7c98138f3b95)
GPU 2: NVIDIA A100-SXM4-80GB (UUID: GPU-5e375e7e-b41f-155b-dcdc-534524c356fc)
GPU 3: NVIDIA A100-SXM4-80GB (UUID: GPU-69ec2344-ebac-b028-f88f-452abb3d7f11)
"""
DISABLED = "pci=disable_acs_redir=0000:03:04.0;0000:03:08.0"
IMAGE = f"vllm-openai@sha256:{'1' * 64}"
MODEL: dict[str, Any] = {
    "name": "chat",
    "gpus": 1,
    "devices": [],
    "image": IMAGE,
    "gpu_gib": 23.5,
    "slice": "",
    "memory_utilization": 0.92,
    "kv_cache_dtype": "auto",
}


def told(tmp_path: Path, log: str | None, matrix: str = "") -> dict[str, Any]:
    """What the program says on a host whose driver says ``log``, and of the ways between its GPUs ``matrix``."""
    if log is not None:
        (tmp_path / "log").write_bytes((RECORDED / log).read_bytes())
        (tmp_path / "matrix").write_text(matrix)
        (tmp_path / "listed").write_text(FOUR_SLICES)
        smi = tmp_path / "nvidia-smi"
        said = {"topo": "matrix", "--list-gpus": "listed", "--query": "log"}
        cases = "".join(f"{option}) exec cat {tmp_path}/{name};;\n" for option, name in said.items())
        smi.write_text(f"#!/bin/sh\ncase $1 in {cases}esac\n")
        smi.chmod(0o755)
    program = [sys.executable, "-I", str(role_file("preflight", "gpus.py")), "/var/lib/containers"]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    seen: dict[str, Any] = json.loads(
        subprocess.run(program, env=environment, stdout=subprocess.PIPE, check=True).stdout
    )
    seen["pci"] = [
        {"address": gpu["address"][-12:], "driver": "nvidia", "iommu": None, "acs": []} for gpu in seen["gpus"]
    ]
    seen["toolkit"] = True
    seen["mounts"] = {"/var/lib/containers": {"at": "/", "type": "ext4", "options": "rw,relatime"}}
    return seen


def complaints(seen: dict[str, Any], *models: dict[str, Any], cuda: str = "13.0.1", **more: Any) -> list[str]:
    found: list[str] = GPUS.gpu_complaints(seen, models or [MODEL], {IMAGE: cuda}, 85, **more)
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
    assert found == [{"address": "0000:01:00.0", "driver": "nouveau", "iommu": None, "acs": []}]


def bridge(control: int, before: int = 0) -> bytes:
    """The configuration space of a bridge whose ACS has ``control``, after as many other capabilities as ``before``."""
    space = bytearray(4096)
    for number in range(before):
        at = 0x100 + 16 * number
        space[at : at + 4] = (0x2 | 1 << 16 | (at + 16) << 20).to_bytes(4, "little")
    at = 0x100 + 16 * before
    space[at : at + 8] = (13 | 1 << 16).to_bytes(4, "little") + (0x1F).to_bytes(2, "little") + bytes([control, 0])
    return bytes(space)


def test_bridges_above_a_gpu_that_redirect_are_named(tmp_path: Path) -> None:
    """As in /sys: each device lies in the folder of its bridge, and only root sees more than 64 bytes of any."""
    root = tmp_path / "devices/pci0000:00/0000:00:01.0"
    upper, port = root / "0000:02:00.0", root / "0000:02:00.0/0000:03:04.0"
    device = port / "0000:04:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    for place, config in ((root, bridge(0x1D, 2)), (upper, bytes(4096)), (port, bridge(0x4)), (device, bridge(0x1D))):
        (place / "config").write_bytes(config)
    (tmp_path / "bus").mkdir()
    (tmp_path / "bus/0000:04:00.0").symlink_to(device)
    on_the_bus = runpy.run_path(str(role_file("preflight", "gpus.py")))["_on_the_bus"]
    assert on_the_bus(tmp_path / "bus")[0]["acs"] == ["0000:03:04.0", "0000:00:01.0"]
    (port / "config").write_bytes(bridge(0x4)[:64])
    assert on_the_bus(tmp_path / "bus")[0]["acs"] == ["0000:00:01.0"]


@pytest.mark.parametrize(
    ("config", "redirects"),
    [
        (bridge(0x4), True),
        (bridge(0x8, 3), True),
        (bridge(0x1 | 0x10), False),
        (b"", False),
        (b"\xff" * 4096, False),
        (bytes(0x100) + (0x2 | 0x100 << 20).to_bytes(4, "little") + bytes(16), False),
    ],
)
def test_only_what_redirects_between_peers_counts(config: bytes, redirects: bool) -> None:
    assert runpy.run_path(str(role_file("preflight", "gpus.py")))["redirects"](config) is redirects


def test_the_driver_says_what_programs_a_gpu_can_run() -> None:
    told = runpy.run_path(str(role_file("preflight", "gpus.py")))["capabilities"]
    assert told("00000000:01:00.0, 8.6\n00000000:C1:00.0, 12.0\n") == {
        "00000000:01:00.0": "8.6",
        "00000000:c1:00.0": "12.0",
    }
    assert told('Field "compute_cap" is not a valid field to query.\n\n') == {}


@pytest.mark.parametrize(
    ("capability", "cuda", "good"),
    [
        ("7.0", "13.0.1", False),
        ("7.5", "13.0.1", True),
        ("12.0", "13.0.1", True),
        ("7.0", "12.9.1", True),
        ("3.7", "12.9.1", False),
        (None, "13.0.1", True),
        ("7.0", "", True),
    ],
)
def test_a_gpu_can_be_too_old_for_the_images_cuda(
    idle: dict[str, Any], capability: str | None, cuda: str, good: bool
) -> None:
    idle["gpus"][1]["capability"] = capability
    assert complaints(idle, MODEL | {"devices": [0]}, cuda=cuda) == []
    found = complaints(idle, MODEL | {"devices": [1]}, cuda=cuda)
    assert (found == []) is good
    assert all(f"compute capability {capability} has" in one and "; do: " in one for one in found)


@pytest.mark.parametrize(
    ("capability", "dtype", "good"),
    [
        ("8.0", "fp8", False),
        ("8.6", "fp8_e5m2", False),
        ("8.9", "fp8", True),
        ("10.0", "fp8_e4m3", True),
        ("8.0", "auto", True),
        (None, "fp8", True),
    ],
)
def test_a_gpu_can_be_too_old_for_the_models_kv_cache(
    idle: dict[str, Any], capability: str | None, dtype: str, good: bool
) -> None:
    """An A100-80 has the memory of the H100-80 that a model was planned for, and runs programs of the same CUDA."""
    idle["gpus"][1]["capability"] = capability
    model = MODEL | {"kv_cache_dtype": dtype}
    assert complaints(idle, model | {"devices": [0]}) == []
    found = complaints(idle, model | {"devices": [1]})
    assert (found == []) is good
    told = f"what compute capability {capability} has, and chat keeps keys and values as {dtype}, which needs 8.9"
    assert all(told in one for one in found)


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
    assert "NVIDIA A100-SXM4-80GB, 00000000:01:00.0) is cut into slices (MIG: 1g.20gb, 1g.20gb," in partitioned
    assert "make it whole (false in gpu_mig)" in partitioned


@pytest.mark.parametrize(("cuda", "good"), [("11.8.0", True), ("12.9.1", True), ("13.0.1", False), ("", True)])
def test_a_driver_runs_its_own_and_older_cuda(tmp_path: Path, cuda: str, good: bool) -> None:
    seen = told(tmp_path, "a100-partitioned.xml")
    seen["gpus"][0]["mig"] = False
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
    bus: list[dict[str, Any]] = [{"address": "0000:01:00.0", "driver": driver, "iommu": None, "acs": []}]
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


def test_gpus_of_one_model_want_no_switch_that_sends_them_through_the_processor(idle: dict[str, Any]) -> None:
    pair = MODEL | {"gpus": 2, "devices": [0, 1]}
    for gpu, port in zip(idle["pci"], ("0000:03:04.0", "0000:03:08.0"), strict=True):
        gpu["acs"] = [port, "0000:00:01.0"]
    switched = idle | {"links": [["X", "PIX"], ["PIX", "X"]]}
    (complaint,) = complaints(switched, pair)
    assert complaint.endswith("; do: turn ACS off in the firmware, or boot with " + DISABLED)
    assert complaints(switched, MODEL | {"devices": [0]}) == []
    assert complaints(idle, pair) == []  # SYS: it goes through the processor anyway
    for gpu in idle["pci"]:
        gpu["acs"] = ["0000:00:01.0"]
    assert complaints(switched, pair) == []


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
