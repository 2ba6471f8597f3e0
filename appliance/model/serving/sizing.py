"""Does a model fit on these GPUs, how much of it, and how fast can it be at most: before anything is bought."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from appliance.model.serving.adapters import AdapterFacts
from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.gpus import GPUS, Gpu, overhead_gib
from appliance.model.serving.guesses import check_guessing_heads, guess_facts
from appliance.model.serving.kv_cache import check_kv_on_gpu
from appliance.model.serving.memory import Limits, MemoryFacts, MemoryPlan, Split, plan_memory
from appliance.model.serving.profile import Profile, limits_of
from appliance.model.serving.tasks import ENGINES
from appliance.model.serving.wanted import WantedProfile, memory_facts, room_for

COUNTS = (1, 2, 4, 8)  # GPUs of one host


@dataclass(frozen=True)
class Answer:
    """One model on GPUs of one type.

    ``memory`` is None where vLLM could not lay the model over so many GPUs; ``problem`` says why.
    ``longest`` is the longest sequence in tokens that fits alone, 0 where none does.  ``most_one`` and
    ``most_all`` are tokens a second that memory bandwidth allows at most, for one sequence and for all
    that run at once: upper bounds and no forecast, None where the bandwidth is not known or nothing is
    generated.
    """

    gpu: str
    split: Split
    memory: MemoryPlan | None
    problem: str
    longest: int
    most_one: float | None
    most_all: float | None

    @property
    def gpus(self) -> int:
        """GPUs that it takes."""
        return self.split.tensor_parallel * self.split.pipeline_parallel

    @property
    def fits(self) -> bool:
        """Whether weights and one sequence of the wanted length have room."""
        return self.memory is not None and self.memory.fits


def as_wanted(
    wanted: WantedProfile, facts: ModelFacts, draft: ModelFacts | None = None, adapters: Sequence[AdapterFacts] = ()
) -> Answer:
    """The answer for the GPUs that the definition names.  Raises ValueError where two sources disagree.

    ``draft`` is known of the weights that guess the model's tokens, where there are any, ``adapters`` of its adapters.
    """
    split = Split(wanted.tensor_parallel_size, wanted.pipeline_parallel_size)
    memory = memory_facts(wanted, facts, draft, adapters)
    return _answer(wanted, (facts, draft), wanted.gpu or "GPU", split, memory)


def on(
    wanted: WantedProfile,
    facts: ModelFacts,
    gpu: str,
    draft: ModelFacts | None = None,
    adapters: Sequence[AdapterFacts] = (),
) -> Answer:
    """The answer for the fewest GPUs of a type in the table that hold it, or for the most where none do.

    A slice of a GPU stands alone: slices cannot speak to each other.
    """
    known = GPUS[gpu]
    both = (facts, draft)
    room = room_for(wanted, facts, adapters)
    answers = [
        _answer(wanted, both, gpu, Split(count, 1), _supposed(wanted, both, known, count, room))
        for count in ((1,) if known.slice else COUNTS)
    ]
    return next((answer for answer in answers if answer.fits), answers[-1])


def _supposed(
    wanted: WantedProfile, both: tuple[ModelFacts, ModelFacts | None], gpu: Gpu, count: int, room: int
) -> MemoryFacts:
    facts, draft = both
    said = wanted.memory.overhead_gib if wanted.memory and count == wanted.gpus else None
    return MemoryFacts(
        gpu_gib=gpu.gib,
        overhead_gib=said or overhead_gib(count),
        weights_bytes=facts.weights_bytes,
        adapter_bytes=room,
        attention=facts.attention,
        guesses=guess_facts(wanted.speculative_config, facts, draft) if wanted.speculative_config else None,
    )


def _answer(
    wanted: Profile, both: tuple[ModelFacts, ModelFacts | None], gpu: str, split: Split, memory: MemoryFacts
) -> Answer:
    facts, draft = both
    limits, gpus = limits_of(wanted), split.tensor_parallel * split.pipeline_parallel
    if limits is None:
        raise ValueError("a profile on CPUs has no plan for GPUs")
    plan, problem = None, ""
    try:
        check_kv_on_gpu(wanted.kv_cache_dtype, gpu)
        facts.check_heads(split.tensor_parallel)
        if wanted.speculative_config and draft:
            check_guessing_heads(wanted.speculative_config, draft, split.tensor_parallel)
        plan = plan_memory(memory, split, limits)
    except ValueError as error:
        problem = str(error)
    known = GPUS.get(gpu) if ENGINES[wanted.engine][wanted.task].generates else None
    read, tokens = _step(wanted, facts, draft)
    steps = known.gigabytes_per_second * 10**9 * gpus * tokens / read if known else None
    return Answer(
        gpu=gpu,
        split=split,
        memory=plan,
        problem=problem,
        longest=_longest(memory, split, limits, facts.context) if plan else 0,
        most_one=steps,
        most_all=steps * wanted.max_num_seqs if steps else None,
    )


def _step(wanted: Profile, facts: ModelFacts, draft: ModelFacts | None) -> tuple[int, int]:
    """What a step reads for one sequence, and the tokens that it yields at most: every guess is right."""
    guessed = wanted.speculative_config.num_speculative_tokens if wanted.speculative_config else 0
    return facts.step_bytes + guessed * (draft.step_bytes if draft else 0), 1 + guessed


def _longest(memory: MemoryFacts, split: Split, limits: Limits, context: int) -> int:
    """The longest sequence that fits, up to the model's own context: by halves, because longer never takes less."""

    def fits(length: int) -> bool:
        return plan_memory(memory, split, replace(limits, max_model_len=length)).fits

    least, most = 0, context
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    return least
