"""What models claim of a host's GPUs and slices, judged by the inventory and by what the host has."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.site.test_gpus import GPUS, MODEL, OVER_PCIE, complaints, told

QUARTER = MODEL | {"devices": ["0:3"], "gpu_gib": 19.5, "slice": "1g.20gb"}
QUARTERS = {0: ["1g.20gb"] * 4}


@pytest.fixture
def cut(tmp_path: Path) -> dict[str, Any]:
    """A GPU in four slices."""
    return told(tmp_path, "a100-partitioned.xml") | {"driver": "590.44.01"}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, Any]:
    """Two GPUs that cannot be cut, with nobody on them."""
    return told(tmp_path, "two-a5000.xml", OVER_PCIE) | {"processes": []}


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


def test_a_gpu_that_cannot_be_cut_is_told_before_anything_is_changed(whole: dict[str, Any]) -> None:
    (complaint,) = complaints(whole, QUARTER, layouts={"0": ["1g.20gb"] * 4}, uncut=True)
    assert "RTX A5000, 00000000:81:00.0) is to be cut into slices (gpu_mig), and cannot be" in complaint
    assert "write it as 0: false in gpu_mig" in complaint


def test_gpus_that_no_model_takes_are_cut_too_and_have_to_be_able_to(cut: dict[str, Any]) -> None:
    """The unit cuts every GPU that gpu_mig covers, and gives containers none where it cannot."""
    other = {**cut["gpus"][0], "number": 1, "mig": None, "slices": []}
    two = cut | {"gpus": [*cut["gpus"], other], "pci": [*cut["pci"], *cut["pci"]]}
    (complaint,) = complaints(two, QUARTER, layouts={"all": QUARTERS[0]}, uncut=True)
    assert complaint.startswith("GPU 1 (NVIDIA A100-SXM4-80GB, 00000000:01:00.0) is to be cut into slices")
    assert complaints(two, QUARTER, layouts={"all": QUARTERS[0], 1: False}) == []
    other["mig"] = False
    assert complaints(two, QUARTER, layouts={"all": QUARTERS[0]}, uncut=True) == []
    (complaint,) = complaints(two, QUARTER, layouts={"all": QUARTERS[0]})
    assert complaint.startswith("GPU 1 (NVIDIA A100-SXM4-80GB, 00000000:01:00.0) is cut into no slices, and")
    assert complaints(two, MODEL | {"devices": [1]}) == [], "of the other one, nothing is said and nothing is wanted"


def test_a_gpu_that_is_not_there_cannot_be_cut(cut: dict[str, Any]) -> None:
    (complaint,) = complaints(cut, QUARTER, layouts=QUARTERS | {1: False}, uncut=True)
    assert complaint.startswith("gpu_mig names GPU 1, and on its bus there are 0; do: correct gpu_mig, or see why")


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
        ({"00": False}, "gpu_mig names '00', which is neither the number of a GPU nor all"),
        ({0: ["3g.40gb"], "0": False}, "gpu_mig names GPU 0 twice"),
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


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"all": "500"}, "gpu_power_watts of all GPUs is '500', and must be a whole number, without quotes"),
        ({0: -1}, "gpu_power_watts of GPU 0 is -1, and must be"),
        ({0: 0}, "gpu_power_watts of GPU 0 is 0, and must be"),
        ({0: 450.5}, "gpu_power_watts of GPU 0 is 450.5, and must be"),
        ({0: True}, "gpu_power_watts of GPU 0 is True, and must be"),
        ({0: None}, "gpu_power_watts of GPU 0 is None, and must be"),
        ({"01": 500}, "gpu_power_watts names '01', which is neither the number of a GPU nor all"),
        ({1: 500, "1": 450}, "gpu_power_watts names GPU 1 twice"),
    ],
)
def test_a_limit_that_cannot_be_one_is_refused(figures: dict[Any, Any], said: str) -> None:
    (complaint,) = GPUS.figure_complaints(figures, "gpu_power_watts")
    assert said in complaint


def test_limits_by_number_or_for_all_are_taken() -> None:
    assert GPUS.figure_complaints({"all": 500, 0: 450, "10": 400}, "gpu_power_watts") == []
