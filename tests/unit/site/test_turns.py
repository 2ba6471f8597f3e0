"""Which models start side by side: all, but for those that share a GPU."""

from typing import Any

import pytest

from tests.support.role_files import filters

TURNS = filters("turns")


@pytest.mark.parametrize(
    ("gpus", "turns"),
    [
        ([(0, []), (0, []), (0, [])], [0, 0, 0]),
        ([(1, [0]), (1, [1]), (2, [2, 3])], [0, 0, 0]),
        ([(1, [0]), (1, [0]), (1, [1])], [0, 1, 0]),
        ([(2, [0, 1]), (2, [1, 2]), (2, [2, 3])], [0, 1, 0]),
        ([(1, []), (1, [0]), (0, []), (1, [])], [0, 1, 0, 2]),
    ],
    ids=["CPUs", "GPUs apart", "one GPU for two", "a chain of GPUs", "GPUs that nobody has shared out"],
)
def test_models_that_share_a_gpu_have_different_turns(gpus: list[tuple[int, list[int]]], turns: list[int]) -> None:
    models: list[dict[str, Any]] = [
        {"name": f"m{number}", "gpus": count, "devices": devices} for number, (count, devices) in enumerate(gpus)
    ]
    every = TURNS.model_units(models)
    units, watching = every[: len(gpus)], every[len(gpus) :]
    assert [unit["name"] for unit in watching] == [f"vllm-watch@m{number}.service" for number in range(len(gpus))]
    assert {unit["turn"] for unit in watching} == {max(turns) + 1}
    assert [unit["turn"] for unit in units] == turns
    assert [unit["name"] for unit in units] == [f"vllm-m{number}.service" for number in range(len(gpus))]
    assert not any(unit["enabled"] for unit in every)
