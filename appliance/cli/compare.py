"""``appliance compare``: two bundles' lists against each other."""

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.output import JsonOption, err, out, out_json, printable
from appliance.cli.plain import Console
from appliance.errors import Failed
from appliance.steps.compare import Comparison, Difference, File
from appliance.steps.compare import compare as compare_step

_SHOWN_FILES = 20
_KINDS = {
    "only-in-first": "only in the first",
    "only-in-second": "only in the second",
    "other-size": "other size",
    "other-bytes": "other bytes",
}


def compare(
    first: Annotated[Path, typer.Argument(metavar="DIR", help="A bundle.")],
    second: Annotated[Path, typer.Argument(metavar="DIR", help="The other, such as your own build of the same lock.")],
    as_json: JsonOption = False,
) -> None:
    """Say whether two builders got the same bundle, and which artifacts and files differ.

    It compares the two lists (SHA256SUMS), which is what signers sign, and shows of texts what differs. It needs no key
    and no root document, and verifies nothing: `appliance verify` checks files against their list. Exit code 0 means
    that the lists are the same to the byte, 1 that they are not.

    Example: `appliance compare /media/stick/release-1.0.0 dist/release-1.0.0`
    """
    found = compare_step(first, second)
    if as_json:
        out_json(_as_json(found))
    else:
        _tell(found)
    if not found.equal:
        raise typer.Exit(Failed.exit_code)


def _tell(found: Comparison) -> None:
    console = err()
    if found.equal:
        console.print(f"[green]the same:[/] {found.files} files, SHA256SUMS {found.sums[0]}")
        out("same")
        return
    console.print(f"[bold red]different:[/] {len(found.differences)} of {found.files} files")
    shown = found.differences[:_SHOWN_FILES]
    for artifact, differences in groupby(shown, key=lambda difference: difference.artifact):
        console.print(printable(artifact) if artifact else "of no artifact")
        for difference in differences:
            _show(console, difference)
    if (more := len(found.differences) - len(shown)) > 0:
        console.print(f"and {more} more files: --json has them all")
    out("different")


def _show(console: Console, difference: Difference) -> None:
    console.print(f"  {printable(difference.path)}: {_KINDS[difference.kind]}")
    for name, file in (("first", difference.first), ("second", difference.second)):
        if file:
            console.print(f"    {name + ':':<8}{file.sha256}  {_size(file)}")
    for line in difference.lines:
        console.print(f"    | {printable(line)}")


def _size(file: File) -> str:
    return "not there" if file.size is None else f"{file.size} bytes"


def _as_json(found: Comparison) -> dict[str, object]:
    return {
        "ok": True,
        "equal": found.equal,
        "sha256sums": list(found.sums),
        "files": found.files,
        "differences": [asdict(difference) for difference in found.differences],
    }
