"""``python -m tests.bench``: one run, one table, and what its figures are to reach.

Every command runs three times, in turns, so that what else the machine does hits all of
them alike; the fastest run of each is told.  All files lie in one directory, which is
removed at the end, also after Ctrl-C.
"""

import argparse
import json
import re
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from types import FrameType

from tests.bench import aims, machine
from tests.bench.aims import Results
from tests.bench.cases import LINKED, START, VERIFY, Case, cases
from tests.bench.measure import measure, own_peak
from tests.bench.stage import FILES, SMALL_BYTES, TINY_BYTES, Part, Sizes, Stage
from tests.bench.table import Row, Speeds, as_json, as_text, less
from tests.support.project import REPOSITORY


def main() -> None:
    options = _options()
    sizes = Sizes(int(options.size_gb * 1e9), int(options.one_gb * 1e9), options.small, options.tiny)
    parts = {case.part for case in _chosen(Stage(options.dir, sizes), options.only)}
    if not parts:
        sys.exit(f"no row has a name that matches {options.only!r}")
    options.dir.mkdir(parents=True, exist_ok=True)
    needed = sizes.needed(parts)
    free = shutil.disk_usage(options.dir).free
    _say(f"needs {needed / 1e9:.1f} GB below {options.dir} until it ends; {free / 1e9:.1f} GB are free")
    if free < needed:
        sys.exit("not enough space: free some, give --dir, a smaller --size-gb or --one-gb, or --only")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as folder:
            stage = Stage(Path(folder), sizes)
            facts = machine.describe(stage.folder)
            _say(f"preparing what is measured: {', '.join(sorted(parts))}")
            stage.make(parts)
            results = _run(stage, options)
    except KeyboardInterrupt:
        _say("interrupted; everything was removed")
        sys.exit(130)
    measured = _facts(results, sizes, parts, options.rounds)
    _tell(results, measured | facts | {"load when it ended": machine.load()}, options)


def _chosen(stage: Stage, pattern: str) -> list[Case]:
    return [case for case in cases(stage) if re.search(pattern, case.name)]


def _run(stage: Stage, options: argparse.Namespace) -> Results:
    rows: dict[str, Row] = {}
    all_cores: list[float] = []
    one_core: list[float] = []
    for number in range(1, options.rounds + 1):
        for case in _chosen(stage, options.only):
            _say(f"round {number} of {options.rounds}: {case.name}")
            if case.one_core:
                one_core.append(machine.openssl_speed(1))
            else:
                all_cores.append(machine.openssl_speed(machine.CORES))
            row = rows.get(case.name) or Row(
                case.name, case.amount, state=case.state, missing=case.missing, one_core=case.one_core
            )
            rows[case.name] = row if case.missing else _again(row, case, stage)
    return Results(rows, Speeds(machine.CORES, tuple(all_cores), tuple(one_core)))


def _again(row: Row, case: Case, stage: Stage) -> Row:
    for _ in range(case.repeats):
        case.before()
        run = measure(case.argv, case.cwd, stage.big.environment)
        case.after()
        _say(f"    {run.seconds:.2f} s")
        row = replace(row, runs=(*row.runs, run))
    return row


def _facts(results: Results, sizes: Sizes, parts: Collection[Part], rounds: int) -> dict[str, str]:
    amounts: dict[Part, tuple[str, str]] = {
        "weights": ("weights", f"{sizes.weights / 1e9:.2f} GB in {FILES} files"),
        "one": ("one file", f"{sizes.one / 1e9:.2f} GB"),
        "small": ("small files", f"{sizes.small:,} of {SMALL_BYTES} bytes"),
        "tiny": ("tiny files", f"{sizes.tiny:,} of {TINY_BYTES} bytes"),
    }
    facts = {
        **dict(told for part, told in amounts.items() if part in parts),
        "rounds": f"{rounds}; the fastest run is told, with the least CPU time and the most memory of all",
    }
    if linked := results.rows.get(LINKED):
        facts["build from the cache"] = f"{linked.best.written_bytes / 1e3:.0f} kB written: the files are links"
    for one_core, speeds in ((False, results.speeds.all_cores), (True, results.speeds.one_core)):
        if speeds:
            facts[f"openssl speed, {results.speeds.told(one_core=one_core)}"] = (
                f"{len(speeds)} times in between: at most {max(speeds) / 1e9:.2f} GB/s, which is 1.00; "
                f"median {statistics.median(speeds) / 1e9:.2f}, lower when the machine is busy"
            )
    return facts


def _tell(results: Results, facts: dict[str, str], options: argparse.Namespace) -> None:
    rows = list(results.rows.values())
    if {START, VERIFY} <= results.rows.keys():
        rest = less("the same without its start", results.rows[VERIFY], results.rows[START])
        rows.insert(rows.index(results.rows[VERIFY]) + 1, rest)
    found = aims.figures(results)
    if options.json:
        speeds = {"all_cores": results.speeds.all_cores, "one_core": results.speeds.one_core}
        told = {
            "facts": facts,
            "openssl_speeds": speeds,
            "rows": [as_json(row, results.speeds) for row in rows],
            "aims": aims.as_json(found),
        }
        print(json.dumps(told, indent=1))
        return
    print(as_text(rows, results.speeds, own_peak()))
    if found:
        print(aims.as_text(found))
    print("\n".join(f"- {name}: {value}" for name, value in facts.items()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench", description="Measure build, verification and import.")
    parser.add_argument("--size-gb", type=float, default=5.0, help="weights in powers of 1000 [default: 5]")
    parser.add_argument("--one-gb", type=float, default=10.0, help="the one large file [default: 10]")
    parser.add_argument("--small", type=int, default=9_000, help="small files to build from [default: 9000]")
    parser.add_argument("--tiny", type=int, default=100_000, help="tiny files to verify [default: 100000]")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each command, the best counts [default: 3]")
    parser.add_argument("--only", metavar="PATTERN", default="", help="only rows whose name this expression matches")
    parser.add_argument("--dir", type=Path, default=REPOSITORY / "dist", help="where [default: dist, as bundles]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
