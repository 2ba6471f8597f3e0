"""The published JSON Schemas: made from our types, and saying what our types say.

jsonschema comes with ansible-lint, which needs it too.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import ValidationError

from appliance.model.base import Strict
from appliance.model.documents.bundle import BundleIndex, Statement
from appliance.model.documents.cost import CostScenario
from appliance.model.documents.root import RootDocument
from appliance.model.documents.vulnerabilities import VulnerabilityReport
from appliance.trust.root import parse_root
from tests.support.bundles import FIRST, FIRST_PQ, SECOND, Recipe, root_document
from tests.support.costs import scenario
from tests.support.schemas import SCHEMAS, as_text, schemas

_VULNERABILITIES = {
    **{"schema": "appliance.vulnerabilities/v1", "advisories": "today", "taken": "2026-11-20T12:55:00Z"},
    **{"matched": 2, "unread": 0, "unmatched": [{"why": "no source of the snapshot covers it", "parts": 1}]},
    "vulnerabilities": [
        {
            **{
                "part": "wheels/some/a.whl",
                "package": "a",
                "version": "1",
                "id": "CVE-2026-99999",
                "aliases": ["PYSEC-1"],
            },
            **{"summary": "a hole", "status": "affected", "severity": "high", "fixed": "2", "kev": True, "epss": "0.1"},
        }
    ],
    "waived": [
        {"id": "CVE-2026-99999", "part": "wheels/*", "reason": "Never used. Ada.", "until": "2026-12-31", "met": 1}
    ],
}
_OTHERS: tuple[Any, ...] = (None, "", "x y", "..", "\n", 0, -1, 2**53, 0.5, True, [], {}, [0], {"x": 0})


def test_they_are_those_of_the_types() -> None:
    published = {path.name: path.read_text() for path in SCHEMAS.glob("*.json")}
    assert published == {name: as_text(schema) for name, schema in schemas().items()}, "run: make schemas"


@pytest.mark.parametrize("name", schemas())
def test_nothing_unknown_passes(name: str) -> None:
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    for part in _parts(schema):
        if part.get("type") == "object" and "description" in part:  # those without are maps
            assert part["additionalProperties"] is False


def _documents() -> dict[str, tuple[type[Strict], Any]]:
    files = Recipe().documents()
    root = parse_root(root_document(1, (FIRST, SECOND, FIRST_PQ), threshold=1), "").document
    return {
        "statement": (Statement, json.loads(files["statement.json"])),
        "bundle": (BundleIndex, json.loads(files["bundle.json"])),
        "root": (RootDocument, json.loads(root.canonical())),
        "cost": (CostScenario, scenario()),
        "vulnerabilities": (VulnerabilityReport, _VULNERABILITIES),
    }


@pytest.mark.parametrize("name", _documents())
def test_they_refuse_what_the_types_refuse(name: str) -> None:
    """Whatever is changed or left out.  What spans several fields only the types know."""
    form, document = _documents()[name]
    validator = Draft202012Validator(schemas()[f"{name}.schema.json"])
    assert validator.is_valid(document)
    differ = [
        (where, other)
        for where, other, changed in _changed(document)
        if validator.is_valid(changed) != _fits(form, changed) and not _is_beyond_a_schema(name, where, other)
    ]
    assert differ == []


def _is_beyond_a_schema(name: str, where: str, other: Any) -> bool:
    """The rules of paths, which keys roles name, that a reason has words, that a load takes no less power than none."""
    match name:
        case "bundle":
            return where.endswith("/path")
        case "root":
            return where.startswith(("/keys/", "/roles/"))
        case "vulnerabilities":
            return where.endswith("/reason")
        case _:
            return where == "/power/watts_busy" and other in (0, 0.5)


def _fits(form: type[Strict], value: Any) -> bool:
    try:
        form.model_validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True


def _changed(document: Any) -> Iterator[tuple[str, Any, Any]]:
    for where, holder, key in list(_places(document, "")):
        before = holder[key]
        for other in _OTHERS:
            holder[key] = other
            yield where, other, copy.deepcopy(document)
        holder[key] = before
        if isinstance(holder, dict):
            del holder[key]
            yield where, "nothing", copy.deepcopy(document)
            holder[key] = before


def _places(value: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield f"{where}/{key}", value, key
        yield from _places(item, f"{where}/{key}")


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts(item)
