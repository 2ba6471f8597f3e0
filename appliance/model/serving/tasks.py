"""What a model is asked for: an entry of ``RUNNERS`` each, with vLLM's runner for it."""

from collections.abc import Mapping
from typing import Literal

Task = Literal["chat", "embedding"]

# https://docs.vllm.ai: --runner
RUNNERS: Mapping[Task, str] = {"chat": "generate", "embedding": "pooling"}
