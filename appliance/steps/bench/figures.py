"""The figures of a bench as words: the same on a terminal and on its page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.model.documents.bench import Bench, Load, Regression, Spread, Step
from appliance.model.serving.tasks import ENGINES

_NONE = "-"
_PERCENTILES = ("p50", "p95", "p99")


@dataclass(frozen=True)
class Table:
    """Cells in rows below a head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


# Name of the column, its cell, and of which models it is shown: those that generate (True), the others, or all (None).
Column = tuple[str, Callable[[Step], str], bool | None]

_LOAD: tuple[Column, ...] = (
    ("tokens in", lambda step: f"{step.load.prompt_tokens:,}", None),
    ("out", lambda step: f"{step.load.output_tokens:,}", True),
    ("prefix", lambda step: "shared" if step.load.shared_prefix else "apart", True),
    ("inputs", lambda step: f"{step.load.inputs}", False),
    ("at once", lambda step: f"{step.load.concurrency}", None),
)
_CARRIED: tuple[Column, ...] = (
    ("answered", lambda step: f"{step.answered:,}", None),
    ("refused", lambda step: f"{step.refused:,}", None),
    ("failed", lambda step: f"{step.failed:,}", None),
    ("unfinished", lambda step: f"{step.unfinished:,}", None),
    ("requests/s", lambda step: f"{step.requests_per_second:,.1f}", None),
    ("inputs/s", lambda step: f"{step.inputs_per_second:,.1f}", False),
    ("tokens/s in", lambda step: f"{step.tokens_in_per_second:,.1f}", None),
    ("out", lambda step: f"{step.tokens_out_per_second:,.1f}", True),
    ("goodput", lambda step: _NONE if step.goodput is None else f"{100 * step.goodput:.0f} %", None),
)
# Only where the status page was asked.
_CACHE: Column = ("KV cache", lambda step: _NONE if step.kv_cache is None else f"{100 * step.kv_cache:.1f} %", None)


def carried(bench: Bench) -> Table:
    """How much each step carried."""
    seen = any(step.kv_cache is not None for step in bench.steps)
    return _table(bench, (*_LOAD, *_CARRIED, *((_CACHE,) if seen else ())))


def lasted(bench: Bench) -> Table:
    """How long it took, in milliseconds: to the first token, between tokens, to the end of the answer."""
    kinds: tuple[tuple[str, Callable[[Step], Spread | None], bool | None], ...] = (
        ("ttft", lambda step: step.ttft, True),
        ("between", lambda step: step.inter_token, True),
        ("end", lambda step: step.end_to_end, None),
    )
    times = [(f"{kind} {name}", _time(of, name), generates) for kind, of, generates in kinds for name in _PERCENTILES]
    return _table(bench, (*_LOAD, *times))


def _table(bench: Bench, columns: Sequence[Column]) -> Table:
    generates = ENGINES["vllm"][bench.settings.task].generates
    shown = [(name, cell) for name, cell, only in columns if only in (None, generates)]
    rows = tuple(tuple(cell(step) for _, cell in shown) for step in bench.steps)
    return Table(tuple(name for name, _ in shown), rows)


def _time(of: Callable[[Step], Spread | None], name: str) -> Callable[[Step], str]:
    def cell(step: Step) -> str:
        found = of(step)
        return _NONE if found is None else f"{1000 * getattr(found, name):,.1f}"

    return cell


def described(load: Load) -> str:
    """In words."""
    inputs = f"{load.inputs} inputs of " if load.inputs > 1 else ""
    answer = f" in, {load.output_tokens} out" if load.output_tokens else ""
    shared = ", half of them shared" if load.shared_prefix else ""
    return f"{load.concurrency} at a time, {inputs}{load.prompt_tokens} tokens{answer}{shared}"


def troubles(bench: Bench) -> list[str]:
    """What went wrong in which step, and what the server said."""
    return [
        f"{described(step.load)}: {count:,} x {error}{_reason(step, error)}"
        for step in bench.steps
        for error, count in step.errors.items()
    ]


def missed(bench: Bench) -> list[str]:
    """Objectives that steps missed."""
    return [f"{described(step.load)}: {', '.join(step.missed)}" for step in bench.steps if step.missed]


def regression(one: Regression) -> str:
    """In words."""
    if one.figure.endswith("_p50"):
        before, now = f"{1000 * one.before:,.1f} ms", f"{1000 * one.now:,.1f} ms"
    else:
        before, now = f"{one.before:,.2f}", f"{one.now:,.2f}"
    return f"{described(one.load)}: {one.figure} is {now} and was {before}"


def versus(bench: Bench) -> str:
    """What it was compared with."""
    found = bench.comparison
    if found is None:
        return "compared with nothing: there is no earlier run of the same model and settings"
    bundle = f" of {found.bundle.name} {found.bundle.version}" if found.bundle else ""
    worse = f"{len(found.regressions)} figures are worse" if found.regressions else "no figure is worse"
    return f"compared with {found.time}{bundle}: {worse} by more than {100 * found.tolerance:g} %"


def _reason(step: Step, error: str) -> str:
    reason = step.reasons.get(error)
    return f": {reason}" if reason else ""
