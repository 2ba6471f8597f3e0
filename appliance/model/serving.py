"""The serving profile: how vLLM serves one model.  It is signed with the bundle.

Fields are named after vLLM's own options, so an engineer who knows vLLM can read them.
Options that vLLM has dropped, and options that belong to the site (listening addresses,
keys) or weaken it (remote code), are refused when the bundle is defined and not when a
server fails to start.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from appliance.model.base import Strict
from appliance.model.names import Name

# vLLM 0.33.0: options that older guides still name; see docs/serving-profiles.md
_REMOVED = {
    "swap-space": "it was removed: vLLM has no CPU swap any more",
    "disable-log-requests": "it was removed: requests are not logged unless --enable-log-requests is given",
    "use-v2-block-manager": "it was removed",
    "num-scheduler-steps": "it was removed",
    "worker-use-ray": "it was removed: use --distributed-executor-backend",
}
_SITE = {
    "host": "the site listens on a Unix socket",
    "port": "the site listens on a Unix socket",
    "uds": "the site chooses the socket",
    "api-key": "clients are known by certificate",
    "ssl-keyfile": "TLS ends at the gateway",
    "ssl-certfile": "TLS ends at the gateway",
    "model": "it follows from the profile",
    "served-model-name": "it is the profile's name",
    "download-dir": "nothing is downloaded on a site",
    "allowed-local-media-path": "it opens the host's files to requests",
    "allowed-media-domains": "an empty list allows every host",
    "trust-remote-code": "code of a model is never run",
    "middleware": "it loads code by name",
    "worker-extension-cls": "it loads code by name",
    "tool-parser-plugin": "it loads code by name",
    "reasoning-parser-plugin": "it loads code by name",
    "logits-processors": "it loads code by name",
    "enable-server-load-tracking": "the gateway counts",
}
_OPTION = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def _check_option(name: str) -> str:
    if not _OPTION.fullmatch(name):
        raise ValueError(
            f"{name!r} is no option: write vLLM's name without dashes in front, for example 'kv-cache-dtype'"
        )
    plain = name.removeprefix("no-")
    if reason := _REMOVED.get(plain):
        raise ValueError(f"vLLM has no option --{name}: {reason}")
    if reason := _SITE.get(plain):
        raise ValueError(f"--{name} may not stand in a profile: {reason}")
    if plain.replace("-", "_") in ServingProfile.model_fields:
        raise ValueError(f"--{name} has a field of its own: {plain.replace('-', '_')}")
    return name


Option = Annotated[str, AfterValidator(_check_option)]


class ServingProfile(Strict):
    """One model, one image, and the options vLLM gets on every site.

    A site may narrow sizes and limits, never widen them.  ``gpus`` is the number of GPUs
    one replica takes and 0 on a CPU; memory figures are fractions of one GPU's memory.
    """

    weights: Name
    image: Name
    task: Literal["chat", "embedding"]
    gpus: int = Field(ge=0, le=64)
    gpu: str | None = None
    tensor_parallel_size: int = Field(default=1, ge=1, le=64)
    pipeline_parallel_size: int = Field(default=1, ge=1, le=16)
    max_model_len: int = Field(ge=16, le=16_777_216)
    gpu_memory_utilization: float | None = Field(default=None, ge=0.1, le=0.99)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    quantization: Literal["awq", "awq_marlin", "gptq", "gptq_marlin", "fp8", "compressed-tensors"] | None = None
    kv_cache_dtype: Literal["auto", "fp8", "fp8_e4m3", "fp8_e5m2"] = "auto"
    enable_prefix_caching: bool
    enable_chunked_prefill: bool
    max_num_seqs: int = Field(ge=1, le=4096)
    max_num_batched_tokens: int | None = Field(default=None, ge=16, le=1_048_576)
    max_num_queued_reqs: int = Field(ge=1, le=100_000)
    options: dict[Option, str | int | float | bool] = {}

    @model_validator(mode="after")
    def _gpus_match(self) -> "ServingProfile":
        ranks = self.tensor_parallel_size * self.pipeline_parallel_size
        if self.gpus == 0 and ranks != 1:
            raise ValueError("a CPU profile (gpus: 0) has tensor_parallel_size 1 and pipeline_parallel_size 1")
        if self.gpus and ranks != self.gpus:
            raise ValueError(
                f"tensor_parallel_size x pipeline_parallel_size is {ranks}, but the profile takes gpus: {self.gpus}"
            )
        if self.gpus and self.gpu_memory_utilization is None:
            raise ValueError("a GPU profile states gpu_memory_utilization")
        return self
