"""What a person sees who has made a mistake in a definition."""

import os
import re
from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.steps.documents.definition import read_definition
from appliance.steps.documents.lock import lock_path
from tests.support.definition_text import SERVED
from tests.support.documents import DOCS


def write(folder: Path, text: str) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def test_a_good_definition_is_read(tmp_path: Path) -> None:
    definition = read_definition(write(tmp_path, SERVED))
    assert definition.head.version == "1.0.0"
    assert [section.id for section in definition.sections] == ["weights/tiny", "images/engine"]


MISTAKES = {
    "misspelt key": ("name: small", "nmae: small", "definition-unknown-key", ":2: nmae", "did you mean 'name'?"),
    "misspelt section": ("weights:\n  tiny", "weigths:\n  tiny", "definition-unknown-key", ":5: weigths", "'weights'"),
    "misspelt key far down": (
        "    licence: CC0",
        "    license: CC0",
        "definition-unknown-key",
        ":8: weights.tiny.license",
        "'licence'",
    ),
    "misspelt serving key": (
        "max_model_len",
        "max_model_length",
        "definition-unknown-key",
        "serving.tiny.max_model_length",
        "max_model_len",
    ),
    "wrong type": ("gpus: 0", "gpus: none", "definition-value", ":14: serving.tiny.gpus", ""),
    "a number for text": (
        "description: a model",
        "description: 7",
        "definition-value",
        ":4: description",
        'in quotes: "7"',
    ),
    "version as a decimal": ("version: 1.0.0", "version: 1.0", "definition-value", ":3: version", 'in quotes: "1.0"'),
    "unsafe name": ("name: small", "name: ../x", "definition-value", ":2: name", ""),
    "unsafe version": ("version: 1.0.0", "version: 1/0", "definition-value", ":3: version", ""),
    "unsafe model name": (
        "  tiny:\n    directory",
        "  ../x:\n    directory",
        "definition-value",
        ":6: weights.../x",
        "",
    ),
    "missing key": ("version: 1.0.0\n", "", "definition-value", "version", ""),
    "no such weights": (
        "weights: tiny",
        "weights: tinny",
        "definition-reference",
        ":11: serving.tiny.weights",
        "'tiny'",
    ),
    "duplicate key": ("name: small", "name: small\nname: other", "definition-yaml", ":3", ""),
    "an anchor": ("name: small", "name: &a small", "definition-yaml", ":2", ""),
    "a tag": ("name: small", "name: !!python/name:os.system x", "definition-yaml", ":2", ""),
    "a removed vLLM option": (
        "    gpus: 0",
        "    options: {swap-space: 4}\n    gpus: 0",
        "definition-value",
        "swap-space",
        "",
    ),
    "remote code": (
        "    gpus: 0",
        "    options: {trust-remote-code: true}\n    gpus: 0",
        "definition-value",
        "trust-remote-code",
        "",
    ),
    "two sources": (
        "    directory: model",
        "    directory: model\n    wheel: {requirement: a==1, path: b}",
        "definition-value",
        "weights.tiny",
        "",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_line(mistake: str, tmp_path: Path) -> None:
    before, after, reference, where, hint = MISTAKES[mistake]
    assert before in SERVED
    with pytest.raises(BadInput) as caught:
        read_definition(write(tmp_path, SERVED.replace(before, after, 1)))
    assert caught.value.reference == reference
    assert where in caught.value.where
    assert hint in caught.value.hint


def test_an_alias_bomb_has_no_effect(tmp_path: Path) -> None:
    bomb = "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a]\n" for n in range(50))
    with pytest.raises(BadInput, match="anchors"):
        read_definition(write(tmp_path, bomb))


@pytest.mark.parametrize("text", ["", "- a\n", "just text\n", "\x00", "a: [", "---\na: 1\n---\nb: 2\n"])
def test_what_is_no_definition_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        read_definition(write(tmp_path, text))


def test_a_missing_definition_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_definition(tmp_path / "none.yaml")


def test_a_definition_of_any_size_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = write(tmp_path, SERVED)
    os.truncate(path, 1 << 40)
    with pytest.raises(BadInput, match="larger than"):
        read_definition(path)


def test_a_lock_is_no_definition(tmp_path: Path) -> None:
    assert lock_path(tmp_path / "demo.yaml") == tmp_path / "demo.lock.yaml"
    with pytest.raises(BadInput, match="lock, not a definition"):
        lock_path(tmp_path / "demo.lock.yaml")


def test_what_the_page_on_vulnerabilities_shows_is_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / "vulnerabilities.md").read_text(), re.DOTALL)
    snapshot, policy, stated, alone = blocks
    head = "schema: appliance.definition/v1\nname: a\nversion: 1.0.0\ndescription: a\n"
    (tmp_path / "a.yaml").write_text(f"{head}{snapshot}{policy}")
    (tmp_path / "b.yaml").write_text(alone)
    (tmp_path / "c.yaml").write_text(f"{head}{stated}")
    (section,) = read_definition(tmp_path / "c.yaml").sections
    assert section.content.model_dump()["vex"] == {"directory": "vex", "until": "2027-02-28"}
    definition = read_definition(tmp_path / "a.yaml")
    assert [section.id for section in definition.sections] == ["advisories/today"]
    told = definition.head.vulnerabilities
    assert told is not None
    assert (len(told.fail), told.waived[0].until) == (3, "2026-12-31")
    assert [section.id for section in read_definition(tmp_path / "b.yaml").sections] == ["advisories/today"]
