"""The memory plan: what fits on a model's GPUs beside its weights, before there are any.

It repeats vLLM's own sum.  Of each GPU's memory a fraction is vLLM's
(``gpu_memory_utilization``); weights, activations, CUDA graphs and libraries go off; the
rest holds the keys and values of tokens (KV).  Sources: ``v1/worker/gpu_worker.py`` and
``v1/kv_cache_interface.py`` of vLLM 0.32.0; formula and check values in
docs/serving-profiles.md.

It is a plan: ``overhead_gib`` is an estimate that only a start on the real GPU replaces
(vLLM logs ``Available KV cache memory``).  State-space layers (Mamba), whose memory does
not grow with tokens, are not planned.
"""

from dataclasses import dataclass

from pydantic import Field

from appliance.model.base import Strict
from appliance.model.limits import MAX_JSON_INTEGER

GIB = 1024**3


class AttentionLayers(Strict):
    """``layers`` layers that keep keys and values in one way.

    ``window`` is the sliding window in tokens.  Multi-head latent attention keeps one
    latent vector for keys and values together: ``kv_heads`` is 1, ``head_dim``
    ``kv_lora_rank + qk_rope_head_dim`` and ``value_head_dim`` 0.
    """

    layers: int = Field(ge=1, le=1024)
    kv_heads: int = Field(ge=1, le=1024)
    head_dim: int = Field(ge=1, le=65_536)
    value_head_dim: int | None = Field(default=None, ge=0, le=65_536)
    window: int | None = Field(default=None, ge=1, le=16_777_216)


class GuessFacts(Strict):
    """What speculative decoding takes: ``weights_bytes`` and ``attention`` of the weights that guess, if there are any.

    For each token that is guessed, the model's own scores of all ``vocabulary`` tokens are kept.
    """

    vocabulary: int = Field(ge=1, le=16_777_216)
    weights_bytes: int = Field(default=0, ge=0, le=MAX_JSON_INTEGER)
    attention: tuple[AttentionLayers, ...] = Field(default=(), max_length=64)


class MemoryFacts(Strict):
    """What has to be known of a GPU and a model.

    ``gpu_gib`` is the memory that one GPU reports to CUDA, ``overhead_gib`` what
    activations, CUDA graphs, NCCL and the CUDA context take on each; both in GiB.
    ``weights_bytes`` is the size of all tensors (``total_size`` of the safetensors index),
    ``adapter_bytes`` the room for LoRA adapters on each GPU.
    ``attention`` is empty for an encoder, which reads a text whole and keeps nothing of it.
    """

    gpu_gib: float = Field(gt=0, le=4096)
    overhead_gib: float = Field(gt=0, le=512)
    weights_bytes: int = Field(ge=1, le=MAX_JSON_INTEGER)
    adapter_bytes: int = Field(default=0, ge=0, le=MAX_JSON_INTEGER, exclude_if=lambda count: not count)
    attention: tuple[AttentionLayers, ...] = Field(max_length=64)
    # Written only where there is any: locks and bundles said nothing before there could be.
    guesses: GuessFacts | None = Field(default=None, exclude_if=lambda guesses: guesses is None)


class WantedMemory(Strict):
    """What a definition says of it by hand: what the table of GPUs or the model's files do not tell.

    What they do tell is compared, and a difference refused.
    """

    gpu_gib: float | None = Field(default=None, gt=0, le=4096)
    overhead_gib: float | None = Field(default=None, gt=0, le=512)
    weights_bytes: int | None = Field(default=None, ge=1, le=MAX_JSON_INTEGER)
    attention: tuple[AttentionLayers, ...] | None = Field(default=None, min_length=1, max_length=64)


@dataclass(frozen=True)
class Split:
    """How a model is laid over its GPUs."""

    tensor_parallel: int
    pipeline_parallel: int


@dataclass(frozen=True)
class Limits:
    """What the server is told: sizes in tokens, ``kv_bytes`` for each stored number.

    ``guesses`` are the tokens that one step checks beside the one that each sequence gets anyway.
    """

    gpu_memory_utilization: float
    max_model_len: int
    max_num_batched_tokens: int
    kv_bytes: int
    guesses: int = 0


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on each GPU, and how much fits into them.

    ``budget`` is what vLLM may use at all, ``weights`` counts the room for adapters too, and
    ``kv_available`` is what is left for keys and values, negative when nothing is.
    ``kv_per_token`` is what one more token of a short sequence takes, ``kv_per_sequence`` a
    sequence of ``max_model_len`` tokens; both are 0 for an encoder.
    """

    budget: int
    weights: int
    overhead: int
    kv_available: int
    kv_per_token: int
    kv_per_sequence: int
    max_model_len: int

    @property
    def fits(self) -> bool:
        """Whether the weights and one sequence of full length have room."""
        return self.kv_available >= self.kv_per_sequence

    @property
    def keeps(self) -> bool:
        """Whether anything is kept of a token: an encoder has no cache that could be full."""
        return self.kv_per_sequence > 0

    @property
    def tokens(self) -> int:
        """Tokens of KV that fit, in sequences of full length; 0 where none are kept."""
        return max(0, self.kv_available) * self.max_model_len // self.kv_per_sequence if self.keeps else 0

    @property
    def sequences(self) -> float:
        """Sequences of full length that fit; vLLM logs it as maximum concurrency.  0 where none are kept."""
        return max(0, self.kv_available) / self.kv_per_sequence if self.keeps else 0.0


def plan_memory(facts: MemoryFacts, split: Split, limits: Limits) -> MemoryPlan:
    """The plan for one replica.  Raises ValueError when KV heads cannot be divided."""
    budget = int(facts.gpu_gib * GIB * limits.gpu_memory_utilization)
    overhead = int(facts.overhead_gib * GIB) + _scores(facts.guesses, limits)
    stored = facts.weights_bytes + (facts.guesses.weights_bytes if facts.guesses else 0)
    weights = -(-stored // (split.tensor_parallel * split.pipeline_parallel)) + facts.adapter_bytes
    groups = facts.attention + (facts.guesses.attention if facts.guesses else ())
    rates = [(group, _bytes_per_token(group, split, limits.kv_bytes)) for group in groups]
    return MemoryPlan(
        budget=budget,
        weights=weights,
        overhead=overhead,
        kv_available=budget - weights - overhead,
        kv_per_token=sum(rate for _, rate in rates),
        kv_per_sequence=sum(rate * _tokens_kept(group, split, limits) for group, rate in rates),
        max_model_len=limits.max_model_len,
    )


def _scores(guesses: GuessFacts | None, limits: Limits) -> int:
    """Bytes on each GPU: float32 for each token of the vocabulary (``v1/sample/rejection_sampler.py``)."""
    return guesses.vocabulary * limits.guesses * 4 if guesses else 0


def _bytes_per_token(group: AttentionLayers, split: Split, kv_bytes: int) -> int:
    heads, ranks = group.kv_heads, split.tensor_parallel
    if heads % ranks and ranks % heads:
        raise ValueError(
            f"{heads} KV heads cannot be spread over tensor_parallel_size {ranks}: one must divide the other"
        )
    layers = -(-group.layers // split.pipeline_parallel)
    values = group.head_dim if group.value_head_dim is None else group.value_head_dim
    # with more GPUs than KV heads, each GPU still keeps one: vLLM replicates it
    return layers * max(1, heads // ranks) * (group.head_dim + values) * kv_bytes


def _tokens_kept(group: AttentionLayers, split: Split, limits: Limits) -> int:
    if group.window is None:
        return limits.max_model_len
    # tokens leave the window only when their batch is done; asynchronous scheduling keeps one more in flight
    in_flight = (split.pipeline_parallel + 1) * limits.max_num_batched_tokens
    return min(limits.max_model_len, group.window - 1 + in_flight)
