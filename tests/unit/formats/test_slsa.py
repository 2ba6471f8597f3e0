"""Provenance, read back from what a build writes."""

import copy
import json
from typing import Any

import pytest

from appliance.formats.slsa import provenance_in
from tests.support.known import bundle

WRITTEN: dict[str, Any] = json.loads(bundle().files["evidence/provenance.json"])


def test_it_is_read_as_it_was_written() -> None:
    told = provenance_in(json.dumps(WRITTEN).encode())
    assert told.builder.startswith("urn:appliance:builder:")
    assert told.build_type == "urn:appliance:build:v1"
    assert told.definition == WRITTEN["predicate"]["buildDefinition"]["externalParameters"]["digest"]["sha256"]
    assert told.inputs == len(WRITTEN["predicate"]["buildDefinition"]["resolvedDependencies"])


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"predicateType":"https://slsa.dev/provenance/v0.2"}'])
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        provenance_in(data)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("predicate", "predicate is missing, or is no JSON object"),
        ("predicate/buildDefinition/resolvedDependencies", "resolvedDependencies is not a list"),
        ("predicate/buildDefinition/externalParameters/digest/sha256", "sha256 is missing, empty or no text"),
        ("predicate/runDetails/builder/id", "id is missing, empty or no text"),
    ],
)
def test_what_has_another_form_is_refused_with_its_place(path: str, what: str) -> None:
    changed = copy.deepcopy(WRITTEN)
    *folders, last = path.split("/")
    place = changed
    for folder in folders:
        place = place[folder]
    place[last] = 1
    with pytest.raises(ValueError, match=what):
        provenance_in(json.dumps(changed).encode())
