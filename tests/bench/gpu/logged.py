"""What vLLM says of memory when it starts, and what the memory plan said before.

Lines as vLLM 0.32.0 writes them: ``v1/worker/gpu_model_runner.py``, ``v1/worker/gpu_worker.py``,
``v1/core/kv_cache_utils.py`` and ``v1/spec_decode/metrics.py``.  Versions before wrote the size of the cache and the
concurrency in two lines, which are read too.
"""

import re
from dataclasses import dataclass, fields

from appliance.model.serving.memory import GIB, MemoryPlan

_LINES = {
    "weights_gib": r"Model loading took ([0-9.]+) GiB",
    "kv_gib": r"Available KV cache memory: ([0-9.]+) GiB",
    "tokens": r"GPU KV cache size: ([0-9,]+) tokens",
    "sequences": r"Maximum concurrency for [0-9,]+ tokens per request: ([0-9.]+)x",
    "graphs_estimated_gib": r"Estimated CUDA graph memory: ([0-9.]+) GiB",
    "graphs_gib": r"Graph capturing finished in [0-9.]+ secs, took ([0-9.]+) GiB",
    "accepted_length": r"Mean acceptance length: ([0-9.]+)",
}


@dataclass(frozen=True)
class Logged:
    """Of one start, on each GPU and in GiB; None is what the log does not say.

    ``accepted_length`` is how many tokens a step of speculative decoding gave on average, the last time it was said.
    """

    weights_gib: float | None = None
    kv_gib: float | None = None
    tokens: float | None = None
    sequences: float | None = None
    graphs_estimated_gib: float | None = None
    graphs_gib: float | None = None
    accepted_length: float | None = None


def read_log(text: str) -> Logged:
    """The last of each figure: an engine that profiles twice means the second."""
    found = {name: re.findall(pattern, text) for name, pattern in _LINES.items()}
    return Logged(**{name: float(values[-1].replace(",", "")) for name, values in found.items() if values})


@dataclass(frozen=True)
class Compared:
    """One figure of the plan beside that of the log; ``difference`` is a part of the plan's."""

    what: str
    planned: float
    logged: float

    @property
    def difference(self) -> float:
        """Positive where vLLM has logged more."""
        return (self.logged - self.planned) / self.planned


def compare(plan: MemoryPlan, logged: Logged, gpu_gib: float | None, utilization: float) -> tuple[Compared, ...]:
    """What both have.  ``gpu_gib`` is what CUDA reports of this GPU; from it follows the overhead that there was."""
    pairs = {
        "weights, GiB": (plan.weights / GIB, logged.weights_gib),
        "overhead, GiB": (plan.overhead / GIB, overhead_gib(logged, gpu_gib, utilization)),
        "KV, GiB": (plan.kv_available / GIB, logged.kv_gib),
        "tokens of KV": (float(plan.tokens), logged.tokens),
        "sequences": (plan.sequences, logged.sequences),
    }
    return tuple(Compared(what, planned, seen) for what, (planned, seen) in pairs.items() if seen is not None)


def overhead_gib(logged: Logged, gpu_gib: float | None, utilization: float) -> float | None:
    """What neither weights nor KV take of vLLM's part: the ``overhead_gib`` that fits this GPU and these options."""
    if gpu_gib is None or logged.weights_gib is None or logged.kv_gib is None:
        return None
    return gpu_gib * utilization - logged.weights_gib - logged.kv_gib


def as_json(logged: Logged) -> dict[str, float]:
    """What is known, by name."""
    values = {field.name: getattr(logged, field.name) for field in fields(logged)}
    return {name: value for name, value in values.items() if value is not None}
