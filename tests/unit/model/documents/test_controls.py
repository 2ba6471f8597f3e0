"""What we say of controls: every test and every finding that it names is there, and the page says the same."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.model.documents.controls import Control, Controls
from appliance.steps.documents.controls import read_controls
from tests.support.controls import PAGE, page

REPOSITORY = Path(__file__).parents[4]
PACKAGE = REPOSITORY / "appliance"
# What trust/threshold.py counts signatures of: it makes references of these.
COUNTED = {f"{subject}-{what}" for subject in ("root", "override") for what in ("signature", "threshold")}
# Where problems of an audit come from: itself, and what verifies bundles, logs and receipts.
SOURCES = (
    *PACKAGE.glob("steps/audit/*.py"),
    *(PACKAGE / "trust" / f"{name}.py" for name in ("cnsa", "dsse", "evidence", "override", "root", "signatures")),
    *(PACKAGE / "trust" / f"{name}.py" for name in ("statement", "sums", "verify")),
    *(PACKAGE / name for name in ("store/tree.py", "store/hashing.py", "store/log.py", "steps/log.py")),
)

CONTROLS = read_controls()
# Where an audit finds one of these, it has not seen all of a material.  Hosts are known by the log alone.
UNSEEN = {
    "bundle": "bundle-refused",
    "log": "log-damaged",
    "host": "log-damaged",
    "receipt": "evidence-damaged",
    "head": "evidence-damaged",
    "own-key": "evidence-damaged",
    "snapshot": "advisories-unreadable",
}


def each(control: Control) -> str:
    return control.id


def functions(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("control", CONTROLS.controls, ids=each)
def test_every_test_that_shows_a_control_is_there(control: Control) -> None:
    for name in control.tests:
        file, _, function = name.partition("::")
        assert function in functions(REPOSITORY / file), name


def words() -> set[str]:
    """Every text of our code that could be a reference."""
    trees = (ast.parse(module.read_text()) for module in PACKAGE.rglob("*.py"))
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_finding_that_speaks_against_a_control_can_be_made() -> None:
    named = {one for control in CONTROLS.controls for one in CONTROLS.references(control)}
    assert named - words() - COUNTED == set()
    used = {check for control in CONTROLS.controls for check in control.checks}
    assert set(CONTROLS.groups) - used == set()


def problems(module: Path) -> Iterator[str]:
    """References of the problems and refusals that a module makes."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"problem", "finding", "NotTrusted"} and node.args:
            texts = (one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant))
            yield from (text for text in texts if isinstance(text, str))


def test_every_problem_that_an_audit_finds_speaks_against_a_control() -> None:
    made = COUNTED | {reference for module in SOURCES for reference in problems(module)}
    named = {one for control in CONTROLS.controls for one in CONTROLS.references(control)}
    assert len(made) > 40
    assert made - named == set()


@pytest.mark.parametrize("control", [one for one in CONTROLS.controls if one.needs], ids=each)
def test_nothing_is_satisfied_of_which_a_part_could_not_be_seen(control: Control) -> None:
    assert {UNSEEN[need] for need in control.needs if need != "base"} <= set(control.checks)
    assert "host" not in control.needs or "log" in control.needs


def test_controls_are_in_their_order() -> None:
    def place(control: Control) -> tuple[str, int, int]:
        family, number, enhancement = re.fullmatch(r"([a-z]+)-(\d+)(?:\.(\d+))?", control.id).groups()  # type: ignore[union-attr]
        return family, int(number), int(enhancement or 0)

    assert list(CONTROLS.controls) == sorted(CONTROLS.controls, key=place)


def test_the_page_says_the_same() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(CONTROLS), "run: make controls"


def as_data() -> Any:
    return json.loads(CONTROLS.model_dump_json(by_alias=True))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: data["controls"].append(data["controls"][0]), "there twice"),
        (lambda data: data["controls"][0].update(also={"iso": ["A.5"]}), "no standard is called iso"),
        (lambda data: data["controls"][0].update(needs=["bundle"]), "needs and checks belong together"),
        (lambda data: data["controls"][0].update(needs=["hope"], checks=["demo-key"]), "needs"),
        (lambda data: data["controls"][0].update(tests=[]), "tests"),
        (lambda data: data["controls"][0].update(id="AC-3"), "id"),
        (lambda data: data["controls"][0].update(more="x"), "more"),
    ],
)
def test_what_contradicts_itself_is_refused(change: Any, what: str) -> None:
    data = as_data()
    change(data)
    with pytest.raises(ValidationError, match=what):
        Controls.model_validate_json(json.dumps(data))
