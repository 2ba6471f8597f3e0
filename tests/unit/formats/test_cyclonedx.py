"""CycloneDX documents, by the official schema and by the library of those who make it."""

import json
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.model.bom import Bom

from appliance.formats.cyclonedx import cyclonedx, listed_in
from appliance.model.documents.contents import DISTRIBUTION, OS_PACKAGE, OTHER
from appliance.model.parts import Part
from tests.support.sboms import BUNDLE, PACKAGE, TOOL, WHEN, check_cyclonedx, components

LOOKED_UP = (OS_PACKAGE, DISTRIBUTION, OTHER)


def document(part: Part = BUNDLE) -> dict[str, Any]:
    return check_cyclonedx(cyclonedx(part, WHEN, TOOL))


def found(name: str) -> dict[str, Any]:
    return next(component for component in components(document()) if component["name"] == name)


def test_everything_is_in_it_once_and_inside_of_what_holds_it() -> None:
    names = [component["name"] for component in components(document())]
    assert names == ["base", "tool", "some", "a", "inner", "owner/tiny", "config.json", "engine"]
    assert [component["name"] for component in found("some")["components"]] == ["a"]
    assert document()["metadata"]["component"]["name"] == "small"


def test_others_read_it_and_find_the_same() -> None:
    bom = Bom.from_json(document())  # type: ignore[attr-defined]
    assert bom.validate()
    assert {component.name for component in bom.components} == {"base", "some", "owner/tiny", "engine"}
    graph = {item.ref.value: {inner.ref.value for inner in item.dependencies} for item in bom.dependencies}
    assert graph["bundle"] == {"os/base", "py/some", "model/tiny", "image/engine"}
    assert graph["py/some/a-1-py3-none-any.whl"] == {"py/some/a/inner"}


def test_a_package_is_told_whole() -> None:
    assert found("tool") == {
        "type": "library",
        "bom-ref": "os/base/tool_1_all.deb",
        "name": "tool",
        "version": "1:1.0-1",
        "supplier": {"name": "Ada Lovelace <ada@example.org>"},
        "description": "a tool",
        "hashes": [{"alg": "SHA-256", "content": "1" * 64}],
        "licenses": [
            {"license": {"id": "GPL-2.0-or-later", "acknowledgement": "declared"}},
            {"license": {"name": "custom", "acknowledgement": "declared"}},
            {"license": {"name": "MIT OR ISC", "acknowledgement": "declared"}},
        ],
        "copyright": "2001 Ada\n2002 Zoë",
        "purl": "pkg:deb/debian/tool@1:1.0-1?arch=all",
        "externalReferences": [{"type": "distribution", "url": "https://example.org/pool/tool_1_all.deb"}],
        "properties": [
            {"name": "appliance:path", "value": "os/base/tool_1_all.deb"},
            {"name": "appliance:size", "value": "10"},
            {"name": "debian:source", "value": "tools"},
        ],
    }


def test_a_model_has_a_card() -> None:
    model = found("owner/tiny")
    assert model["type"] == "machine-learning-model"
    assert model["pedigree"] == {"ancestors": [{"type": "machine-learning-model", "name": "owner/base"}]}
    assert model["modelCard"] == {
        "modelParameters": {
            "task": "text-generation",
            "architectureFamily": "llama",
            "modelArchitecture": "LlamaForCausalLM",
            "datasets": [{"type": "dataset", "name": "owner/data"}],
        },
        "properties": [{"name": "tensor-elements.BF16", "value": "1024"}],
    }


def test_parts_are_read_back_without_files() -> None:
    read = listed_in(cyclonedx(BUNDLE, WHEN, TOOL)).parts
    assert [(one.artifact, one.type, one.name, one.version, one.licences) for one in read] == [
        ("os/base", "set", "base", "trixie", ()),
        ("os/base", "OS package", "tool", "1:1.0-1", ("GPL-2.0-or-later", "MIT OR ISC", "custom")),
        ("py/some", "set", "some", "sha256:5", ()),
        ("py/some", "Python distribution", "a", "1", ("MIT OR Apache-2.0",)),
        ("py/some", "other package", "inner", "", ()),
        ("model/tiny", "model", "owner/tiny", "0" * 40, ("Apache-2.0",)),
        ("image/engine", "image", "engine", "sha256:" + "4" * 64, ()),
    ]
    assert read[1].purl == "pkg:deb/debian/tool@1:1.0-1?arch=all"
    assert read[1].part == "os/base/tool_1_all.deb"


def test_packages_are_read_back_with_what_they_are_looked_up_by() -> None:
    read = listed_in(cyclonedx(BUNDLE, WHEN, TOOL))
    assert {one.ref for one in read.packages} == {one.part for one in read.parts if one.type in LOOKED_UP}
    package = read.packages[0]
    assert (package.name, package.version, package.purl) == (PACKAGE.name, PACKAGE.version, PACKAGE.purl)
    assert set(PACKAGE.facts) <= set(package.facts)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"bomFormat":"CycloneDX","bomFormat":"CycloneDX"}'])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        listed_in(data)


def test_what_has_another_form_is_passed_over() -> None:
    strange = [1, {"type": "library", "licenses": [1, {"license": 1}]}, {"type": "file"}, {"type": []}]
    (read,) = listed_in(json.dumps({"bomFormat": "CycloneDX", "components": strange}).encode()).parts
    assert (read.name, read.licences) == ("", ())


def test_it_says_how_complete_it_is() -> None:
    told = {entry["aggregate"]: entry["assemblies"] for entry in document()["compositions"]}
    assert told == {
        "complete": ["bundle", "os/base", "py/some", "model/tiny"],
        "incomplete": ["py/some/a-1-py3-none-any.whl"],
        "unknown": ["image/engine"],
    }


def test_the_same_parts_give_the_same_bytes_and_others_another_serial_number() -> None:
    assert cyclonedx(BUNDLE, WHEN, TOOL) == cyclonedx(BUNDLE, WHEN, TOOL)
    other = json.loads(cyclonedx(replace(BUNDLE, parts=(PACKAGE,)), WHEN, TOOL))
    assert other["serialNumber"] != document()["serialNumber"]
    assert document()["metadata"]["timestamp"] == WHEN
