"""What a model's own files say of it: all that a plan needs beside the GPU and what a definition wants.

It is read while locking and stands in the lock; when a bundle is built, it is read again from bytes that
were verified and has to be the same.
"""

from typing import Literal

from pydantic import Field

from appliance.model.base import Strict
from appliance.model.limits import MAX_JSON_INTEGER
from appliance.model.serving.memory import AttentionLayers

_TOKENS = 16_777_216
# What locks did not have from the beginning.
_LATER = ("vocabulary", "hidden", "kv_scales")


class ModelFacts(Strict):
    """One set of weights.

    ``architecture`` and ``dtype`` are the words of ``config.json``; ``quantization`` is its
    ``quant_method``.  ``context`` is the longest sequence in tokens, ``heads`` the attention heads
    that ask, ``answer`` the longest answer that ``generation_config.json`` allows.  ``weights_bytes``
    counts all tensors as they are stored, ``step_bytes`` those that a step of generation reads for
    one sequence: no table of input embeddings, and of a mixture of experts only as many as a token
    asks.  ``attention`` is empty for an encoder.  ``vocabulary`` is how many tokens there are,
    ``hidden`` how many numbers stand for one between layers: of the model that they were trained for,
    where these are layers that guess its tokens.  ``kv_scales`` is true where they bring scales for keys and
    values (``kv_cache_scheme``), else None.  Locks from before they were read have none of the three.
    """

    architecture: str = Field(min_length=1, max_length=200)
    dtype: str = Field(min_length=1, max_length=40)
    quantization: str | None = Field(default=None, min_length=1, max_length=40)
    context: int = Field(ge=1, le=_TOKENS)
    heads: int = Field(ge=1, le=65_536)
    answer: int | None = Field(default=None, ge=1, le=_TOKENS)
    weights_bytes: int = Field(ge=1, le=MAX_JSON_INTEGER)
    step_bytes: int = Field(ge=1, le=MAX_JSON_INTEGER)
    attention: tuple[AttentionLayers, ...] = Field(max_length=64)
    vocabulary: int | None = Field(default=None, ge=1, le=_TOKENS, exclude_if=lambda value: value is None)
    hidden: int | None = Field(default=None, ge=1, le=_TOKENS, exclude_if=lambda value: value is None)
    kv_scales: Literal[True] | None = Field(default=None, exclude_if=lambda value: value is None)

    def as_told_by(self, locked: "ModelFacts") -> "ModelFacts":
        """Without what a lock from before did not have, so that both can be compared."""
        return self.model_copy(update={name: None for name in _LATER if getattr(locked, name) is None})

    def check_heads(self, tensor_parallel: int) -> None:
        """Raise ValueError where vLLM cannot lay the attention over so many GPUs."""
        if self.heads % tensor_parallel:
            raise ValueError(
                f"{self.heads} attention heads cannot be divided by tensor_parallel_size {tensor_parallel}"
            )
