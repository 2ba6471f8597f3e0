"""What definitions share: where an included file may lie, what may be in it, and what a person sees who is mistaken."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.model.limits import MAX_INCLUDES, MAX_YAML
from appliance.steps.documents.definition import Definition, read_definition
from tests.support.definition_text import ENGINE, MODEL

DEFINITION = MODEL.replace(
    "weights:\n",
    "include:\n  - shared parts/engine.yaml\n  - shared parts/more/models.yaml\nweights:\n",
    1,
)
INCLUDED = f"# The engine.\nschema: appliance.include/v1\n{ENGINE}"
MODELS = """\
schema: appliance.include/v1
weights:
  large:
    directory: models/large
    licence: MIT
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "with space"
    (folder / "shared parts/more").mkdir(parents=True)
    (folder / "small.yaml").write_text(DEFINITION)
    (folder / "shared parts/engine.yaml").write_text(INCLUDED)
    (folder / "shared parts/more/models.yaml").write_text(MODELS)
    return folder / "small.yaml"


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def places(definition: Definition) -> dict[str, str]:
    return {
        section.id: f"{section.file.path.relative_to(definition.path.parent)}:{section.line}"
        for section in definition.sections
    }


def refused(path: Path) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read_definition(path)
    return caught.value


def test_each_artifact_knows_the_file_and_the_line_it_stands_in(path: Path) -> None:
    assert places(read_definition(path)) == {
        "weights/tiny": "small.yaml:9",
        "weights/large": "shared parts/more/models.yaml:3",
        "images/engine": "shared parts/engine.yaml:4",
    }


def test_what_a_source_refuses_is_found_in_the_included_file(path: Path) -> None:
    *_, engine = read_definition(path).sections
    there = path.parent / "shared parts/engine.yaml"
    assert engine.place("registry.example/engine:1") == f"{there}:6: images.engine.registry.image"


def test_an_artifact_is_the_same_wherever_it_stands(path: Path) -> None:
    included = read_definition(path)
    whole = path.with_name("whole.yaml")
    whole.write_text(
        DEFINITION.replace("include:\n  - shared parts/engine.yaml\n  - shared parts/more/models.yaml\n", "").replace(
            "serving:", "".join(f"{line}\n" for line in MODELS.splitlines()[2:]) + "serving:"
        )
        + "".join(f"{line}\n" for line in INCLUDED.splitlines()[2:])
    )
    written = read_definition(whole)
    assert [(section.id, section.digest) for section in included.sections] == [
        (section.id, section.digest) for section in written.sections
    ]
    assert included.head == written.head
    assert written.included == ()


def test_included_files_are_known_by_what_sha256sum_says(path: Path) -> None:
    # printf ... | sha256sum, of MODELS and INCLUDED
    assert {file.path: file.sha256 for file in read_definition(path).included} == {
        "shared parts/engine.yaml": "b9ef15bc74f3355ff52aa5a1a730f3af7029fb78f362664512c991dbf1cab78f",
        "shared parts/more/models.yaml": "888541e9c69b726524a0028284ad7051301d7ebd1b522d88e56527984a1c6e5c",
    }


def _link(file: Path) -> None:
    file.rename(file.with_suffix(".elsewhere"))
    file.symlink_to(file.with_suffix(".elsewhere"))


def _link_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))
    file.parent.symlink_to("elsewhere")


def _fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (Path.unlink, "is missing"),
        (_link, "not an ordinary file"),
        (_link_folder, "is a link, or is behind one"),
        (_fifo, "not an ordinary file"),
        (_folder, "not an ordinary file"),
        (lambda file: os.truncate(file, MAX_YAML + 1), f"larger than {MAX_YAML} bytes"),
    ],
    ids=["missing", "a link", "behind a link", "a FIFO", "a directory", "too large"],
)
def test_what_is_no_file_below_the_definition_is_not_read(
    happens: Callable[[Path], None], said: str, path: Path
) -> None:
    happens(path.parent / "shared parts/more/models.yaml")
    error = refused(path)
    assert error.reference == "include-unreadable"
    assert "shared parts/more/models.yaml" in error.what
    assert said in error.what
    assert error.where == f"{path}:7: include.1"


@pytest.mark.parametrize(
    "given", ["/etc/engine.yaml", "../engine.yaml", "shared/../../engine.yaml", "./engine.yaml", "a//b.yaml", '""']
)
def test_no_path_leads_out(given: str, path: Path) -> None:
    edit(path, "shared parts/more/models.yaml", given)
    error = refused(path)
    assert (error.reference, error.where) == ("definition-value", f"{path}:7: include.1")
    assert "below the definition's directory" in error.what


# What is written where (the definition, or models.yaml), the reference, the place, and what is said.
MISTAKES = {
    "no list": (
        "small.yaml",
        "include:\n  - shared parts/engine.yaml\n  - shared parts/more/models.yaml",
        "include: shared parts/engine.yaml",
        "definition-value",
        "small.yaml:5: include",
        "is not a list",
    ),
    "twice": (
        "small.yaml",
        "more/models.yaml",
        "engine.yaml",
        "definition-duplicate",
        "small.yaml:7: include.1",
        "shared parts/engine.yaml is included twice",
    ),
    "too many": (
        "small.yaml",
        "  - shared parts/more/models.yaml",
        "  - x.yaml\n" * MAX_INCLUDES,
        "definition-value",
        "small.yaml:5: include",
        f"at most {MAX_INCLUDES}",
    ),
    "misspelt": (
        "small.yaml",
        "include:",
        "includes:",
        "definition-unknown-key",
        "small.yaml:5: includes",
        "'includes'",
    ),
    "one level": (
        "shared parts/more/models.yaml",
        "weights:",
        "include: [x.yaml]\nweights:",
        "include-nested",
        "shared parts/more/models.yaml:2: include",
        "cannot include another",
    ),
    "a name": (
        "shared parts/more/models.yaml",
        "weights:",
        "name: other\nweights:",
        "include-unknown-key",
        "shared parts/more/models.yaml:2: name",
        "can hold only artifacts",
    ),
    "serving": (
        "shared parts/more/models.yaml",
        "weights:",
        "serving: {}\nweights:",
        "include-unknown-key",
        "shared parts/more/models.yaml:2: serving",
        "can hold only artifacts",
    ),
    "another kind of file": (
        "shared parts/more/models.yaml",
        "include/v1",
        "definition/v1",
        "include-value",
        "shared parts/more/models.yaml:1: schema",
        "'appliance.include/v1'",
    ),
    "no schema": (
        "shared parts/more/models.yaml",
        "schema: appliance.include/v1\n",
        "",
        "include-value",
        "shared parts/more/models.yaml:1: schema",
        "'schema' is missing",
    ),
    "a misspelt kind": (
        "shared parts/more/models.yaml",
        "weights:",
        "weigths:",
        "include-unknown-key",
        "shared parts/more/models.yaml:2: weigths",
        "unknown key 'weigths'",
    ),
    "a misspelt key": (
        "shared parts/more/models.yaml",
        "licence",
        "license",
        "include-unknown-key",
        "shared parts/more/models.yaml:5: weights.large.license",
        "unknown key 'license'",
    ),
    "an unsafe name": (
        "shared parts/more/models.yaml",
        "large:",
        "../x:",
        "include-value",
        "shared parts/more/models.yaml:3: weights.../x",
        "not a safe name",
    ),
    "no mapping": (
        "shared parts/more/models.yaml",
        MODELS,
        "- a\n",
        "include-type",
        "shared parts/more/models.yaml:1",
        "a mapping of keys",
    ),
    "an anchor": (
        "shared parts/more/models.yaml",
        "large:",
        "large: &a",
        "include-yaml",
        "shared parts/more/models.yaml:3",
        "anchors",
    ),
    "one artifact in the definition and in an included file": (
        "shared parts/more/models.yaml",
        "large:",
        "tiny:",
        "include-duplicate",
        "shared parts/more/models.yaml:3: weights.tiny",
        "weights/tiny is already in {folder}/small.yaml:9",
    ),
    "one artifact in two included files": (
        "shared parts/more/models.yaml",
        "weights:",
        "images:\n  engine: {registry: {image: registry.example/other:1}, licence: MIT}\nweights:",
        "include-duplicate",
        "shared parts/more/models.yaml:3: images.engine",
        "images/engine is already in {folder}/shared parts/engine.yaml:4",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_file_and_line(mistake: str, path: Path) -> None:
    file, before, after, reference, where, said = MISTAKES[mistake]
    edit(path.parent / file, before, after)
    error = refused(path)
    assert (error.reference, error.where) == (reference, f"{path.parent}/{where}")
    assert said.format(folder=path.parent) in error.what


def test_an_included_file_alone_is_no_definition(path: Path) -> None:
    file = path.parent / "shared parts/engine.yaml"
    error = refused(file)
    assert (error.reference, error.where) == ("definition-is-include", f"{file}:2: schema")


def test_a_definition_does_not_include_itself(path: Path) -> None:
    edit(path, "shared parts/more/models.yaml", "small.yaml")
    assert refused(path).reference == "include-nested"


def test_what_a_model_needs_and_no_file_has_is_missed_in_the_definition(path: Path) -> None:
    edit(path.parent / "shared parts/engine.yaml", "engine:", "engin:")
    error = refused(path)
    assert (error.reference, error.where) == ("definition-reference", f"{path}:15: serving.tiny.image")
    assert "'engin'" in error.hint
