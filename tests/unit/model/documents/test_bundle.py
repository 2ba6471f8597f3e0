"""``bundle.json`` says the same whether its files are known from SHA256SUMS or not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.model.documents.bundle import BundleIndex, parse_index
from appliance.model.documents.vulnerabilities import VulnerabilityReport
from tests.support.bundles import Recipe

DOCUMENT = Recipe().documents()["bundle.json"]
ODD: tuple[Any, ...] = (
    None,
    "",
    "..",
    "a/../b",
    "x",
    0,
    -1,
    2**53 - 1,
    0.5,
    True,
    [],
    {},
    {"path": "x", "sha256": "0" * 64, "size": 1},
)


def listed() -> dict[str, str]:
    index = json.loads(DOCUMENT)
    files = [*index.get("shared", []), *(file for artifact in index["artifacts"] for file in artifact["files"])]
    return {file["path"]: file["sha256"] for file in files}


def read(document: Any, known: dict[str, str]) -> BundleIndex | str:
    """The index, or what is wrong with it."""
    try:
        return parse_index(json.dumps(document).encode(), known)
    except ValueError as error:
        return str(error)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each holder and key in ``value``, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in [(value, key), *places(item)]]


def test_files_that_are_listed_share_what_is_known_of_them() -> None:
    known = listed()
    index = parse_index(DOCUMENT, known)
    files = [*index.shared, *(file for artifact in index.artifacts for file in artifact.files)]
    assert {file.path for file in files} == set(known)
    assert all(file.sha256 is known[file.path] for file in files)
    assert index == parse_index(DOCUMENT)


@given(st.data())
def test_whatever_is_changed_both_ways_say_the_same(data: st.DataObject) -> None:
    document = json.loads(DOCUMENT)
    for _ in range(data.draw(st.integers(1, 2))):
        holder, key = data.draw(st.sampled_from(places(document)))
        holder[key] = data.draw(st.sampled_from(ODD))
    assert read(document, listed()) == read(document, {})


@pytest.mark.parametrize("sha256", [None, "0" * 64])
def test_a_file_that_is_not_listed_is_checked(sha256: str | None) -> None:
    document = json.loads(DOCUMENT)
    document["artifacts"][0]["files"][0].update(path="a/../b", sha256=sha256)
    assert "artifacts.0.files.0." in str(read(document, listed()))


@pytest.mark.parametrize("size", [True, -1, 1.5, "1", None])
def test_a_size_is_checked_of_listed_files_too(size: Any) -> None:
    document = json.loads(DOCUMENT)
    document["artifacts"][0]["files"][0]["size"] = size
    assert "artifacts.0.files.0.size: " in str(read(document, listed()))


def test_a_key_twice_is_refused_in_a_listed_file_too() -> None:
    line = DOCUMENT.index(b'"path":')
    with pytest.raises(ValueError, match="duplicate key 'path'"):
        parse_index(DOCUMENT[:line] + b'"path": "x",' + DOCUMENT[line:], listed())


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        (BundleIndex, {"artifacts": [{}] * 1000}),
        (BundleIndex, {"shared": [{}] * 1000}),
        (BundleIndex, {"artifacts": [{"files": [{}] * 1000}]}),
        (BundleIndex, {"artifacts": [{"details": dict.fromkeys(map(str, range(1000)), 1)}]}),
        (BundleIndex, {"serving": {f"a{number}": {} for number in range(1000)}}),
        (BundleIndex, {"serving": {"a": {"options": {f"a{number}": [] for number in range(1000)}}}}),
        (VulnerabilityReport, {"vulnerabilities": [{}] * 1000}),
        (VulnerabilityReport, {"unmatched": [{}] * 1000, "waived": [{}] * 1000}),
    ],
)
def test_what_is_wrong_a_thousand_times_is_told_a_few_times(form: type[BundleIndex], wrong: dict[str, Any]) -> None:
    """Each error takes a kilobyte of memory, and a bundle that nobody has verified may have millions."""
    with pytest.raises(ValidationError) as caught:
        form.model_validate_json(json.dumps(wrong))
    assert caught.value.error_count() < 50
