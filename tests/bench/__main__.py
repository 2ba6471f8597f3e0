"""``python -m tests.bench``: one run, one table.

Every command runs three times, in turns, so that what else the machine does hits all of
them alike; the fastest run of each is told.  All files lie in one directory, which is
removed at the end, also after Ctrl-C.
"""

import argparse
import json
import shutil
import signal
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import FrameType

from tests.bench import machine
from tests.bench.cases import LINKED, START, VERIFY, Case, cases
from tests.bench.measure import measure, own_peak
from tests.bench.stage import COPIES, FILES, Stage
from tests.bench.table import Row, as_json, as_text, less
from tests.support.project import REPOSITORY

_SPARE = 1_000_000_000  # bytes: model_signing and what it needs, and many small files


def main() -> None:
    options = _options()
    size = int(options.size_gb * 1e9)
    options.dir.mkdir(parents=True, exist_ok=True)
    needed = COPIES * size + _SPARE
    free = shutil.disk_usage(options.dir).free
    _say(f"needs {needed / 1e9:.1f} GB below {options.dir} until it ends; {free / 1e9:.1f} GB are free")
    if free < needed:
        sys.exit("not enough space: free some, give --dir, or a smaller --size-gb")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as folder:
            _run(Path(folder), size, options)
    except KeyboardInterrupt:
        _say("interrupted; everything was removed")
        sys.exit(130)


def _run(folder: Path, size: int, options: argparse.Namespace) -> None:
    described = machine.describe(folder)
    _say(f"preparing {FILES} files of {size / FILES / 1e9:.2f} GB and model_signing")
    stage = Stage.make(folder, size)
    rows: dict[str, Row] = {}
    speeds = []
    for number in range(1, options.rounds + 1):
        for case in cases(stage):
            _say(f"round {number} of {options.rounds}: {case.name}")
            speeds.append(machine.openssl_speed())
            row = rows.get(case.name) or Row(case.name, case.amount, (), case.state, case.missing)
            rows[case.name] = row if case.missing else _again(row, case, stage)
    rest = less("the same without its start", rows[VERIFY], rows[START])
    table = [line for row in rows.values() for line in ([row, rest] if row.name == VERIFY else [row])]
    facts = {
        "weights": f"{stage.amount / 1e9:.2f} GB in {FILES} files; the fastest of {options.rounds} runs is told",
        "build from the cache": f"{rows[LINKED].best.written_bytes / 1e3:.0f} kB written; the weights, now in the "
        f"cache and in two bundles, have {stage.weights[0].stat().st_nlink} links each",
        "openssl speed": f"{len(speeds)} times in between: at most {max(speeds) / 1e9:.2f} GB/s, which is 1.00; "
        f"median {statistics.median(speeds) / 1e9:.2f}, lower when the machine is busy",
        **described,
        "load when it ended": machine.load(),
    }
    if options.json:
        rows_told = [as_json(row, max(speeds)) for row in table]
        print(
            json.dumps({"facts": facts, "bytes": stage.amount, "openssl_speeds": speeds, "rows": rows_told}, indent=1)
        )
        return
    print(as_text(table, max(speeds), own_peak()))
    print("\n".join(f"- {name}: {value}" for name, value in facts.items()))


def _again(row: Row, case: Case, stage: Stage) -> Row:
    case.before()
    run = measure(case.argv, case.cwd, stage.big.environment)
    case.after()
    _say(f"    {run.seconds:.2f} s")
    return replace(row, runs=(*row.runs, run))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench", description="Measure build and verification.")
    parser.add_argument("--size-gb", type=float, default=5.0, help="weights in powers of 1000 [default: 5]")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each command, the best counts [default: 3]")
    parser.add_argument("--dir", type=Path, default=REPOSITORY / "dist", help="where [default: dist, as bundles]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
