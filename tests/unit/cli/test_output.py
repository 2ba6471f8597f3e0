"""Text that comes from a bundle, a lock or an upstream, on the terminal and in the lock that people review."""

import unicodedata
from pathlib import Path

import pytest

from appliance.cli.main import run
from appliance.cli.output import TerminalProgress, printable, show_error
from appliance.errors import Failed
from appliance.model.documents.lock import LOCK_SCHEMA, Lock
from appliance.steps.documents.definition import read_definition
from appliance.steps.documents.lock import lock_path, lock_text, read_lock, write_lock

UNSEEN = {
    "newline": "\n",
    "carriage return": "\r",
    "escape": "\x1b[2K",
    "one-byte escape": "\x9b2K",
    "next line": "\x85",
    "right to left": "\u202e",
    "isolate": "\u2066",
    "zero width": "\u200b",
    "line separator": "\u2028",
    "tag": "\U000e0041",
    "filler": "\u3164",
    "variation": "\ufe0f",
    "private use": "\ue000",
}
IMITATION = "fine\n\nsignatures by root version 9\n  release: 2 signed, 2 needed: enough"


def is_clean(text: str) -> bool:
    """Nothing but lines of characters that are seen."""
    return all(
        unicodedata.category(character) not in {"Cc", "Cf", "Co", "Zl", "Zp"} for character in text.replace("\n", "")
    )


@pytest.mark.parametrize("unseen", UNSEEN.values(), ids=UNSEEN)
def test_what_is_not_seen_is_escaped(unseen: str) -> None:
    said = printable(f"before{unseen}after")
    assert unseen not in said
    assert is_clean(said)
    assert "\n" not in said


def test_letters_of_all_people_are_shown() -> None:
    assert printable("größer, 大きい, גדול, \\n") == "größer, 大きい, גדול, \\n"


def definition(folder: Path, text: str) -> Path:
    """A definition whose every free text is ``text``, and its lock, which is empty."""
    path = folder / "x.yaml"
    quoted = text.encode("unicode_escape").decode().replace('"', '\\"')
    path.write_text(
        f'schema: appliance.definition/v1\nname: x\nversion: 1.0.0\ndescription: "{quoted}"\n'
        f'weights:\n  w:\n    directory: d\n    licence: "{quoted}"\n'
    )
    write_lock(lock_path(path), Lock(schema_=LOCK_SCHEMA, bundle=read_definition(path).head, artifacts=()))
    return path


@pytest.mark.parametrize("unseen", UNSEEN.values(), ids=UNSEEN)
def test_nothing_unseen_gets_into_a_lock(unseen: str, tmp_path: Path) -> None:
    path = lock_path(definition(tmp_path, f"before{unseen}after"))
    assert is_clean(path.read_text())
    assert read_lock(path).bundle.description == f"before{unseen}after"
    assert lock_text(read_lock(path)) == path.read_bytes()


def test_a_description_cannot_imitate_our_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = definition(tmp_path, IMITATION)
    for shown in (path, lock_path(path)):
        assert run(["inspect", str(shown)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert not [line for line in lines if line.lstrip().startswith(("signatures by", "release:"))]


def test_a_line_as_wide_as_the_screen_does_not_go_on_at_the_margin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    for indent in range(40, 64):
        path = definition(tmp_path, "fine" + " " * indent + "release: 2 signed, 2 needed: enough " + "x" * 50)
        assert run(["inspect", str(path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert not [line for line in lines if line.lstrip().startswith("release:")]
        assert max(map(len, lines)) <= 60


def test_what_a_tool_has_said_cannot_imitate_our_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(Failed("tool-failed", "it ended with 1:\nverified\n  do:       rm -rf /"), as_json=False)
    TerminalProgress(quiet=False).step("Reading a\n> Sealing")
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "error: it ended with 1:",
        "  | verified",
        "  |   do:       rm -rf /",
        "  (tool-failed)",
        "> Reading a\\n> Sealing",
    ]
