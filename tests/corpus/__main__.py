"""``python -m tests.corpus``: make the corpus, or let a verifier judge it."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from tests.corpus.builder.build import write
from tests.corpus.builder.cases import Case, Verifier, load_cases
from tests.corpus.builder.content import write_content
from tests.corpus.builder.disk import CannotBuild
from tests.corpus.verdicts import Command, Verdict, as_table, judge_all
from tests.support.bundles import Written

_INDEX = "cases.json"


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0 when everything was judged as it has to be, 1 when not, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    cases = [case for case in load_cases().values() if _is_wanted(case, options.cases)]
    if not cases:
        return _wrong("there is no such case or group: look into tests/corpus/cases")
    if options.verifier is None:
        return _make(cases, options.out)
    try:
        command = Command.parse(options.verifier, options.timeout, options.speaks_as, any_code=options.any_code)
    except ValueError as error:
        return _wrong(str(error))
    asked = [case for case in cases if case.alone and not case.told(command.speaks_as).not_asked]
    if len(asked) < len(cases):
        _say(f"{len(cases) - len(asked)} cases need more than a bundle and a root document, and are left out")
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        verdicts = _judge(command, asked, Path(folder), options.jobs)
    _tell(verdicts, as_json=options.json)
    return int(any(verdict.finding != "right" for verdict in verdicts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.corpus", description="The attack corpus: see tests/corpus/README.md."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="DIR", help="make all cases below this new directory")
    what.add_argument("--verifier", metavar="COMMAND", help="a command with {bundle} and {root}, run without a shell")
    parser.add_argument("--json", action="store_true", help="print every verdict as JSON instead of the table")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="verifiers at once [default: one a core]")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for each case [default: 60]")
    whose = "whose verdicts are expected [default: verify]"
    parser.add_argument("--speaks-as", choices=get_args(Verifier), default="verify", help=whose)
    parser.add_argument("--any-code", action="store_true", help="any exit code but 0 is a refusal")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="groups or single cases [default: all]")
    return parser


def _is_wanted(case: Case, names: Sequence[str]) -> bool:
    return not names or case.id in names or case.group in names


def _made(cases: Sequence[Case], folder: Path) -> Iterator[tuple[Case, Written]]:
    for case in cases:
        try:
            yield case, write(case, folder / case.id)
        except CannotBuild as error:
            _say(f"{case.id} cannot be made by this user: {error}")


def _make(cases: Sequence[Case], out: Path) -> int:
    try:
        out.mkdir(parents=True)
    except OSError as error:
        return _wrong(f"{out}: {error.strerror}")
    entries = []
    for case, written in _made([case for case in cases if case.alone], out):
        entries.append(_entry(case, out, bundle=written.path, root=written.trusted))
    for case in cases:
        if case.subject != "bundle":
            entries.append(_entry(case, out, file=write_content(case, out / case.id)))
    (out / _INDEX).write_text(json.dumps(entries, indent=1) + "\n")
    print(out)
    return 0


def _entry(case: Case, out: Path, **paths: Path) -> dict[str, Any]:
    return {
        "case": case.id,
        "subject": case.subject,
        "what": case.what,
        "imitates": list(case.imitates),
        "rows": list(case.rows),
        "expected": case.verdict.exit_code,
        "reference": case.verdict.refused,
        **{name: str(path.relative_to(out)) for name, path in paths.items()},
    }


def _judge(command: Command, cases: Sequence[Case], folder: Path, jobs: int) -> list[Verdict]:
    verdicts = []
    for verdict in judge_all(command, _made(cases, folder / "cases"), folder / "homes", jobs):
        verdicts.append(verdict)
        if sys.stderr.isatty():
            print(f"\r{len(verdicts)} of {len(cases)}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return verdicts


def _tell(verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([verdict.as_dict() for verdict in verdicts], indent=1))
    else:
        print(as_table(verdicts))


def _wrong(problem: str) -> int:
    _say(f"error: {problem}")
    return 2


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
