"""``python -m tests.corpus``, as somebody with a verifier of their own calls it."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.corpus.__main__ import main
from tests.corpus.builder.cases import load_cases

SMALL = ("good/one-signer", "good/two-signers", "signature/none", "tamper/cut", "list/empty")


def verifier(script: str) -> str:
    """A verifier in sh, which is told of the bundle and the root document."""
    return f"sh -c {shlex.quote(script)} sh {{bundle}} {{root}}"


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return {verdict["case"]: verdict["finding"] for verdict in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize(
    ("script", "good", "bad"),
    [
        ("exit 0", "right", "accepted"),
        ("exit 3", "refused", "right"),
        ("exit 1", "refused", "other code"),
        ("kill -KILL $$", "ended badly", "ended badly"),
        ("sleep 60", "ended badly", "ended badly"),
        ("touch $1/new; exit 3", "wrote", "wrote"),
        ("touch ~/new; exit 3", "wrote", "wrote"),
        ("touch $TMPDIR/new; exit 3", "refused", "right"),
        ("chmod 400 $2; exit 3", "wrote", "wrote"),
    ],
)
def test_what_a_verifier_does_wrong_is_told(
    script: str, good: str, bad: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--verifier", verifier(script), "--json", "--timeout", "0.5", *SMALL])
    assert code == 1
    expected = {name: good if load_cases()[name].good else bad for name in SMALL}
    assert findings(capsys) == expected


def test_a_verifier_without_exit_codes_of_ours_can_be_right(capsys: pytest.CaptureFixture[str]) -> None:
    """This one knows every bundle that it may accept, which is all that a right one would do."""
    script = "case $1 in */good/*) exit 0 ;; *) exit 1 ;; esac"
    assert main(["--verifier", verifier(script), "--any-code", *SMALL]) == 0
    assert main(["--verifier", verifier(script), *SMALL]) == 1
    table = capsys.readouterr().out
    assert "tamper/cut: exit code 1, expected 3 (CWE-354)" in table


def test_the_table_tells_what_was_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--verifier", verifier("exit 0"), *SMALL]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "group",
        "cases",
        "right",
        "accepted",
        "wrote",
        "refused",
        "ended",
        "badly",
        "other",
        "code",
    ]
    assert "all            5      2         3      .        .            .           ." in lines
    assert "accepted what has to be refused:" in lines
    assert "  signature/none: exit code 0, expected 3 (CVE-2026-35205, CWE-636)" in lines


def test_our_own_verifier_is_one_like_others(capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{shlex.quote(sys.executable)} -m appliance verify {{bundle}} --root {{root}}"
    assert main(["--verifier", command, "--timeout", "600", *SMALL]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--verifier", "verify {bundle}"],
        ["--verifier", "/nowhere/verify {bundle} {root}"],
        ["--verifier", "sh {bundle} {root}", "no-such-group"],
    ],
)
def test_a_wrong_call_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_all_cases_can_be_had_as_directories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a corpus"
    assert main(["--out", str(out), "signature", "wheel", "weights", "race"]) == 0
    entries = json.loads((out / "cases.json").read_bytes())
    expected = {case.id for case in load_cases().values() if case.group in ("signature", "wheel", "weights")}
    assert {entry["case"] for entry in entries} == expected  # what needs somebody who acts meanwhile is no directory
    for entry in entries:
        assert {key for key in ("bundle", "root", "file") if (out / entry.get(key, "nothing")).exists()} in (
            {"bundle", "root"},
            {"file"},
        )
    assert main(["--out", str(out)]) == 2  # nothing is written into what is there
