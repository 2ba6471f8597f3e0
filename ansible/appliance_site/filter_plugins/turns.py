"""A filter that tells which models of a host may start at the same time.

vLLM measures the memory of its GPUs while it starts, and takes what another one has just
taken for what it needs itself: two that start on one GPU at a time both get too little or
fail.  On CPUs each has its own share, said by the profile, whatever the others do.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

_EVERY = "all"  # the GPUs of a model whose devices the inventory does not say


def model_units(models: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The units of ``models`` as the role units takes them: models of one turn share no GPU; then what watches them.

    Quadlet makes the first ones, which start the others: none is enabled.
    """
    turns: list[set[object]] = []
    units = []
    models = list(models)
    for model in models:
        gpus = set(model["devices"] or ([_EVERY] if model["gpus"] else []))
        turn = next((number for number, taken in enumerate(turns) if not _meet(gpus, taken)), len(turns))
        if turn == len(turns):
            turns.append(set())
        turns[turn] |= gpus
        units.append(_unit(f"vllm-{model['name']}", turn))
    return units + [_unit(f"vllm-watch@{model['name']}", len(turns)) for model in models]


def _unit(name: str, turn: int) -> dict[str, Any]:
    return {"name": f"{name}.service", "enabled": False, "turn": turn}


def _meet(some: set[object], others: set[object]) -> bool:
    return bool(some & others) or (bool(some) and bool(others) and _EVERY in some | others)


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Filters by the names that roles use."""
        return {"appliance_model_units": model_units}
