"""What the figures are to reach, beside what was measured; everything is of one run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench import cases
from tests.bench.table import Row, Speeds, grid

_MB = 1e6
_HEAD = ("what", "of", "figure", "aim", "reached")
_ONCE = 1.02  # documents, our own modules and what the file system keeps for itself are read and written too


class NotMeasured(Exception):
    """A figure needs a row or a speed that this run does not have."""


@dataclass(frozen=True)
class Results:
    """All rows by their names, and what ``openssl speed`` told."""

    rows: Mapping[str, Row]
    speeds: Speeds

    def row(self, name: str) -> Row:
        """Raises NotMeasured."""
        row = self.rows.get(name)
        if row is None or not row.runs:
            raise NotMeasured(name)
        return row

    def speed(self, *, one_core: bool = False) -> float:
        """Raises NotMeasured."""
        speed = self.speeds.reference(one_core=one_core)
        if not speed:
            raise NotMeasured("openssl speed")
        return speed

    def rate(self, name: str) -> float:
        """Bytes a second."""
        return self.row(name).rate

    def slower(self, name: str, other: str) -> float:
        """How many times as long as ``other`` it takes."""
        return self.row(name).best.seconds / self.row(other).best.seconds

    def beyond(self, name: str) -> float:
        """Seconds of CPU beyond Python's own start."""
        return self.row(name).cpu_seconds - self.row(cases.PASS).cpu_seconds

    def peak(self) -> float:
        """MB of the largest process of ours."""
        ours = [row.peak_bytes for row in self.rows.values() if row.runs and "`appliance" in row.name]
        if not ours:
            raise NotMeasured("appliance")
        return max(ours) / _MB


@dataclass(frozen=True)
class Aim:
    """A figure of the row ``what``; ``of`` says what it is a part or a number of.

    Without a bound it is only told.
    """

    what: str
    of: str
    figure: Callable[[Results], float]
    least: float | None = None
    most: float | None = None

    @property
    def bound(self) -> str:
        """For people."""
        if self.least is not None:
            return f">= {self.least:.2f}"
        return f"<= {self.most:.2f}" if self.most is not None else ""

    def reached(self, figure: float) -> bool | None:
        """None without a bound."""
        if self.least is not None:
            return figure >= self.least
        return figure <= self.most if self.most is not None else None


def _times(name: str, part: Callable[[Row], int]) -> Callable[[Results], float]:
    return lambda run: part(run.row(name)) / run.row(name).amount


AIMS = (
    Aim(cases.HELP, "s of CPU beyond `python -c pass`", lambda run: run.beyond(cases.HELP), most=0.20),
    Aim(cases.START, "s of CPU beyond `python -c pass`", lambda run: run.beyond(cases.START), most=0.20),
    Aim(
        cases.VERIFY,
        "`openssl speed`, all cores",
        lambda run: run.rate(cases.VERIFY) / run.speed(),
        least=0.90,
    ),
    Aim(
        cases.VERIFY_COLD,
        "the faster of `openssl dgst` and `cat`, cold",
        lambda run: run.rate(cases.VERIFY_COLD) / max(run.rate(cases.DIGESTS_COLD), run.rate(cases.CAT_COLD)),
        least=0.95,
    ),
    Aim(
        cases.ONE,
        "`openssl speed`, one core",
        lambda run: run.rate(cases.ONE) / run.speed(one_core=True),
        least=0.95,
    ),
    Aim(cases.ONE, "`openssl dgst`", lambda run: run.rate(cases.ONE) / run.rate(cases.ONE_DIGEST), least=1.25),
    Aim(
        cases.ONE_COLD,
        "the slower of `cat`, cold, and `openssl speed`, one core",
        lambda run: run.rate(cases.ONE_COLD) / min(run.rate(cases.ONE_CAT_COLD), run.speed(one_core=True)),
        least=0.95,
    ),
    Aim(cases.TINY, "times `sha256sum --check`", lambda run: run.slower(cases.TINY, cases.TINY_SUMS), most=2),
    Aim(cases.TINY, "MB of memory", lambda run: run.row(cases.TINY).peak_bytes / _MB, most=120),
    Aim(cases.FIRST, "`cp`, then `sync`", lambda run: run.rate(cases.FIRST) / run.rate(cases.COPY), least=0.9),
    Aim(cases.SMALL, "times `cp`, then `sync`", lambda run: run.slower(cases.SMALL, cases.SMALL_COPY), most=3),
    Aim(
        cases.IMPORT,
        "`cp`, then `sync`, cold",
        lambda run: run.rate(cases.IMPORT) / run.rate(cases.COPY_COLD),
        least=0.9,
    ),
    Aim(cases.IMPORT, "times its bytes read", _times(cases.IMPORT, lambda row: row.best.read_bytes), most=_ONCE),
    Aim(cases.IMPORT, "times its bytes written", _times(cases.IMPORT, lambda row: row.best.written_bytes), most=_ONCE),
    Aim(
        cases.IMPORT_NEXT,
        "MB written: documents, and nothing of the weights",
        lambda run: run.row(cases.IMPORT_NEXT).best.written_bytes / _MB,
        most=1,
    ),
    Aim(cases.SCRIPT, cases.SHA256SUMS, lambda run: run.rate(cases.SCRIPT) / run.rate(cases.SHA256SUMS)),
    Aim("`appliance`, every row", "MB of memory", lambda run: run.peak(), most=150),
)


def figures(results: Results) -> list[tuple[Aim, float]]:
    """Every aim that this run can tell of, with its figure."""
    found = []
    for aim in AIMS:
        try:
            found.append((aim, aim.figure(results)))
        except NotMeasured:
            continue
    return found


def as_json(found: Sequence[tuple[Aim, float]]) -> list[dict[str, Any]]:
    """The aims as plain values."""
    return [
        {
            "what": aim.what,
            "of": aim.of,
            "figure": round(figure, 3),
            "least": aim.least,
            "most": aim.most,
            "reached": aim.reached(figure),
        }
        for aim, figure in found
    ]


def as_text(found: Sequence[tuple[Aim, float]]) -> str:
    """The aims as a table."""
    told = {True: "yes", False: "no", None: ""}
    lines = [(aim.what, aim.of, f"{figure:.2f}", aim.bound, told[aim.reached(figure)]) for aim, figure in found]
    return grid([_HEAD, *lines], words=2)
