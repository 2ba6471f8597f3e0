"""Which loads a bench asks, and in which order: climbs, each from one request at a time to more than are taken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from appliance.errors import BadInput
from appliance.model.documents.bench import Load
from appliance.model.serving.profile import ServingProfile
from appliance.model.serving.tasks import ENGINES, Task

Climb = tuple[Load, ...]

_SHORT, _LONG, _QUICK_LONG = 128, 4096, 1024  # tokens of prompts, where they fit
_OUTPUT = 64  # tokens of an answer
_ROOM = 0.9  # of what a model takes: the words of a prompt have not all the same number of tokens
_MANY_INPUTS = 16
_UNKNOWN_LENGTH, _UNKNOWN_SEQUENCES = 2048, 32  # where no bundle says what the model takes
_QUICK_MOST = 32  # at a time: as many as a gateway lets one client have by default
_MOST = 512  # connections: more need another limit of open files


@dataclass(frozen=True)
class Pace:
    """Seconds: in which a step begins requests, for which it waits for the last, for a whole answer, for all steps."""

    step: float
    grace: float
    answer: float
    whole: float | None = None


QUICK = Pace(step=6, grace=8, answer=12, whole=110)
FULL = Pace(step=20, grace=60, answer=600)


@dataclass(frozen=True)
class Wanted:
    """What was asked for by hand; empty or None is chosen here.  ``most`` is the model's max_model_len."""

    quick: bool = False
    seconds: float | None = None
    concurrency: tuple[int, ...] = ()
    prompt_tokens: tuple[int, ...] = ()
    output_tokens: int | None = None
    most: int | None = None

    @property
    def pace(self) -> Pace:
        """Of its steps."""
        pace = QUICK if self.quick else FULL
        return replace(pace, step=self.seconds) if self.seconds else pace


def climbs(wanted: Wanted, task: Task, profile: ServingProfile | None) -> tuple[Climb, ...]:
    """Every load, grouped: a climb ends when more is refused than answered.

    Raises BadInput (``prompt-too-long``).
    """
    most = wanted.most or (profile.max_model_len if profile else _UNKNOWN_LENGTH)
    generates = ENGINES["vllm"][task].generates
    output = 0 if not generates else wanted.output_tokens or min(_OUTPUT, max(1, most // 4))
    sizes = wanted.prompt_tokens or _sizes(most, output, quick=wanted.quick)
    for size in sizes:
        if size + output > most:
            raise BadInput(
                "prompt-too-long",
                f"a prompt of {size} tokens and an answer of {output} are more than the model takes",
                expected=f"at most {most} together",
                hint="lower --prompt-tokens or --output-tokens, or say what it takes: --max-model-len",
            )
    forms = _chat_forms(sizes, output) if generates else _input_forms(sizes)
    steps = wanted.concurrency or _concurrency(profile, quick=wanted.quick)
    if not wanted.quick or wanted.concurrency:
        return tuple(_climb(form, steps) for form in forms)
    middle = steps[len(steps) // 2]
    first = _climb(forms[0], (steps[0], middle, steps[-1]))
    # Long prompts, apart and with a common beginning; or many inputs, and long ones.
    others = forms[-2:] if generates else [forms[1], forms[-2]]
    rest = (_climb(form, (middle,)) for form in others)
    return (first, *(climb for climb in rest if not set(climb) & set(first)))


def _sizes(most: int, output: int, *, quick: bool) -> tuple[int, ...]:
    short = min(_SHORT, most // 4)
    long = min(_QUICK_LONG if quick else _LONG, int((most - output) * _ROOM))
    return tuple(sorted({max(1, short), max(1, long)}))


def _chat_forms(sizes: Sequence[int], output: int) -> list[Load]:
    return [_form(size, output, shared=shared) for size in sizes for shared in (False, True)]


def _input_forms(sizes: Sequence[int]) -> list[Load]:
    return [_form(size, 0, inputs=inputs) for size in sizes for inputs in (1, _MANY_INPUTS)]


def _form(size: int, output: int, *, shared: bool = False, inputs: int = 1) -> Load:
    return Load(prompt_tokens=size, output_tokens=output, shared_prefix=shared, inputs=inputs, concurrency=1)


def _climb(form: Load, steps: Sequence[int]) -> Climb:
    return tuple(form.model_copy(update={"concurrency": many}) for many in sorted(set(steps)))


def _concurrency(profile: ServingProfile | None, *, quick: bool) -> tuple[int, ...]:
    """1, 2, 4 ... with what runs at once among them, to what may wait too, and a little beyond."""
    runs = profile.max_num_seqs if profile else _UNKNOWN_SEQUENCES
    if quick:
        return _doubled(min(runs, _QUICK_MOST))
    taken = runs + (profile.max_num_queued_reqs if profile else 0)
    beyond = taken + max(2, taken // 8)
    return tuple(sorted({min(many, _MOST) for many in (*_doubled(taken), runs, beyond)}))


def _doubled(most: int) -> tuple[int, ...]:
    powers = [1 << power for power in range(most.bit_length())]
    return tuple(sorted({*powers, most}))
