"""What was measured, as JSON and as two tables in Markdown."""

from dataclasses import dataclass, field
from typing import Any

from tests.bench.gpu.loads import Figures
from tests.bench.gpu.logged import Compared, Logged, as_json
from tests.bench.table import grid

_MEMORY = ("definition", "way", "what", "planned", "logged", "difference, %")
_SPEED = ("definition", "way", "in", "shared", "out", "at once", "TTFT p50 ms", "max ms", "tokens/s", "tokens/s of one")


@dataclass
class Measured:
    """One start of vLLM.  ``failed`` says why there are no figures, if so."""

    definition: str
    way: str
    words: list[str]
    ready_seconds: float | None = None
    logged: Logged = field(default_factory=Logged)
    compared: tuple[Compared, ...] = ()
    figures: list[Figures] = field(default_factory=list)
    failed: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "definition": self.definition,
            "way": self.way,
            "arguments": self.words,
            "ready_seconds": self.ready_seconds,
            "logged": as_json(self.logged),
            "plan": [
                {"what": one.what, "planned": one.planned, "logged": one.logged, "difference": one.difference}
                for one in self.compared
            ],
            "figures": [one.as_json() for one in self.figures],
            "failed": self.failed,
        }


def memory_table(all_measured: list[Measured]) -> str:
    """The plan beside the log, of the starts that the plan is about."""
    rows = [
        (one.definition, one.way, it.what, f"{it.planned:,.1f}", f"{it.logged:,.1f}", f"{100 * it.difference:+.1f}")
        for one in all_measured
        for it in one.compared
    ]
    return grid([_MEMORY, *rows], words=3)


def speed_table(all_measured: list[Measured]) -> str:
    """Times and rates of each load in each way; a way that did not start has one row without figures."""
    rows: list[tuple[str, ...]] = []
    for one in all_measured:
        rows += [(one.definition, one.way, *_cells(figures)) for figures in one.figures]
        if one.failed:
            rows.append((one.definition, f"{one.way}: not measured", *("" for _ in _SPEED[2:])))
    return grid([_SPEED, *rows], words=2)


def _cells(one: Figures) -> tuple[str, ...]:
    load = one.load
    counts = (load.prompt, load.shared, load.output, load.at_once)
    times = (one.ttft_p50, one.ttft_max, one.tokens_per_second, one.tokens_per_second_one)
    return (*(f"{count:,}" for count in counts), *(f"{time:,.1f}" for time in times))
