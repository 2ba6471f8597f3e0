"""Lets a verifier judge cases, and compares what it says with what has to be said.

The verifier is a command of anybody's: it is told of a bundle and a root document, and has
to end with 0 for good bundles and with another exit code for bad ones.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.corpus.builder.cases import Case, Verifier
from tests.support.bundles import Written
from tests.support.watched import differences, snapshot

Finding = Literal["right", "accepted", "wrote", "refused", "ended badly", "other code"]
# What is wrong with a verifier that does not say what it has to, from the worst.
FINDINGS: Mapping[Finding, str] = {
    "accepted": "accepted what has to be refused",
    "wrote": "changed or made files beside its own temporary ones",
    "refused": "refused what is good",
    "ended badly": "was killed by a signal or took too long",
    "other code": "refused, with another exit code than expected",
}
_BUNDLE, _ROOT = "{bundle}", "{root}"
_TOLD = 2000  # the last bytes of what a verifier says


@dataclass(frozen=True)
class Verdict:
    """What a verifier said of a case.  ``code`` is None when it did not end by itself.

    With ``any_code`` every exit code but 0 is a refusal.
    """

    case: Case
    expected: int
    code: int | None
    changed: tuple[str, ...]
    said: str
    any_code: bool = False

    @property
    def finding(self) -> Finding:
        """How that is to be judged."""
        if self.expected != 0 and self.code == 0:
            return "accepted"
        if self.changed:
            return "wrote"
        if self.code is None or self.code < 0:
            return "ended badly"
        if self.expected == 0 and self.code != 0:
            return "refused"
        return "right" if self.any_code or self.code == self.expected else "other code"

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "case": self.case.id,
            "what": self.case.what,
            "imitates": list(self.case.imitates),
            "expected": self.expected,
            "code": self.code,
            "finding": self.finding,
            "changed": list(self.changed),
            "said": self.said,
        }


@dataclass(frozen=True)
class Command:
    """A verifier: a command line with ``{bundle}`` and ``{root}`` in it, and how long it may take.

    ``speaks_as`` is whose verdicts are expected of it.
    """

    words: tuple[str, ...]
    seconds: float
    speaks_as: Verifier
    any_code: bool

    @classmethod
    def parse(cls, text: str, seconds: float, speaks_as: Verifier, *, any_code: bool) -> "Command":
        """Read a command line, which no shell will see.  Raises ValueError for one that cannot be run on a bundle."""
        if _BUNDLE not in text or _ROOT not in text:
            raise ValueError(f"the command has to hold {_BUNDLE} and {_ROOT}")
        words = tuple(shlex.split(text))
        if shutil.which(words[0]) is None:
            raise ValueError(f"there is no program {words[0]}")
        return cls(words, seconds, speaks_as, any_code)

    def judge(self, case: Case, written: Written, home: Path) -> Verdict:
        """Let it judge one case; ``home`` is for its own files, and only its ``tmp`` may get any."""
        (home / "tmp").mkdir(parents=True)
        medium = written.path.parent
        before = snapshot(medium)
        code, said = self._run(written, home)
        strays = [os.fspath(path) for path in home.iterdir() if path.name != "tmp"]
        changed = (*differences(before, snapshot(medium)), *strays)
        return Verdict(case, case.told(self.speaks_as).exit_code, code, changed, said, self.any_code)

    def _run(self, written: Written, home: Path) -> tuple[int | None, str]:
        bundle, root = os.fspath(written.path), os.fspath(written.trusted)
        try:
            done = subprocess.run(
                [word.replace(_BUNDLE, bundle).replace(_ROOT, root) for word in self.words],
                env={**os.environ, "HOME": os.fspath(home), "TMPDIR": os.fspath(home / "tmp")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, f"took more than {self.seconds:g} seconds"
        return done.returncode, done.stdout[-_TOLD:].decode(errors="backslashreplace")


def judge_all(command: Command, made: Iterable[tuple[Case, Written]], homes: Path, jobs: int) -> Iterator[Verdict]:
    """Every case, several at once, in the order given."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda one: command.judge(one[0], one[1], homes / one[0].id), made)


def as_table(verdicts: Sequence[Verdict]) -> str:
    """One line a group, then one for each case that was judged in another way than it has to be."""
    columns: tuple[Finding, ...] = ("right", *FINDINGS)
    found = {"all": verdicts}
    for verdict in verdicts:
        found[verdict.case.group] = [*found.get(verdict.case.group, ()), verdict]
    rows = [("group", "cases", *columns)]
    for group in (*sorted(found.keys() - {"all"}), "all"):
        findings = [verdict.finding for verdict in found[group]]
        rows.append((group, str(len(findings)), *(str(findings.count(column) or ".") for column in columns)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_row(row, widths) for row in rows]
    for finding, meaning in FINDINGS.items():
        wrong = [verdict for verdict in verdicts if verdict.finding == finding]
        if wrong:
            lines += ["", f"{meaning}:", *(f"  {verdict.case.id}: {_told(verdict)}" for verdict in wrong)]
    return "\n".join(lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left, numbers to the right."""
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([cells[0].ljust(widths[0]), *numbers])


def _told(verdict: Verdict) -> str:
    ended = "no exit code" if verdict.code is None else f"exit code {verdict.code}"
    what = f"; {verdict.case.what}" if verdict.case.what else ""
    wrote = f"; {verdict.changed[0]}" if verdict.changed else ""
    return f"{ended}, expected {verdict.expected} ({', '.join(verdict.case.imitates) or 'good'}){what}{wrote}"
