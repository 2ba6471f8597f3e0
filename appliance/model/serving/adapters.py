"""LoRA adapters: what their files say of them, what they take of a GPU, and under which names they are served.

An adapter is a set of weights that belongs to another one.  It is served by the same engine as its model, under a name
of its own.  Figures and sums are those of vLLM 0.32.0 (``config/lora.py``, ``lora/layers/``).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Protocol

from pydantic import Field

from appliance.model.base import Strict
from appliance.model.limits import MAX_JSON_INTEGER
from appliance.model.names import Name

LoraRank = Literal[1, 8, 16, 32, 64, 128, 256, 320, 512]
"""The ranks that vLLM makes room for (``MaxLoRARanks``)."""
DEFAULT_RANK: LoraRank = 16
"""vLLM's own default."""
ADAPTERS = "/srv/adapters"
"""Where a container has adapters, each by its name; the role vllm mounts them there."""

Module = Annotated[str, Field(pattern=r"\A[A-Za-z0-9_]{1,64}\z")]
"""The last part of a linear layer's name, such as ``q_proj``."""

# Layers that vLLM runs as one: where one of a group is adapted, it makes room for all of it.
_PACKED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


class AdapterFacts(Strict):
    """One adapter, by its own files.

    ``of`` is the artifact with the weights that it belongs to, ``base`` what its ``adapter_config.json`` calls these,
    and ``trained_on`` that name again where the security team vouches for it.  ``rank`` is the highest of its layers.
    ``modules`` has for each kind of layer the sum of inputs and outputs of all layers of that kind.
    """

    of: Name
    base: str = Field(min_length=1, max_length=500)
    trained_on: str | None = Field(default=None, min_length=1, max_length=500)
    rank: int = Field(ge=1, le=512)
    modules: dict[Module, Annotated[int, Field(ge=2, le=MAX_JSON_INTEGER)]] = Field(min_length=1, max_length=64)


class Serving(Protocol):
    """What of a profile tells who is served."""

    @property
    def adapters(self) -> Mapping[str, str]:
        """Artifacts of adapters by the names that clients ask for."""


def adapter_bytes(adapters: Iterable[AdapterFacts], places: int, rank: int, number: int) -> int:
    """Bytes on each GPU for ``places`` adapters at a time, with room for ``rank`` in numbers of ``number`` bytes.

    Never less than vLLM takes: of tensor parallelism, which shares a half of each layer, nothing is taken off.
    """
    widths: dict[str, int] = {}
    for adapter in adapters:
        for module, width in adapter.modules.items():
            widths[module] = max(width, widths.get(module, 0))
    for group in _PACKED:
        if widest := max((widths[module] for module in group if module in widths), default=0):
            widths |= {module: widths.get(module, widest) for module in group}
    return places * rank * sum(widths.values()) * number


def target_modules(adapters: Iterable[AdapterFacts]) -> tuple[str, ...]:
    """The kinds of layers that any of ``adapters`` changes; vLLM makes room in no others."""
    return tuple(sorted({module for adapter in adapters for module in adapter.modules}))


def served_names(model: str, adapters: Iterable[str]) -> tuple[str, ...]:
    """All that clients may ask the engine of ``model`` for: the model itself, then its ``adapters``."""
    return (model, *adapters)


def check_served_names(serving: Mapping[str, Serving]) -> None:
    """Raise ValueError unless models and adapters all have names of their own: clients ask for both in one way."""
    served = Counter(name for model, profile in serving.items() for name in served_names(model, profile.adapters))
    if twice := sorted(name for name, count in served.items() if count > 1):
        raise ValueError(f"the name {twice[0]!r} is served twice: give each model and each adapter a name of its own")
