"""``appliance compare``: whether two builders got the same bundle, as people and programs see it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.main import run
from tests.support.bundles import FILES, Recipe

MODEL = "models/tiny/model.safetensors"
CONFIG = "models/tiny/config.json"
BUILT = {**FILES, CONFIG: b'{"dtype":"float32","layers":[1,2]}', "evidence/lock.yaml": b"a: 1\nb: 2\nc: 3\n"}

Compare = Callable[..., Any]


@pytest.fixture
def compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Compare:
    """What programs are told of a bundle of ``BUILT`` and one with other files; the exit code fits."""

    def compare(other: Mapping[str, bytes], **changes: Any) -> Any:
        first = Recipe(files=BUILT).write(tmp_path / "one").path
        second = Recipe(files=other).but(**changes).write(tmp_path / "other").path
        code = run(["compare", str(first), str(second), "--json"])
        found = json.loads(capsys.readouterr().out)
        assert code == (0 if found["equal"] else 1)
        return found

    return compare


def without(path: str) -> dict[str, bytes]:
    return {name: data for name, data in BUILT.items() if name != path}


def the(found: Any, path: str) -> Any:
    """The only difference that has this path."""
    (difference,) = (one for one in found["differences"] if one["path"] == path)
    return difference


def test_the_same_files_are_the_same_whoever_signed_them_and_when(compared: Compare) -> None:
    found = compared(
        BUILT, signers=(), statement=lambda value: value["predicate"].update(created="2026-01-01T00:00:00Z")
    )
    assert (found["equal"], found["differences"], found["files"]) == (True, [], len(BUILT) + 2)
    assert found["sha256sums"][0] == found["sha256sums"][1]


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        ({**BUILT, MODEL: BUILT[MODEL][:-1] + b"x"}, "other-bytes"),
        ({**BUILT, MODEL: BUILT[MODEL] + b"x"}, "other-size"),
        (without(MODEL), "only-in-first"),
    ],
)
def test_a_file_that_differs_is_named_with_its_artifact_and_both_digests(
    compared: Compare, other: Mapping[str, bytes], kind: str
) -> None:
    found = compared(other)
    assert {one["path"] for one in found["differences"]} == {MODEL, "bundle.json"}
    difference = found["differences"][0]  # what follows from it comes later
    assert (difference["path"], difference["artifact"], difference["kind"]) == (MODEL, "weights/tiny", kind)
    assert difference["first"]["size"] == len(BUILT[MODEL])
    if MODEL in other:
        assert difference["second"]["size"] == len(other[MODEL])
        assert difference["first"]["sha256"] != difference["second"]["sha256"]
    else:
        assert difference["second"] is None
    assert difference["lines"] == []


def test_a_file_that_only_the_other_has_is_named(compared: Compare) -> None:
    difference = the(compared({**BUILT, "models/tiny/more.json": b"{}"}), "models/tiny/more.json")
    assert (difference["kind"], difference["artifact"]) == ("only-in-second", "weights/tiny")


def test_of_a_text_what_differs_is_shown(compared: Compare) -> None:
    difference = the(compared({**BUILT, "evidence/lock.yaml": b"a: 1\nb: 9\nc: 3\n"}), "evidence/lock.yaml")
    assert difference["lines"] == ["-b: 2", "+b: 9"]


def test_a_line_that_begins_with_two_dashes_is_shown(compared: Compare) -> None:
    difference = the(compared({**BUILT, "evidence/lock.yaml": b"a: 1\n-- x\n@@ y\nc: 3\n"}), "evidence/lock.yaml")
    assert difference["lines"] == ["-b: 2", "+-- x", "+@@ y"]


def test_json_in_one_line_is_compared_value_by_value(compared: Compare) -> None:
    difference = the(compared({**BUILT, CONFIG: b'{"dtype":"float16","layers":[1,2]}'}), CONFIG)
    assert difference["lines"] == ['- "dtype": "float32",', '+ "dtype": "float16",']


def test_a_long_difference_is_cut(compared: Compare) -> None:
    difference = the(compared({**BUILT, "evidence/lock.yaml": b"new\n" * 50}), "evidence/lock.yaml")
    assert len(difference["lines"]) == 13
    assert difference["lines"][-1] == "and 41 more lines"


def test_that_more_differs_than_was_compared_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"line {number}" for number in range(5000)]
    other = ["new", *lines[1:4000], "also new", *lines[4001:]]
    paths = []
    for name, text in (("one", lines), ("other", other)):
        files = {**BUILT, "evidence/lock.yaml": "\n".join(text).encode()}
        paths.append(str(Recipe(files=files).write(tmp_path / name).path))
    assert run(["compare", *paths, "--json"]) == 1
    found = the(json.loads(capsys.readouterr().out), "evidence/lock.yaml")
    assert found["lines"] == ["-line 0", "+new", "and more lines"]


def test_a_document_that_is_not_the_listed_one_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = Recipe(files=BUILT).write(tmp_path / "one").path
    second = Recipe(files={**BUILT, "evidence/lock.yaml": b"b: 9\n"}).write(tmp_path / "other").path
    (second / "evidence/lock.yaml").write_bytes(b"b: 8\n")
    assert run(["compare", str(first), str(second), "--json"]) == 1
    assert the(json.loads(capsys.readouterr().out), "evidence/lock.yaml")["lines"] == []


def test_people_see_the_same_and_nothing_that_steers_their_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Recipe(files=BUILT).write(tmp_path / "one").path
    second = Recipe(files={**BUILT, "evidence/lock.yaml": b"a: 1\n[red]\x1b[2J\nc: 3\n"}).write(tmp_path / "other").path
    assert run(["compare", str(first), str(second)]) == 1
    said = capsys.readouterr()
    assert said.out == "different\n"
    assert f"different: 2 of {len(BUILT) + 2} files" in said.err
    assert "  evidence/lock.yaml: other size" in said.err
    assert "    | +[red]\\x1b[2J" in said.err
    assert run(["compare", str(first), str(Recipe(files=BUILT).write(tmp_path / "third").path)]) == 0
    assert capsys.readouterr().out == "same\n"


def test_a_bundle_whose_index_is_damaged_is_compared_without_artifacts(compared: Compare) -> None:
    found = compared({**BUILT, MODEL: b"x"}, index_bytes=lambda data: data + b"}")
    assert the(found, MODEL)["artifact"] == "weights/tiny", "the first one's index is enough"


@pytest.mark.parametrize("made", ["nothing", "file", "empty", "unsorted"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], made: str) -> None:
    first = Recipe(files=BUILT).write(tmp_path / "one").path
    other = tmp_path / "other"
    if made == "file":
        other.write_bytes(b"")
    elif made != "nothing":
        other.mkdir()
        (other / "SHA256SUMS").write_bytes(b"" if made == "empty" else f"{'0' * 64}  b\n{'0' * 64}  a\n".encode())
    assert run(["compare", str(first), str(other), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["where"].startswith(str(other))


def test_a_bundle_is_not_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = Recipe(files=BUILT).write(tmp_path / "one").path
    (tmp_path / "link").symlink_to(first)
    assert run(["compare", str(first), str(tmp_path / "link")]) == 2
    assert "compared with itself" in capsys.readouterr().err
