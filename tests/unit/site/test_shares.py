"""How a host's cores and memory are shared out among its models."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.support.role_files import filters, role_file

SHARES = filters("shares")
GIB = 1024**3
SIZES = {"shm": "8g", "tmp": "512m", "cache": "4g"}


def model(name: str, gpus: int = 0, weights: int = 0, utilization: float | None = 0.2) -> dict[str, Any]:
    return {"name": name, "gpus": gpus, "weights_bytes": weights, "memory_utilization": utilization}


def cores(count: int, *names: str) -> dict[str, tuple[str, bool]]:
    """What ``names`` get of ``count`` cores, and whether for themselves."""
    host = {"cores": list(range(count)), "memory": 16 * GIB}
    shares = SHARES.shares([model(name) for name in names], host, SIZES, {})
    return {name: (share["cores"], share["alone"]) for name, share in shares.items()}


def test_models_on_cpus_have_cores_of_their_own() -> None:
    assert cores(2, "a", "b") == {"a": ("0", True), "b": ("1", True)}
    assert cores(8, "a", "b") == {"a": ("0,1,2", True), "b": ("4,5,6", True)}, "one core for a model's other processes"
    assert cores(7, "a", "b") == {"a": ("0,1", True), "b": ("3,4,5", True)}
    assert cores(4, "a") == {"a": ("0,1,2", True)}
    assert cores(1, "a") == {"a": ("0", True)}


def test_more_models_than_cores_are_spread_and_told_to_wait_without_spinning() -> None:
    assert cores(2, "a", "b", "c") == {"a": ("0", False), "b": ("1", False), "c": ("0", False)}


def test_a_model_on_gpus_takes_no_core_from_others() -> None:
    host = {"cores": [3, 5], "memory": 64 * GIB}
    shares = SHARES.shares([model("a"), model("big", gpus=1), model("c")], host, SIZES, {})
    assert {name: share["cores"] for name, share in shares.items()} == {"a": "3", "big": "", "c": "5"}


def test_memory_follows_the_plan_and_the_sizes_of_what_can_be_written() -> None:
    host = {"cores": [0, 1], "memory": 100 * GIB}
    models = [model("cpu"), model("all", utilization=None), model("gpu", 2, 40 * GIB, 0.9), model("said")]
    shares = SHARES.shares(models, host, SIZES, {"said": 7})
    written = {"cpu": 1 + 0.5 + 4, "gpu": 8 + 0.5 + 4}
    assert {name: share["memory"] / 1024 for name, share in shares.items()} == {
        "cpu": 20 + 4 + written["cpu"],
        "all": 92 + 4 + written["cpu"],
        "gpu": 40 + 4 + 2 * 8 + written["gpu"],
        "said": 7,
    }
    assert (shares["cpu"]["sizes"]["shm"], shares["gpu"]["sizes"]["shm"]) == ("1g", "8g")


@pytest.mark.parametrize(("memory", "left"), [(8, 1), (16, 1), (64, 4)])
def test_all_models_together_leave_something(memory: int, left: int) -> None:
    assert SHARES.models_together({"memory": memory * GIB}) == (memory - left) * 1024


def test_a_host_says_what_it_has() -> None:
    argv = [sys.executable, "-I", "-c", role_file("vllm", "resources.py").read_text()]
    said = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    assert said["memory"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert said["cores"]
    assert set(said["cores"]) <= set(range(os.cpu_count() or 0))
