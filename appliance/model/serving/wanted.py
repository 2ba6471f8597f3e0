"""What a definition wants of a model, and the signed profile that follows from it and from the model's files.

A definition states the GPU, how many, the context and the limits.  What the table of GPUs and the model's files
tell is taken from there; where a definition says it too, both have to agree.
"""

import difflib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from pydantic import ValidationError, model_validator

from appliance.model.serving.adapters import DEFAULT_RANK, AdapterFacts, adapter_bytes, target_modules
from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.gpus import GPUS, overhead_gib
from appliance.model.serving.guesses import check_guessing_heads, guess_facts
from appliance.model.serving.kv_cache import check_kv_of_weights, check_kv_on_gpu
from appliance.model.serving.memory import MemoryFacts, WantedMemory
from appliance.model.serving.profile import Profile, ServingProfile
from appliance.model.serving.tasks import ENGINES
from appliance.model.serving.vllm_options import PARSERS, VLLM_VERSION
from appliance.model.value_problem import problem_of

T = TypeVar("T")

# What the profile's ``quantization`` may say, by the ``quant_method`` of the weights.
_METHODS = {
    "awq": {"awq", "awq_marlin"},
    "gptq": {"gptq", "gptq_marlin"},
    "fp8": {"fp8"},
    "compressed-tensors": {"compressed-tensors"},
    None: {"fp8"},  # vLLM makes it while it loads
}


class WantedProfile(Profile):
    """A serving profile as a definition states it: ``memory`` has only what nothing else tells."""

    memory: WantedMemory | None = None

    @model_validator(mode="after")
    def _parsers_are_known(self) -> "WantedProfile":
        for option, known in PARSERS.items():
            value = self.options.get(option)
            if value is not None and value not in known:
                near = difflib.get_close_matches(str(value), sorted(known), n=1)
                hint = f": did you mean {near[0]!r}?" if near else f"; it has {', '.join(sorted(known))}"
                raise ValueError(f"vLLM {VLLM_VERSION} has no --{option} {value!r}{hint}")
        if self.options.get("enable-auto-tool-choice") and "tool-call-parser" not in self.options:
            raise ValueError("enable-auto-tool-choice needs a tool-call-parser: vLLM does not start without one")
        return self

    @model_validator(mode="after")
    def _gpu_is_known(self) -> "WantedProfile":
        said = self.memory or WantedMemory()
        if self.gpus and self.gpu not in GPUS and said.gpu_gib is None:
            raise ValueError(
                f"gpu is {self.gpu!r}, which is not in the table of GPUs ({', '.join(GPUS)}): name one of these, "
                "or say what it reports to CUDA (memory: {gpu_gib: ...})"
            )
        # Between slices there is neither NVLink nor PCIe: github.com/NVIDIA/nccl, issue 1716.
        known = GPUS.get(self.gpu or "")
        if self.gpus > 1 and known and known.slice:
            raise ValueError(
                f"gpu is {self.gpu!r}, a slice of a GPU (MIG), and the profile takes gpus: {self.gpus}: a model takes "
                "one slice, because slices cannot speak to each other"
            )
        if self.gpus:
            check_kv_on_gpu(self.kv_cache_dtype, self.gpu)
        # All of it by hand: whether it fits need not wait for the lock.
        if self.gpus and said.weights_bytes is not None and said.attention is not None and not self.adapters:
            serving_profile(self, None)
        return self


def serving_profile(
    wanted: WantedProfile,
    facts: ModelFacts | None,
    draft: ModelFacts | None = None,
    adapters: Mapping[str, AdapterFacts] = MappingProxyType({}),
) -> ServingProfile:
    """The profile that is signed.

    ``draft`` is known of the weights that guess its tokens, where there are any; ``adapters`` are those of the lock by
    the names of their artifacts.

    Raises ValueError where something is missing, where two sources of a figure disagree, and where it does not fit.
    """
    if not wanted.gpus and wanted.speculative_config and wanted.speculative_config.weights:
        guess_facts(wanted.speculative_config, facts, draft)
    own = own_adapters(wanted, adapters)
    return with_memory(wanted, memory_facts(wanted, facts, draft, own) if wanted.gpus else None, own)


def own_adapters(wanted: Profile, known: Mapping[str, AdapterFacts]) -> tuple[AdapterFacts, ...]:
    """The adapters that a profile names.  Raises ValueError for one that it cannot serve."""
    most = wanted.max_lora_rank or DEFAULT_RANK
    found = []
    for name, artifact in wanted.adapters.items():
        facts = known.get(artifact)
        if facts is None:
            raise ValueError(f"adapters.{name} is weights/{artifact}, which is not locked as an adapter (adapter: ...)")
        if facts.of != wanted.weights:
            raise ValueError(f"adapters.{name} belongs to weights/{facts.of}, but the profile serves {wanted.weights}")
        if facts.rank > most:
            raise ValueError(f"adapters.{name} has rank {facts.rank}, more than max_lora_rank {most}: raise that")
        found.append(facts)
    return tuple(found)


def with_memory(
    wanted: WantedProfile, memory: MemoryFacts | None, adapters: Sequence[AdapterFacts] = ()
) -> ServingProfile:
    """The profile with what its memory plan starts from.  Raises ValueError where it does not fit."""
    told: dict[str, object] = {"memory": memory}
    if adapters:
        told["max_loras"] = _places(wanted)
        told["max_lora_rank"] = wanted.max_lora_rank or DEFAULT_RANK
        told["lora_target_modules"] = target_modules(adapters)
    try:
        return ServingProfile.model_validate(dict(wanted) | told)
    except ValidationError as error:
        raise ValueError(problem_of(error.errors()[0])) from None


def _places(wanted: Profile) -> int:
    return wanted.max_loras or len(wanted.adapters)


def memory_facts(
    wanted: WantedProfile,
    facts: ModelFacts | None,
    draft: ModelFacts | None = None,
    adapters: Sequence[AdapterFacts] = (),
) -> MemoryFacts:
    """What the memory plan of a profile on GPUs starts from.  Raises ValueError as ``serving_profile``."""
    said = wanted.memory or WantedMemory()
    gpu = GPUS.get(wanted.gpu or "")
    if facts:
        check_wanted(wanted, facts)
    if wanted.speculative_config and draft:
        check_guessing_heads(wanted.speculative_config, draft, wanted.tensor_parallel_size)
    return MemoryFacts(
        gpu_gib=_agreed("gpu_gib", said.gpu_gib, gpu.gib if gpu else None, f"the table of GPUs has for {wanted.gpu}"),
        overhead_gib=said.overhead_gib or overhead_gib(wanted.gpus),
        weights_bytes=_agreed(
            "weights_bytes",
            said.weights_bytes,
            facts.weights_bytes if facts else None,
            "the headers of the weights have",
        ),
        adapter_bytes=room_for(wanted, facts, adapters),
        attention=_agreed("attention", said.attention, facts.attention if facts else None, "config.json has"),
        guesses=guess_facts(wanted.speculative_config, facts, draft) if wanted.speculative_config else None,
    )


def room_for(wanted: Profile, facts: ModelFacts | None, adapters: Sequence[AdapterFacts]) -> int:
    """Bytes on each GPU for adapters, whose numbers are the model's."""
    # Of a model by hand it is not known what `auto` comes to: what is longer is planned.
    auto = facts.dtype if facts else "float32"
    number = 4 if (auto if wanted.dtype == "auto" else wanted.dtype) == "float32" else 2
    return adapter_bytes(adapters, _places(wanted), wanted.max_lora_rank or DEFAULT_RANK, number)


def check_wanted(wanted: Profile, facts: ModelFacts) -> None:
    """Refuse what vLLM would not start with.  Raises ValueError."""
    if wanted.max_model_len > facts.context:
        raise ValueError(f"max_model_len is {wanted.max_model_len}, but the model's context is {facts.context} tokens")
    facts.check_heads(wanted.tensor_parallel_size)
    if not facts.attention:
        _check_encoder(wanted, facts)
    check_kv_of_weights(wanted.kv_cache_dtype, facts)
    if wanted.quantization and wanted.quantization not in _METHODS.get(facts.quantization, {facts.quantization}):
        form = f"quantised as {facts.quantization}" if facts.quantization else "not quantised"
        raise ValueError(f"quantization is {wanted.quantization}, but the weights are {form}")


def _check_encoder(wanted: Profile, facts: ModelFacts) -> None:
    form = f"{facts.architecture} is an encoder, which reads a text whole and keeps nothing of it"
    if ENGINES[wanted.engine][wanted.task].generates:
        raise ValueError(f"{form}: it cannot do the task {wanted.task}")
    # vLLM 0.32.0 warns that it may then crash or answer wrongly (engine/arg_utils.py).
    for field in ("enable_prefix_caching", "enable_chunked_prefill"):
        if getattr(wanted, field):
            raise ValueError(f"{form}: write {field}: false")
    # Nor has any of its layers a stage of its own: https://docs.vllm.ai/en/v0.32.0/models/pooling_models/scoring/
    if wanted.pipeline_parallel_size > 1:
        raise ValueError(f"{form}: vLLM lays encoders over no stages, write pipeline_parallel_size: 1")


def _agreed(field: str, said: T | None, told: T | None, source: str) -> T:
    if said is not None and told is not None and said != told:
        raise ValueError(f"memory.{field} is {_shown(said)}, but {source} {_shown(told)}: leave it out")
    found = told if said is None else said
    if found is None:
        raise ValueError(
            f"there is no {field}: the model's files were not read, or say it in a form that is not known here; state "
            f"memory.{field} by hand, or resolve the weights again, which tells the reason"
        )
    return found


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "; ".join(
            " ".join(f"{key}={item}" for key, item in layers.model_dump(exclude_none=True).items()) for layers in value
        )
    return str(value)
