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


@pytest.fixture
def cut(tmp_path: Path) -> dict[str, Any]:
    """A GPU in four slices."""
    return told(tmp_path, "a100-partitioned.xml") | {"driver": "590.44.01"}


QUARTER = MODEL | {"devices": ["0:3"], "gpu_gib": 19.5, "slice": "1g.20gb"}
QUARTERS = {0: ["1g.20gb"] * 4}


def test_a_slice_is_a_gpu_with_memory_of_its_own(cut: dict[str, Any]) -> None:
    assert cut["gpus"][0]["slices"] == [{"name": "1g.20gb", "mib": 19968}] * 4
    assert complaints(cut, QUARTER, layouts=QUARTERS) == []
    (complaint,) = complaints(cut, QUARTER | {"gpu_gib": 39.2}, layouts=QUARTERS)
    assert complaint.startswith("slice 3 of GPU 0 (mig0:3) (1g.20gb) has 19.5 GiB, and the profile of chat was planned")


def test_slices_that_the_same_run_makes_are_awaited_until_it_has(cut: dict[str, Any]) -> None:
    halves = {"all": ["3g.40gb", "3g.40gb"]}
    half = QUARTER | {"devices": ["0:1"], "slice": "3g.40gb", "gpu_gib": 39.2}
    assert complaints(cut, half, layouts=halves, uncut=True) == []
    (complaint,) = complaints(cut, half | {"gpu_gib": None}, layouts=halves)
    assert "is cut into 1g.20gb, 1g.20gb, 1g.20gb, 1g.20gb, and gpu_mig says 3g.40gb, 3g.40gb; do: see why" in complaint
    assert complaints(cut, MODEL, layouts={0: False}, uncut=True) == []
    (complaint,) = complaints(cut, MODEL, layouts={0: False})
    assert "and gpu_mig says that it is whole" in complaint


def test_a_gpu_that_cannot_be_cut_is_told_before_anything_is_changed(idle: dict[str, Any]) -> None:
    (complaint,) = complaints(idle, QUARTER, layouts={"0": ["1g.20gb"] * 4}, uncut=True)
    assert "RTX A5000, 00000000:81:00.0) is to be cut into slices (gpu_mig), and cannot be" in complaint
    assert complaints(idle, MODEL | {"devices": [1]}, layouts={0: ["1g.20gb"]}, uncut=True) == []


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


def test_two_models_cannot_have_more_than_one_gpu_between_them() -> None:
    other = MODEL | {"name": "embedder", "memory_utilization": 0.3}
    assert GPUS.gpu_claims([MODEL, other], {}) == ["each GPU is claimed by chat (0.92 of it) and embedder (0.3 of it)"]
    assert GPUS.gpu_claims([MODEL | {"devices": [0]}, other | {"devices": [0, 1]}], {}) == [
        "GPU 0 is claimed by chat (0.92 of it) and embedder (0.3 of it)"
    ]
    assert GPUS.gpu_claims([MODEL | {"devices": [0]}, other | {"devices": [1]}], {}) == []
    assert GPUS.gpu_claims([MODEL | {"memory_utilization": 0.6}, other], {}) == []
    assert GPUS.gpu_claims([MODEL, MODEL | {"gpus": 0, "memory_utilization": 0.9}], {}) == []


def test_two_models_cannot_have_one_slice_however_little_of_it_they_want() -> None:
    other = QUARTER | {"name": "embedder", "memory_utilization": 0.1}
    assert GPUS.gpu_claims([QUARTER, other], QUARTERS) == ["slice 3 of GPU 0 (mig0:3) is claimed by chat and embedder"]
    assert GPUS.gpu_claims([QUARTER, other | {"devices": ["0:2"]}], QUARTERS) == []
    assert GPUS.gpu_claims([QUARTER, other | {"devices": ["1:3"]}], {"all": QUARTERS[0]}) == []
    assert GPUS.gpu_claims([QUARTER, MODEL | {"name": "big", "devices": [1]}], QUARTERS) == []


@pytest.mark.parametrize(
    ("model", "layouts", "said"),
    [
        (QUARTER, {}, "chat claims slice 3 of GPU 0 (mig0:3), and gpu_mig does not cut that GPU"),
        (QUARTER, {"all": QUARTERS[0], 0: False}, "and gpu_mig does not cut that GPU"),
        (QUARTER, {0: ["3g.40gb", "3g.40gb"]}, "and gpu_mig has 3g.40gb, 3g.40gb there, counted from 0"),
        (QUARTER, {0: ["1g.20gb"] * 3 + ["1g.10gb"]}, "a 1g.10gb, and was planned for a 1g.20gb"),
        (QUARTER | {"devices": ["0:0", "0:1"]}, QUARTERS, "chat takes 2 GPUs, and slices cannot speak to each other"),
        (MODEL | {"devices": [0]}, QUARTERS, "chat claims GPU 0, which gpu_mig cuts into 1g.20gb, 1g.20gb,"),
        (MODEL, QUARTERS, "chat claims all GPUs, and gpu_mig cuts some of them into slices"),
    ],
)
def test_what_a_host_does_not_have_by_its_layouts_is_refused_by_the_inventory_alone(
    model: dict[str, Any], layouts: dict[Any, Any], said: str
) -> None:
    assert said in GPUS.gpu_claims([model], layouts)[0]


@pytest.mark.parametrize(
    ("layouts", "said"),
    [
        ({"all": "3g.40gb"}, "gpu_mig of all GPUs is '3g.40gb', and must be a list of slices"),
        ({0: []}, "gpu_mig of GPU 0 is [], and must be a list"),
        ({0: True}, "gpu_mig of GPU 0 is True, and must be a list"),
        ({"first": False}, "gpu_mig names 'first', which is neither the number of a GPU nor all"),
        ({0: ["40gb"]}, "gpu_mig of GPU 0 has '40gb', which is no name of a slice, such as 3g.40gb"),
        ({0: ["3g.40gb"] * 3}, "gpu_mig of GPU 0 has slices of 9 sevenths of a GPU"),
        ({0: ["1g.10gb", "3g.40gb"]}, "must have the largest slice first"),
    ],
)
def test_a_layout_that_cannot_be_one_is_refused(layouts: dict[Any, Any], said: str) -> None:
    (complaint,) = GPUS.layout_complaints(layouts)
    assert said in complaint


def test_layouts_by_the_names_of_all_generations_are_taken() -> None:
    names = ["3g.71gb", "2g.35gb", "1g.18gb+me", "1g.18gb"]
    assert GPUS.layout_complaints({"all": names, 1: False, 2: ["1g.24gb+me.all"], 3: ["1g.24gb-me"] * 4}) == []


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
