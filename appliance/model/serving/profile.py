"""The serving profile: how vLLM serves one model.  It is signed with the bundle.

Fields are named after vLLM's own options, so an engineer who knows vLLM can read them.
Options that vLLM does not have, and options that belong to the site (listening addresses,
keys) or weaken it (remote code), are refused when the bundle is defined and not when a
server fails to start; so is a profile whose model does not fit its GPUs.

``arguments`` turns a profile into the command line.  What a site adds (the model's
directory, the socket) is not known here.
"""

import difflib
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from appliance.model.base import ManyByName, Strict
from appliance.model.names import Name
from appliance.model.serving.adapters import LoraRank, Module
from appliance.model.serving.memory import (
    GIB,
    Limits,
    MemoryFacts,
    MemoryPlan,
    Split,
    WantedMemory,
    plan_memory,
)
from appliance.model.serving.objectives import Objectives
from appliance.model.serving.speculation import Speculation
from appliance.model.serving.tasks import ENGINES, Engine, Task
from appliance.model.serving.vllm_options import FLAGS, OPTIONS, SWITCHES, VLLM_VERSION
from appliance.model.serving.vllm_refusals import REFUSED, REMOVED

_OPTION = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_KV_BYTES = {"auto": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}


def _check_option(name: str) -> str:
    if not _OPTION.fullmatch(name):
        raise ValueError(
            f"{name!r} is not an option: write vLLM's name without leading dashes, for example 'block-size'"
        )
    if name not in OPTIONS:
        if reason := REMOVED.get(name):
            raise ValueError(f"vLLM {VLLM_VERSION} has no option --{name}: {reason}")
        if (positive := name.removeprefix("no-")) in FLAGS:
            raise ValueError(f"--{name} must be written as {positive}: false")
        near = difflib.get_close_matches(name, sorted(OPTIONS - REFUSED.keys()), n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"vLLM {VLLM_VERSION} has no option --{name}{hint}")
    if reason := REFUSED.get(name):
        raise ValueError(f"--{name} is not allowed in a profile: {reason}")
    if (field := name.replace("-", "_")) in Profile.model_fields:
        raise ValueError(f"--{name} has a field of its own: {field}")
    return name


Option = Annotated[
    str, AfterValidator(_check_option), WithJsonSchema({"type": "string", "pattern": f"^{_OPTION.pattern}$"})
]
OptionValue = str | int | float | bool


class Profile(Strict):
    """What a definition wants and what is signed have in common: all but how ``memory`` is said."""

    weights: Name
    image: Name
    # Written only where it is another one: bundles said nothing before there could be any.
    engine: Engine = Field(default="vllm", exclude_if=lambda engine: engine == "vllm")
    task: Task
    gpus: int = Field(ge=0, le=64)
    gpu: str | None = Field(default=None, min_length=1, max_length=200)
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
    memory: MemoryFacts | WantedMemory | None = None
    # Written only where there are any: bundles said nothing before there could be.
    objectives: Objectives | None = Field(default=None, exclude_if=lambda objectives: objectives is None)
    # As objectives.
    speculative_config: Speculation | None = Field(default=None, exclude_if=lambda speculation: speculation is None)
    adapters: dict[Name, Name] = Field(default={}, max_length=64, exclude_if=lambda adapters: not adapters)
    max_loras: int | None = Field(default=None, ge=1, exclude_if=lambda count: count is None)
    max_lora_rank: LoraRank | None = Field(default=None, exclude_if=lambda rank: rank is None)
    options: ManyByName[Option, OptionValue] = {}

    @model_validator(mode="after")
    def _gpus_match(self) -> "Profile":
        ranks = self.tensor_parallel_size * self.pipeline_parallel_size
        if self.gpus == 0 and ranks != 1:
            raise ValueError("a CPU profile (gpus: 0) must have tensor_parallel_size 1 and pipeline_parallel_size 1")
        if self.gpus and ranks != self.gpus:
            raise ValueError(
                f"tensor_parallel_size x pipeline_parallel_size is {ranks}, but the profile takes gpus: {self.gpus}"
            )
        if self.gpus == 0 and self.memory:
            raise ValueError("a CPU profile (gpus: 0) must have no memory: the memory plan is for GPUs")
        for field in ("gpu_memory_utilization", "max_num_batched_tokens"):
            if self.gpus and getattr(self, field) is None:
                raise ValueError(f"a GPU profile must have {field}")
        return self

    @model_validator(mode="after")
    def _batch_suffices(self) -> "Profile":
        # vLLM does not start otherwise (config/scheduler.py)
        batch = self.max_num_batched_tokens
        if batch is not None and batch < self.max_num_seqs:
            raise ValueError(f"max_num_batched_tokens {batch} is less than max_num_seqs {self.max_num_seqs}")
        if batch is not None and not self.enable_chunked_prefill and batch < self.max_model_len:
            raise ValueError(
                f"without enable_chunked_prefill a prompt is one batch: max_num_batched_tokens {batch} is less than "
                f"max_model_len {self.max_model_len}"
            )
        return self

    @model_validator(mode="after")
    def _guesses_can_be_checked(self) -> "Profile":
        if self.speculative_config is None:
            return self
        if not ENGINES[self.engine][self.task].generates:
            raise ValueError(f"speculative_config guesses tokens, and the task {self.task} generates none")
        if self.speculative_config.weights and self.pipeline_parallel_size > 1:
            raise ValueError(
                "speculative_config with weights needs pipeline_parallel_size 1: only the last of several stages would "
                "hold them, and the memory plan has all stages alike"
            )
        if self.speculative_config.method == "ngram" and self.options.get("async-scheduling"):
            raise ValueError("vLLM does not start with async-scheduling and ngram: leave async-scheduling out")
        # vLLM's table of features says that they do not work together (docs/features/README.md: LoRA, SD), although
        # https://github.com/vllm-project/vllm/pull/21068 is meant to make them.
        if self.adapters:
            raise ValueError(
                "speculative_config and adapters exclude each other, because vLLM does not promise that both work "
                "together: name them in two profiles, or leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _adapters_have_room(self) -> "Profile":
        for field in ("max_loras", "max_lora_rank"):
            if not self.adapters and getattr(self, field) is not None:
                raise ValueError(f"{field} is for adapters, and the profile names none (adapters: {{NAME: WEIGHTS}})")
        if self.max_loras is not None and self.max_loras > len(self.adapters):
            raise ValueError(f"max_loras is {self.max_loras}, but there are {len(self.adapters)} adapters")
        if not self.gpus and self.max_loras not in (None, len(self.adapters)):
            raise ValueError("on a CPU (gpus: 0) every adapter must have its place: leave max_loras out")
        return self

    def weights_beside(self) -> dict[tuple[str, ...], str]:
        """Artifacts of all weights that its engine reads beside the model's own, by the keys that name them."""
        draft = self.speculative_config.weights if self.speculative_config else None
        guessing: dict[tuple[str, ...], str] = {("speculative_config",): draft} if draft else {}
        return guessing | {("adapters", name): artifact for name, artifact in sorted(self.adapters.items())}

    @model_validator(mode="after")
    def _options_have_values(self) -> "Profile":
        for name, value in self.options.items():
            if isinstance(value, bool) != (name in FLAGS | SWITCHES):
                raise ValueError(f"--{name} takes {'a value' if isinstance(value, bool) else 'true or false'}")
            if isinstance(value, str) and (not value or value.startswith("-") or not value.isprintable()):
                raise ValueError(f"the value of --{name} is empty, starts with '-' or is not one line of text")
        return self


class ServingProfile(Profile):
    """One model, one image, and the options vLLM gets on every site.

    A site may narrow sizes and limits, never widen them.  ``gpus`` is the number of GPUs
    one replica takes and 0 on a CPU; ``memory`` is what the memory plan of a GPU profile
    starts from.  On a CPU ``gpu_memory_utilization`` is a part of the host's memory, as
    vLLM has it.  ``objectives`` is what a site's alerts hold each replica to.  ``adapters`` are
    weights by the names that clients ask for; ``max_loras`` is how many a batch may use, and
    ``lora_target_modules`` what they change.
    """

    memory: MemoryFacts | None = None
    lora_target_modules: tuple[Module, ...] = Field(default=(), max_length=64, exclude_if=lambda names: not names)

    @model_validator(mode="after")
    def _adapters_are_known(self) -> "ServingProfile":
        told = self.max_loras is not None, self.max_lora_rank is not None, bool(self.lora_target_modules)
        if set(told) != {bool(self.adapters)}:
            raise ValueError(
                "adapters must come with max_loras, max_lora_rank and lora_target_modules, and these with them"
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> "ServingProfile":
        if self.gpus and self.memory is None:
            raise ValueError("a GPU profile must have memory")
        if self.memory and bool(self.memory.guesses) != bool(self.speculative_config):
            raise ValueError("memory.guesses says what speculative_config takes: both or neither")
        plan = memory_plan(self)
        if plan and not plan.fits:
            raise ValueError(f"the model does not fit: {_figures(plan)}")
        return self


def memory_plan(profile: ServingProfile) -> MemoryPlan | None:
    """The memory plan of a profile; None on a CPU.

    Raises ValueError when KV heads cannot be laid over the GPUs, which no valid profile does.
    """
    limits = limits_of(profile)
    if profile.memory is None or limits is None:
        return None
    return plan_memory(profile.memory, Split(profile.tensor_parallel_size, profile.pipeline_parallel_size), limits)


def limits_of(profile: Profile) -> Limits | None:
    """What of a profile a plan is bounded by; None on a CPU that does not say it."""
    if profile.gpu_memory_utilization is None or profile.max_num_batched_tokens is None:
        return None
    kv_bytes = (
        4 if (profile.kv_cache_dtype, profile.dtype) == ("auto", "float32") else _KV_BYTES[profile.kv_cache_dtype]
    )
    guessed = profile.speculative_config.num_speculative_tokens if profile.speculative_config else 0
    return Limits(
        gpu_memory_utilization=profile.gpu_memory_utilization,
        max_model_len=profile.max_model_len,
        max_num_batched_tokens=profile.max_num_batched_tokens,
        kv_bytes=kv_bytes,
        guesses=guessed * profile.max_num_seqs,
    )


def arguments(profile: Profile, name: str) -> tuple[str, ...]:
    """What follows ``vllm serve MODEL`` for the profile that clients know as ``name``.

    Long options, each followed by its value or values.  Weights are read as safetensors and in no
    other form, whatever lies beside them.
    """
    fields: dict[str, OptionValue | tuple[str, ...] | None] = {
        "served-model-name": name,
        "runner": ENGINES[profile.engine][profile.task].runner,
        "load-format": "safetensors",
        "dtype": profile.dtype,
        "quantization": profile.quantization,
        "tensor-parallel-size": profile.tensor_parallel_size,
        "pipeline-parallel-size": profile.pipeline_parallel_size,
        "gpu-memory-utilization": profile.gpu_memory_utilization,
        "kv-cache-dtype": profile.kv_cache_dtype,
        "max-model-len": profile.max_model_len,
        "max-num-seqs": profile.max_num_seqs,
        "max-num-batched-tokens": profile.max_num_batched_tokens,
        "max-num-queued-reqs": profile.max_num_queued_reqs,
        "enable-prefix-caching": profile.enable_prefix_caching,
        "enable-chunked-prefill": profile.enable_chunked_prefill,
        "speculative-config": profile.speculative_config.argument() if profile.speculative_config else None,
        **_adapter_options(profile),
        **dict(sorted(profile.options.items())),
    }
    return tuple(word for option, value in fields.items() if value is not None for word in _words(option, value))


def _adapter_options(profile: Profile) -> dict[str, OptionValue | tuple[str, ...] | None]:
    """All adapters stay in the host's memory: none is read again from a disk while requests wait.

    On a CPU, vLLM 0.32.0 takes the last place for requests that want no adapter, when they share a batch with others
    that do (``lora/ops/torch_ops/lora_ops.py``; https://github.com/vllm-project/vllm/pull/48421): there is one place
    more than adapters, so that the last one stays empty.
    """
    if not profile.adapters:
        return {}
    spare = 0 if profile.gpus else 1
    return {
        "enable-lora": True,
        "max-loras": None if profile.max_loras is None else profile.max_loras + spare,
        "max-cpu-loras": len(profile.adapters) + spare,
        "max-lora-rank": profile.max_lora_rank,
        "lora-target-modules": profile.lora_target_modules if isinstance(profile, ServingProfile) else None,
    }


def _words(option: str, value: OptionValue | tuple[str, ...]) -> tuple[str, ...]:
    match value:
        case tuple():
            return (f"--{option}", *value)
        case True:
            return (f"--{option}",)
        case False:
            return (f"--no-{option}",) if option in FLAGS else ()
        case _:
            return (f"--{option}", str(value))


def _figures(plan: MemoryPlan) -> str:
    taken = f"{_gib(plan.weights)} of weights and {_gib(plan.overhead)} of overhead"
    if not plan.keeps:
        return f"vLLM gets {_gib(plan.budget)} of each GPU; {taken} are more: take more or larger GPUs"
    return (
        f"vLLM gets {_gib(plan.budget)} of each GPU; {taken} leave "
        f"{_gib(plan.kv_available)} for KV, and one sequence of {plan.max_model_len} tokens takes "
        f"{_gib(plan.kv_per_sequence)} ({plan.kv_per_token / 1024:.0f} KiB a token); "
        + (f"lower max_model_len (about {plan.tokens} tokens fit), " if plan.tokens else "")
        + "take more or larger GPUs, or smaller weights"
    )


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
