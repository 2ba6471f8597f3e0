"""``make fuzz``: every target under atheris, structured input, random damage; as long as one likes.

Results go to standard output.  Exit code 1 when something was found: what made it fail lies
below ``--findings``, to be copied to tests/fuzz/findings/<target>/ when it is mended.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from tests.fuzz import guided
from tests.fuzz.damage import MEMORY, Tally, Victim, spoil_often
from tests.fuzz.target import mutated
from tests.fuzz.targets import TARGETS
from tests.support.bundles import PLAIN, Recipe
from tests.support.project import REPOSITORY

_STRUCTURED = ("tests/fuzz", "tests/unit/trust", "tests/unit/model")
_AT_ONCE = 200  # damages between two looks at the clock, and between two at what the script says


def main() -> None:
    options = _options()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    _say(f"seed {seed}; --seed {seed} repeats what is random here, atheris has a mind of its own")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        corpus = options.corpus or Path(folder)
        corpus.mkdir(parents=True, exist_ok=True)
        good = [
            _guided(options.targets, options.seconds, corpus, options.findings),
            _damage(options.seconds, Random(seed)),
            _structured(),
        ]
    sys.exit(0 if all(good) else 1)


def _guided(names: Sequence[str], seconds: int, corpus: Path, findings: Path) -> bool:
    if not guided.AVAILABLE:
        _say("atheris is not installed (there are wheels for x86-64 and Python 3.11 to 3.13): random changes alone")
        for name in names:
            mutated(TARGETS[name], Random(name), seconds=seconds)
        return True
    _say(f"{len(names)} targets for {seconds} s each")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda name: guided.run(name, corpus, findings, f"-max_total_time={seconds}"), names))
    print(f"{'target':<14} {'executions':>11} {'coverage':>9} {'peak MB':>8}")
    for name, outcome in zip(names, outcomes, strict=True):
        print(f"{name:<14} {outcome.executions:>11,} {outcome.coverage:>9} {outcome.peak_mb:>8}")
        if outcome.finding:
            print(f"FOUND with {name}, input below {findings}:\n{outcome.finding}")
    return not any(outcome.finding for outcome in outcomes)


def _damage(seconds: int, random: Random) -> bool:
    tally, overlooked = Tally(), []
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        victims = []
        for name, recipe in (("two signers", Recipe()), ("one signer", PLAIN)):
            (place := Path(folder, name)).mkdir()
            victims.append(Victim(recipe, place))
        end = time.monotonic() + seconds
        _say(f"random damage for {seconds} s")
        while time.monotonic() < end:
            victim = random.choice(victims)
            tally.add(spoil_often(victim, random, _AT_ONCE))
            what = victim.spoil(random)
            if not victim.is_whole() and victim.written.verify_sh().returncode != 3:
                overlooked.append(what)
            victim.mend()
    print(f"{sum(tally.refused.values()):,} times damaged, refused as")
    print(tally)
    print("".join(f"ACCEPTED by verify.sh  {what}\n" for what in overlooked), end="")
    return not tally.accepted and not overlooked


def _structured() -> bool:
    _say("structured input")
    command = (sys.executable, "-m", "pytest", "--quiet", "--hypothesis-profile", "long", *_STRUCTURED)
    return subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description="Look for input that nobody has thought of.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target, and for damage [default: 60]")
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--corpus", type=Path, help="keep what atheris finds new, and go on from there")
    parser.add_argument("--findings", type=Path, default=REPOSITORY / "dist/fuzz", help="default: dist/fuzz")
    parser.add_argument("--seed", type=int, help="of what is random here")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
