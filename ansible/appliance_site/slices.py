"""What an inventory says of GPUs by number: how each is cut into slices (MIG), limited, and which a model gets.

A device of a model is what CDI calls it: ``0`` is a whole GPU, ``"0:1"`` the second slice of it, in the order in which
the driver counts.  A layout is a list of the driver's own names for slices, False for a GPU that is to be whole, and
None where nothing is said of it.  Numbers are written without leading zeros, so one GPU has one name.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

Layout = list[str] | Literal[False] | None

# Sevenths of what computes, memory, and what it has or lacks beside these: NVIDIA, MIG User Guide, "MIG Device Names".
_NAME = re.compile(r"(?P<slices>[1-7])g\.[1-9][0-9]*gb([+-][a-z]+(\.[a-z]+)?)?")
_NUMBER = "(?:0|[1-9][0-9]*)"
_DEVICE = re.compile(f"mig({_NUMBER}:{_NUMBER})")


def device(said: int | str) -> int | str | None:
    """What CDI calls the GPU (``0``) or slice (``mig0:1``) of ``vllm_devices``; None where it is neither.

    ``0:1`` alone is no way to write it: YAML takes ``1:0`` for sixty.
    """
    if isinstance(said, int):
        return said if said >= 0 else None
    found = _DEVICE.fullmatch(said)
    return found[1] if found else None


def number_of(found: int | str) -> int:
    """The number of the GPU that a device is or is a slice of."""
    return int(str(found).partition(":")[0])


def place_of(found: int | str) -> int | None:
    """Which slice of its GPU a device is, from 0; None for a whole GPU."""
    _, _, place = str(found).partition(":")
    return int(place) if place else None


def layout_of(layouts: Mapping[str, Layout], number: int) -> Layout:
    """How a GPU is to be cut."""
    return layouts.get(str(number), layouts.get("all"))


def layout_complaints(layouts: Mapping[Any, Any]) -> list[str]:
    """What of ``gpu_mig`` cannot be a layout, whatever the GPUs are."""
    found = [problem for number, layout in layouts.items() for problem in _wrong(_place("gpu_mig", number), layout)]
    return [*_names("gpu_mig", layouts), *found]


def figure_complaints(figures: Mapping[Any, Any], variable: str) -> list[str]:
    """What of ``variable``, which has a figure for each GPU, cannot be one, whatever the GPUs are."""
    return [
        *_names(variable, figures),
        *(
            f"{_place(variable, number)} is {figure!r}, and must be a whole number, without quotes"
            for number, figure in figures.items()
            if not isinstance(figure, int) or isinstance(figure, bool) or figure < 1
        ),
    ]


def _names(variable: str, said: Mapping[Any, Any]) -> Iterator[str]:
    """What is wrong with the names of GPUs: YAML has numbers there as well as text, and JSON, which hosts get, text."""
    for number, count in Counter(map(str, said)).items():
        if not re.fullmatch(f"all|{_NUMBER}", number):
            yield f"{variable} names {number!r}, which is neither the number of a GPU nor all"
        elif count > 1:
            yield f"{variable} names GPU {number} twice"


def _place(variable: str, number: Any) -> str:
    return f"{variable} of {'all GPUs' if number == 'all' else f'GPU {number}'}"


def _wrong(where: str, layout: Any) -> Iterator[str]:
    if layout is False:
        return
    if not isinstance(layout, Sequence) or isinstance(layout, str) or not layout:
        yield f"{where} is {layout!r}, and must be a list of slices, or false for a whole GPU"
        return
    parts = [_NAME.fullmatch(str(name)) for name in layout]
    for name, part in zip(layout, parts, strict=True):
        if part is None:
            yield f"{where} has {name!r}, which is no name of a slice, such as 3g.40gb"
    sizes = [int(part["slices"]) for part in parts if part]
    # Seven is what a GPU has to compute with; some need the largest first, and the driver counts them so.
    if sum(sizes) > 7:
        yield f"{where} has slices of {sum(sizes)} sevenths of a GPU"
    if sizes != sorted(sizes, reverse=True):
        yield f"{where} is {', '.join(map(str, layout))}, and must have the largest slice first"


def claims(models: Iterable[Mapping[str, Any]], layouts: Mapping[str, Layout]) -> list[str]:
    """Models that claim what a host does not have by its layouts, or what another one claims."""
    owners: dict[str, str] = {}
    found: list[str] = []
    for model in models:
        if not model["devices"] and any(layouts.values()):
            found.append(f"{model['name']} claims all GPUs, and gpu_mig cuts some of them into slices")
        for claimed in model["devices"]:
            layout, place = layout_of(layouts, number_of(claimed)), place_of(claimed)
            if place is None:
                found += _whole(model, number_of(claimed), layout)
                continue
            found += _slice(model, claimed, place, layout)
            if (owner := owners.setdefault(str(claimed), str(model["name"]))) != model["name"]:
                found.append(f"{shown(claimed)} is claimed by {owner} and {model['name']}")
    return found


def shown(found: int | str) -> str:
    """A device as people read it."""
    place = place_of(found)
    return f"GPU {found}" if place is None else f"slice {place} of GPU {number_of(found)} (mig{found})"


def _whole(model: Mapping[str, Any], number: int, layout: Layout) -> Iterator[str]:
    if layout:
        yield f"{model['name']} claims GPU {number}, which gpu_mig cuts into {', '.join(map(str, layout))}"


def _slice(model: Mapping[str, Any], claimed: int | str, place: int, layout: Layout) -> Iterator[str]:
    if not isinstance(layout, list):
        yield f"{model['name']} claims {shown(claimed)}, and gpu_mig does not cut that GPU"
    elif place >= len(layout):
        yield f"{model['name']} claims {shown(claimed)}, and gpu_mig has {', '.join(layout)} there, counted from 0"
    elif model["slice"] and layout[place] != model["slice"]:
        yield f"{model['name']} claims {shown(claimed)}, a {layout[place]}, and was planned for a {model['slice']}"
    if len(model["devices"]) > 1:
        yield f"{model['name']} takes {len(model['devices'])} GPUs, and slices cannot speak to each other"
