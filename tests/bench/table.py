"""The arithmetic of the table, and its form: Markdown that is also readable as it stands."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.measure import Run

_GB = 1e9
_MB = 1e6
_HEAD: tuple[str, ...] = ("what", "s", "GB/s", "ratio", "to", "CPU s", "peak MB", "read MB", "written MB")
_OTHERWISE = 0.05  # of the bytes: so many may come from storage in a warm run, or from the page cache in a cold one


@dataclass(frozen=True)
class Speeds:
    """What ``openssl speed`` told in between, bytes a second: of all ``cores``, and of one."""

    cores: int
    all_cores: tuple[float, ...] = ()
    one_core: tuple[float, ...] = ()

    def reference(self, *, one_core: bool) -> float:
        """The ratio 1.00: the best, because what else ran can only take from it.  0 where none was measured."""
        return max(self.one_core if one_core else self.all_cores, default=0.0)

    def told(self, *, one_core: bool) -> str:
        """On how many cores."""
        return "1 core" if one_core or self.cores == 1 else f"{self.cores} cores"


@dataclass(frozen=True)
class Row:
    """One command, run several times over ``amount`` bytes; 0 where no rate makes sense.

    Without runs, ``missing`` says why there are none.  ``state`` is where the files were
    meant to be before each run: ``warm`` in the page cache, ``cold`` on storage alone.
    Its ratio is to all cores, or to ``one_core``.
    """

    name: str
    amount: int
    runs: tuple[Run, ...] = ()
    state: str = ""
    missing: str = ""
    one_core: bool = False

    @property
    def best(self) -> Run:
        """The fastest run: what else ran on the machine can only add to it."""
        return min(self.runs, key=lambda run: run.seconds)

    @property
    def cpu_seconds(self) -> float:
        """The least CPU time of any run, for the same reason."""
        return min(run.cpu_seconds for run in self.runs)

    @property
    def peak_bytes(self) -> int:
        """The most memory of any run."""
        return max(run.peak_bytes for run in self.runs)

    @property
    def rate(self) -> float:
        """Bytes a second of the best run."""
        return self.amount / self.best.seconds

    @property
    def doubt(self) -> str:
        """Why the best run is not what the row says, if so."""
        share = self.best.read_bytes / self.amount if self.amount else 0.0
        if self.state == "warm" and share > _OTHERWISE:
            return "not all was in the page cache"
        if self.state == "cold" and share < 1 - _OTHERWISE:
            return "not all came from storage"
        return ""


def less(name: str, row: Row, start: Row) -> Row:
    """``row`` without the time that ``start`` took: what is left grows with the bytes."""
    run = Run(
        seconds=row.best.seconds - start.best.seconds,
        cpu_seconds=row.cpu_seconds - start.cpu_seconds,
        peak_bytes=row.peak_bytes,
        read_bytes=row.best.read_bytes,
        written_bytes=row.best.written_bytes,
    )
    return Row(name, row.amount, (run,), row.state)


def parse_speed(output: str) -> float:
    """Bytes a second from what ``openssl speed`` prints last: ``sha256  3524469.42k`` (k is 1000)."""
    if not (match := re.search(r"^sha256\s+([0-9.]+)k\s*\Z", output, re.MULTILINE)):
        raise ValueError(f"openssl speed printed no figure: {output[-500:]!r}")
    return float(match[1]) * 1000


def as_json(row: Row, speeds: Speeds) -> dict[str, Any]:
    """A row as plain values: seconds, bytes, bytes a second, and the ratio to ``speeds``."""
    if not row.runs:
        return {"what": row.name, "missing": row.missing}
    best = row.best
    return {
        "what": row.name,
        "seconds": round(best.seconds, 3),
        "all_seconds": [round(run.seconds, 3) for run in row.runs],
        "bytes_per_second": round(row.rate) if row.amount else None,
        "ratio": round(row.rate / speeds.reference(one_core=row.one_core), 3) if row.amount else None,
        "ratio_to": speeds.told(one_core=row.one_core) if row.amount else None,
        "cpu_seconds": round(row.cpu_seconds, 3),
        "peak_bytes": row.peak_bytes,
        "read_bytes": best.read_bytes,
        "written_bytes": best.written_bytes,
        "doubt": row.doubt,
    }


def as_text(rows: Sequence[Row], speeds: Speeds, floor: int) -> str:
    """The table.  ``speeds`` are the ratios 1.00; no peak memory can be told below ``floor``."""
    references = [
        ("`openssl speed sha256`", "", f"{speed / _GB:.2f}", "1.00", speeds.told(one_core=one_core), "", "", "", "")
        for one_core in (False, True)
        if (speed := speeds.reference(one_core=one_core))
    ]
    return grid([_HEAD, *references, *(_cells(row, speeds, floor) for row in rows)])


def grid(lines: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """A table in Markdown: the first line is its head, so many columns are ``words``, and the others figures."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rules = ["-" * width if column < words else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    padded = [
        [*map(str.ljust, line[:words], widths[:words]), *map(str.rjust, line[words:], widths[words:])]
        for line in (lines[0], rules, *lines[1:])
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


def _cells(row: Row, speeds: Speeds, floor: int) -> tuple[str, ...]:
    if not row.runs:
        return (f"{row.name}: not measured, {row.missing}", *("" for _ in _HEAD[1:]))
    best = row.best
    rated: tuple[str, ...] = ("", "", "")
    if row.amount:
        ratio = row.rate / speeds.reference(one_core=row.one_core)
        rated = (f"{row.rate / _GB:.2f}", f"{ratio:.2f}", speeds.told(one_core=row.one_core))
    return (
        f"{row.name} ({row.doubt})" if row.doubt else row.name,
        f"{best.seconds:.2f}",
        *rated,
        f"{row.cpu_seconds:.2f}",
        f"{row.peak_bytes / _MB:.0f}" if row.peak_bytes > floor else f"< {floor / _MB:.0f}",
        f"{best.read_bytes / _MB:.1f}",
        f"{best.written_bytes / _MB:.1f}",
    )
