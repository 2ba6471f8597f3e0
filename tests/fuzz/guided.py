"""One target under atheris (https://github.com/google/atheris), libFuzzer for Python."""

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.target import words
from tests.fuzz.targets import PLANTED, TARGETS

LONGEST = 64 * 1024  # bytes of an input
MEMORY = 1024  # MiB; the interpreter with all that is imported takes 200
_SLOWEST = 10  # seconds for one input
AVAILABLE = find_spec("atheris") is not None


@dataclass(frozen=True)
class Outcome:
    """What came of it.  ``finding`` is the end of what libFuzzer said, if it stopped before its time."""

    executions: int
    coverage: int
    peak_mb: int
    finding: str


def run(name: str, folder: Path, findings: Path, *options: str) -> Outcome:
    """Fuzz a target.  ``folder`` keeps the corpus, ``findings`` gets what made it fail.

    A process of its own does it, because libFuzzer ends the process that it runs in.
    """
    target = PLANTED if name == "planted" else TARGETS[name]
    corpus = folder / name
    corpus.mkdir(exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    dictionary = folder / f"{name}.dict"
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words(target)))
    result = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.instrumented", name, str(corpus), f"-dict={dictionary}"),
            *(f"-artifact_prefix={findings}/{name}-", f"-rss_limit_mb={MEMORY}", f"-timeout={_SLOWEST}"),
            *(f"-max_len={LONGEST}", "-print_final_stats=1", *options),
        ],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    said = result.stderr + result.stdout
    return Outcome(
        _figure(said, r"stat::number_of_executed_units: +(\d+)"),
        _figure(said, r"cov: (\d+)"),
        _figure(said, r"stat::peak_rss_mb: +(\d+)"),
        said[-4000:] if result.returncode else "",
    )


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _figure(text: str, pattern: str) -> int:
    return max(map(int, re.findall(pattern, text)), default=0)
