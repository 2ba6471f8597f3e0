"""Slices of GPUs (MIG): how the role gpu's program cuts GPUs, and when it must not."""

import json
import os
import runpy
from pathlib import Path

import pytest

from tests.support.gpu_host import Host
from tests.support.role_files import role_file
from tests.unit.site.test_gpus import FOUR_SLICES

KERNEL = runpy.run_path(str(role_file("gpu", "kernel.py")))
GPU = runpy.run_path(str(role_file("gpu", "gpu.py")))
PREFLIGHT = runpy.run_path(str(role_file("preflight", "gpus.py")))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


HALVES = ["3g.40gb", "3g.40gb"]


def test_a_gpu_is_cut_once_and_its_slices_are_described_in_its_place(host: Host) -> None:
    host.give_rights()
    host.describe("0:0", "0:1", "1", "all")
    wanted = {"mig": {"0": HALVES}, "power_watts": {"all": 500}}
    assert host.set(**wanted).returncode == 0
    first, second = host.gpus()
    assert (first["slices"], first["mig.mode.current"], second["slices"]) == (HALVES, "Enabled", [])
    switched = ["--persistence-mode", "--multi-instance-gpu", "-cgi 3g.40gb,3g.40gb -C", "--power-limit"]
    assert first["told"] == switched, "limits last: some GPUs are reset when their mode is switched"
    assert json.loads(host.target.read_text())["devices"][1]["name"] == "0:1"
    assert [line.partition("capabilities/")[2] for line in host.nodes.read_text().splitlines()] == [
        "gpu0/mig/gi2/access",
        "gpu0/mig/gi2/ci0/access",
    ]
    assert host.set(**wanted).stdout == ""
    assert all("told" not in gpu for gpu in host.gpus())


def test_gpus_are_listed_once_however_many_there_are_and_again_after_each_that_is_cut(host: Host) -> None:
    """Each time may take as long as the program waits for, and models wait with it."""
    host.give_rights()
    host.describe("0:0", "0:1", "1:0", "1:1", "all")
    assert host.set(mig={"all": HALVES}).returncode == 0
    assert host.gpus()[0]["lists"] == 1 + 2
    assert host.set(mig={"all": HALVES}).returncode == 0
    assert host.gpus()[0]["lists"] == 1
    assert host.set(mig={"all": ["7g.80gb"]}).returncode == 0
    assert host.gpus()[0]["lists"] == 1 + 2


def test_a_gpu_is_cut_anew_and_made_whole_again(host: Host) -> None:
    host.give_rights()
    host.describe("0:0", "0:1", "1:0", "1:1", "all")
    assert host.set(mig={"all": HALVES}).returncode == 0
    first, second = host.gpus()
    host.write([first | {"unusable": ["1g.10gb"]}, second])
    host.describe("0:0", "0:1", "0:2", "1", "all")
    assert host.set(mig={"all": ["3g.40gb", "2g.20gb", "2g.20gb"], "1": False}).returncode == 0
    first, second = host.gpus()
    assert first["told"] == ["-dci", "-dgi", "-cgi 3g.40gb,2g.20gb,2g.20gb -C"]
    assert (first["unusable"], second["slices"], second["mig.mode.current"]) == ([], [], "Disabled")


def test_a_gpu_that_waits_to_be_cut_is_told_that_it_stays_whole(host: Host) -> None:
    host.give_rights()
    first, second = host.gpus()
    host.write([first | {"mig.mode.pending": "Enabled"}, second])
    host.describe("0", "1", "all")
    assert host.set(mig={"0": False}).returncode == 0
    assert (host.gpus()[0]["told"], host.gpus()[0]["mig.mode.pending"]) == (
        ["--persistence-mode", "--multi-instance-gpu"],
        "Disabled",
    )


def test_a_gpu_of_which_nothing_is_said_stays_cut_and_one_that_cannot_be_stays_whole(host: Host) -> None:
    host.give_rights()
    first, second = host.gpus()
    cut = {"mig.mode.current": "Enabled", "mig.mode.pending": "Enabled", "slices": ["7g.80gb"]}
    host.write([first | cut, second | {"mig.mode.current": "[N/A]", "mig.mode.pending": "[N/A]"}])
    host.describe("0:0", "1", "all")
    assert host.set(mig={"1": False}).returncode == 0
    assert [gpu["slices"] for gpu in host.gpus()] == [["7g.80gb"], []]


@pytest.mark.parametrize(
    ("layout", "change", "said"),
    [
        (HALVES, {"users": [4711]}, "and is in use by /usr/bin/python3 (process 4711); stop that, or restart the host"),
        (HALVES, {"held": True}, "and becomes that with the next restart of the host: Warning: MIG mode is in pending"),
        (HALVES, {"mig.mode.current": "[N/A]"}, "and cannot be cut at all; write it as 0: false there"),
        (["4g.40gb", "4g.40gb"], {}, "Unable to create a GPU instance on GPU  0 using profile 4g.40gb: Insufficient"),
        (["2g.20gb", "3g.40gb"], {}, "and the driver has made 3g.40gb, 2g.20gb of it; write it in this order"),
    ],
)
def test_a_gpu_that_cannot_be_cut_as_it_should_be_is_for_nobody(
    host: Host, layout: list[str], change: dict[str, object], said: str
) -> None:
    assert host.set().returncode == 0
    first, second = host.gpus()
    host.write([first | change, second])
    assert said in host.refused(mig={"0": layout})
    if "users" in change or "[N/A]" in change.values():
        assert "told" not in host.gpus()[0]


def test_slices_that_are_in_use_stay_and_are_for_nobody_else(host: Host) -> None:
    host.give_rights()
    host.describe("0:0", "0:1", "1", "all")
    assert host.set(mig={"0": HALVES}).returncode == 0
    first, second = host.gpus()
    host.write([first | {"held": True}, second])
    assert "Failed to destroy compute instances: In use by another client" in host.refused(mig={"0": ["7g.80gb"]})
    assert host.gpus()[0]["slices"] == HALVES


@pytest.mark.parametrize(
    ("listed", "slices"),
    [
        (FOUR_SLICES, {"0": ["1g.20gb"] * 4, "1": [], "2": [], "3": []}),
        ("No devices found.\n", {}),
        ("", {}),
    ],
)
def test_each_program_that_reads_what_the_driver_lists_reads_the_same(
    listed: str, slices: dict[str, list[str]]
) -> None:
    """Each is sent to a host alone, so each has a reader of its own."""
    assert GPU["listed"](listed) == KERNEL["listed"](listed) == slices
    assert {str(number): names for number, names in PREFLIGHT["slices"](listed).items()} == slices


def test_a_slice_that_containers_could_not_use_is_not_described(host: Host) -> None:
    host.describe("0:0", "0:1", "1", "all")
    assert "describes slice 0:0 without the devices by which it may be used" in host.refused(mig={"0": HALVES})
    host.describe("0", "1", "all")
    assert "describes nvidia.com/gpu 0, 1, all, and not GPUs 0:0, 0:1, 1" in host.refused(mig={"0": HALVES})


def test_who_keeps_a_gpu_from_being_cut_is_named_and_the_persistence_daemon_is_not(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{host.tools}:{os.environ['PATH']}")
    for number, minor in enumerate((1, 0)):
        information = tmp_path / f"driver/nvidia/gpus/0000:0{number + 1}:00.0/information"
        information.parent.mkdir(parents=True)
        information.write_text(f"Model: \t\t NVIDIA H100 80GB HBM3\nDevice Minor: \t {minor}\n")
    for process, name, device in ((7, "nvidia-persiste", 1), (8, "python3", 1), (9, "nv-hostengine", 0)):
        (tmp_path / f"{process}/fd").mkdir(parents=True)
        (tmp_path / f"{process}/comm").write_text(f"{name}\n")
        (tmp_path / f"{process}/fd/3").symlink_to(f"/dev/nvidia{device}")
    said = KERNEL["in_use"]
    assert list(said(tmp_path, {"all": HALVES})) == [
        "GPU 0 is to be cut into 3g.40gb, 3g.40gb (gpu_mig), and python3 (process 8) would have to let go of it",
        "GPU 1 is to be cut into 3g.40gb, 3g.40gb (gpu_mig), and nv-hostengine (process 9) would have to let go of it",
    ]
    assert list(said(tmp_path, {"all": False})) == []
    first, second = host.gpus()
    host.write([first, second | {"mig.mode.current": "[N/A]", "mig.mode.pending": "[N/A]"}])
    (reason,) = said(tmp_path, {"all": HALVES})
    assert reason.startswith("GPU 0 is"), "no restart makes the other one a GPU that can be cut"
    host.write([{**gpu, "slices": HALVES} for gpu in host.gpus()])
    assert list(said(tmp_path, {"all": HALVES})) == []
    assert "GPU 0 is to be whole (gpu_mig), and python3" in next(iter(said(tmp_path, {"0": False})))
