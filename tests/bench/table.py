"""The arithmetic of the table, and its form: Markdown that is also readable as it stands."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.measure import Run

_GB = 1e9
_MB = 1e6
_HEAD: tuple[str, ...] = ("what", "s", "GB/s", "ratio", "CPU s", "peak MB", "read MB", "written MB")
_OTHERWISE = 0.05  # of the bytes: so many may come from storage in a warm run, or from the page cache in a cold one


@dataclass(frozen=True)
class Row:
    """One command, run several times over ``amount`` bytes; 0 where no rate makes sense.

    Without runs, ``missing`` says why there are none.  ``state`` is where the files were
    meant to be before each run: ``warm`` in the page cache, ``cold`` on storage alone.
    """

    name: str
    amount: int
    runs: tuple[Run, ...] = ()
    state: str = ""
    missing: str = ""

    @property
    def best(self) -> Run:
        """The fastest run: what else ran on the machine can only add to it."""
        return min(self.runs, key=lambda run: run.seconds)

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
        cpu_seconds=row.best.cpu_seconds - start.best.cpu_seconds,
        peak_bytes=row.best.peak_bytes,
        read_bytes=row.best.read_bytes,
        written_bytes=row.best.written_bytes,
    )
    return Row(name, row.amount, (run,), row.state)


def parse_speed(output: str) -> float:
    """Bytes a second from what ``openssl speed`` prints last: ``sha256  3524469.42k`` (k is 1000)."""
    if not (match := re.search(r"^sha256\s+([0-9.]+)k\s*\Z", output, re.MULTILINE)):
        raise ValueError(f"openssl speed printed no figure: {output[-500:]!r}")
    return float(match[1]) * 1000


def as_json(row: Row, reference: float) -> dict[str, Any]:
    """A row as plain values: seconds, bytes, bytes a second, and the ratio to ``reference``."""
    if not row.runs:
        return {"what": row.name, "missing": row.missing}
    best = row.best
    return {
        "what": row.name,
        "seconds": round(best.seconds, 3),
        "all_seconds": [round(run.seconds, 3) for run in row.runs],
        "bytes_per_second": round(row.rate) if row.amount else None,
        "ratio": round(row.rate / reference, 3) if row.amount else None,
        "cpu_seconds": round(best.cpu_seconds, 3),
        "peak_bytes": max(run.peak_bytes for run in row.runs),
        "read_bytes": best.read_bytes,
        "written_bytes": best.written_bytes,
        "doubt": row.doubt,
    }


def as_text(rows: Sequence[Row], reference: float, floor: int) -> str:
    """The table.  ``reference`` in bytes a second is the ratio 1.00; no peak memory can be told below ``floor``."""
    lines = [_HEAD, ("`openssl speed sha256`", "", f"{reference / _GB:.2f}", "1.00", "", "", "", "")]
    lines += [_cells(row, reference, floor) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in (lines[0], rule, *lines[1:])
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


def _cells(row: Row, reference: float, floor: int) -> tuple[str, ...]:
    if not row.runs:
        return (f"{row.name}: not measured, {row.missing}", *("" for _ in _HEAD[1:]))
    best = row.best
    peak = max(run.peak_bytes for run in row.runs)
    return (
        f"{row.name} ({row.doubt})" if row.doubt else row.name,
        f"{best.seconds:.2f}",
        f"{row.rate / _GB:.2f}" if row.amount else "",
        f"{row.rate / reference:.2f}" if row.amount else "",
        f"{best.cpu_seconds:.2f}",
        f"{peak / _MB:.0f}" if peak > floor else f"< {floor / _MB:.0f}",
        f"{best.read_bytes / _MB:.1f}",
        f"{best.written_bytes / _MB:.1f}",
    )
