"""Readers of OSCAL that are not ours, and what schemas do not say of it: that references lead somewhere."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest


def read(data: bytes) -> dict[str, Any]:
    """What is in a document, once others have read it: types made from NIST's schemas, and the rules below."""
    bindings = pytest.importorskip("oscal_bindings", reason="oscal-bindings is not installed: make .venv/ready")
    bindings.parse_oscal(data)
    (content,) = json.loads(data).values()
    assert not list(problems(content))
    found: dict[str, Any] = content
    return found


def problems(content: dict[str, Any]) -> Iterator[str]:
    """What is wrong with UUIDs, references and properties.

    The rules are constraints of OSCAL's metaschema (uniqueness, indexes) and its data types.
    """
    nodes = list(_nodes(content))
    uuids = Counter(node["uuid"] for node in nodes if "uuid" in node)
    yield from (f"{uuid} is there {times} times" for uuid, times in uuids.items() if times > 1)
    ids = {node["id"] for node in nodes if "id" in node}
    for node in nodes:
        for key in ("subject-uuid", "observation-uuid", "actor-uuid"):
            if node.get(key, next(iter(uuids))) not in uuids:
                yield f"{key} {node[key]} leads nowhere"
        href = node.get("href", "")
        if href.startswith("#") and href[1:] not in uuids:
            yield f"{href} leads nowhere"
        for key in ("objective-id", "target-id"):
            if key in node and node[key] not in ids:
                yield f"{key} {node[key]} leads nowhere"
        value = node.get("value") if "name" in node else None
        if isinstance(value, str) and (value != value.strip() or not value or "\n" in value):
            yield f"the property {node['name']} has the value {value!r}"


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item)
