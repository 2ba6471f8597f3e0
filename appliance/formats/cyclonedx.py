"""SBOMs in CycloneDX 1.6, JSON: https://cyclonedx.org/docs/1.6/json/, ECMA-424.

What is inside of a part is written inside of it (``components``), and once more as a graph
(``dependencies``), which some readers look at alone.  The same parts give the same bytes:
the serial number follows from them, and the time is given.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from appliance.formats.licences import is_expression
from appliance.model.documents.contents import (
    DISTRIBUTION,
    IMAGE,
    MODEL,
    OS_PACKAGE,
    OTHER,
    SET,
    ListedPart,
    artifact_of,
)
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_INDEX
from appliance.model.parts import ModelCard, Part, PartType
from appliance.model.times import Time

SUFFIX = ".cdx.json"
SPEC_VERSION = "1.6"

_UNKNOWN = "NOASSERTION"
_TYPES = {
    PartType.BUNDLE: "application",
    PartType.SET: "application",
    PartType.OS_PACKAGE: "library",
    PartType.DISTRIBUTION: "library",
    PartType.IMAGE: "container",
    PartType.MODEL: "machine-learning-model",
    PartType.FILE: "file",
}
# What people call them; a package by its package URL.
_NAMED = {"library": "", "application": SET, "container": IMAGE, "machine-learning-model": MODEL}
_PACKAGED = {"pkg:deb/": OS_PACKAGE, "pkg:pypi/": DISTRIBUTION}
# Of these every part is listed: their files are known one by one.  In an image there may be more than packages.
_COMPLETE = {PartType.BUNDLE, PartType.SET, PartType.MODEL}


def cyclonedx(root: Part, created: Time, tool: tuple[str, str]) -> bytes:
    """The document about ``root``; ``tool`` is name and version of what made it."""
    name, version = tool
    metadata = {
        "timestamp": created,
        "lifecycles": [{"phase": "build"}],
        "tools": {"components": [{"type": "application", "name": name, "version": version}]},
        "component": _component(root, inside=False),
    }
    document: dict[str, Any] = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": metadata,
        "components": [_component(part) for part in root.parts],
        "dependencies": [{"ref": part.ref, "dependsOn": [inner.ref for inner in part.parts]} for part in _all(root)],
        "compositions": list(_compositions(root)),
    }
    digest = hashlib.sha256(_written(document)).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'appliance sbom {digest}')}"
    return _written(document)


@dataclass(frozen=True)
class Listed:
    """What a document of ours about a bundle lists, in its order.

    ``parts`` are all but files, ``packages`` the OS packages and distributions among them, each without what is in it:
    that is listed too.  Packages have what advisories are looked up by: name, version, package URL and facts.
    """

    parts: tuple[ListedPart, ...]
    packages: tuple[Part, ...]


NOTHING_LISTED = Listed((), ())


def listed_in(data: bytes) -> Listed:
    """Read a document of ours about a bundle.  Raises ValueError."""
    found = tuple(_components(_document(data)))
    return Listed(
        parts=tuple(_listed(one) for one in found if str(one.get("type")) in _NAMED),
        packages=tuple(_package(one) for one in found if one.get("type") == "library"),
    )


def _document(data: bytes) -> dict[str, Any]:
    value = strict_json(data, limit=MAX_INDEX)
    if not isinstance(value, dict) or value.get("bomFormat") != "CycloneDX":
        raise ValueError("it is not a CycloneDX document")
    return value


def _listed(component: dict[str, Any]) -> ListedPart:
    part, name, version, purl = (str(component.get(key, "")) for key in ("bom-ref", "name", "version", "purl"))
    packaged = next((words for start, words in _PACKAGED.items() if purl.startswith(start)), OTHER)
    return ListedPart(
        artifact=artifact_of(part),
        part=part,
        type=_NAMED[str(component["type"])] or packaged,
        name=name,
        version="" if version == _UNKNOWN else version,
        licences=tuple(sorted(_names(component))),
        purl=purl,
    )


def _package(component: dict[str, Any]) -> Part:
    ref, name, version = (str(component.get(key, "")) for key in ("bom-ref", "name", "version"))
    purl = str(component.get("purl", ""))
    properties = component.get("properties", [])
    return Part(
        ref=ref,
        type=PartType.OS_PACKAGE if purl.startswith("pkg:deb/") else PartType.DISTRIBUTION,
        name=name,
        version=version,
        purl=purl,
        facts=tuple(
            (str(item.get("name")), str(item.get("value")))
            for item in (properties if isinstance(properties, list) else [])
            if isinstance(item, dict)
        ),
    )


def _components(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inside = item.get("components", [])
    for component in inside if isinstance(inside, list) else []:
        if isinstance(component, dict):
            yield component
            yield from _components(component)


def _names(component: dict[str, Any]) -> set[str]:
    found = set()
    entries = component.get("licenses", [])
    for entry in entries if isinstance(entries, list) else []:
        licence = entry.get("license", entry) if isinstance(entry, dict) else None
        if isinstance(licence, dict):
            found |= {text for key in ("expression", "id", "name") if isinstance(text := licence.get(key), str)}
    return found


def _written(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode()


def _all(part: Part) -> Iterator[Part]:
    yield part
    for inner in part.parts:
        yield from _all(inner)


def _component(part: Part, *, inside: bool = True) -> dict[str, Any]:
    told: dict[str, Any] = {
        # NTIA's minimum elements want it said where nobody has said who: in the word that SPDX has for it.
        "supplier": {"name": part.supplier or _UNKNOWN},
        "description": part.description,
        "hashes": [{"alg": "SHA-256", "content": part.sha256}] if part.sha256 else None,
        "licenses": _licences(part.licences.declared),
        "copyright": "\n".join(part.licences.copyright),
        "purl": part.purl,
        "pedigree": _pedigree(part.card),
        "modelCard": _model_card(part.card),
        "externalReferences": [{"type": "distribution", "url": part.url}] if part.url else None,
        "properties": _properties(part),
        "components": [_component(inner) for inner in part.parts] if inside else None,
    }
    head = {"type": _TYPES[part.type], "bom-ref": part.ref, "name": part.name, "version": part.version or _UNKNOWN}
    return {**head, **{key: value for key, value in told.items() if value}}


def _licences(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """One expression, or a list of single licences: the schema allows no list of expressions."""
    if len(names) == 1 and is_expression(names[0]) and " " in names[0]:
        return [{"expression": names[0], "acknowledgement": "declared"}]
    keys = ("id" if is_expression(name) and " " not in name else "name" for name in names)
    return [{"license": {key: name, "acknowledgement": "declared"}} for key, name in zip(keys, names, strict=True)]


def _pedigree(card: ModelCard | None) -> dict[str, Any] | None:
    if card is None or not card.base_models:
        return None
    return {"ancestors": [{"type": "machine-learning-model", "name": name} for name in card.base_models]}


def _model_card(card: ModelCard | None) -> dict[str, Any] | None:
    if card is None:
        return None
    parameters: dict[str, Any] = {
        "task": card.task,
        "architectureFamily": card.family,
        "modelArchitecture": ", ".join(card.architectures),
        "datasets": [{"type": "dataset", "name": name} for name in card.datasets],
    }
    card_: dict[str, Any] = {
        "modelParameters": {key: value for key, value in parameters.items() if value},
        "properties": [{"name": key, "value": text} for key, text in card.facts],
    }
    return {key: value for key, value in card_.items() if value}


def _properties(part: Part) -> list[dict[str, str]]:
    told = [
        ("appliance:path", part.path),
        ("appliance:size", "" if part.size is None else str(part.size)),
        ("appliance:licence-text", part.licences.text),
        *part.facts,
        *(("appliance:gap", gap) for gap in part.gaps),
    ]
    return [{"name": key, "value": text} for key, text in told if text]


def _compositions(root: Part) -> Iterator[dict[str, Any]]:
    """How complete the list of what is inside of each part is."""
    by_aggregate: dict[str, list[str]] = {}
    for part in _all(root):
        if part.gaps or part.parts or part.type is PartType.IMAGE:
            complete = "complete" if part.type in _COMPLETE else "unknown"
            by_aggregate.setdefault("incomplete" if part.gaps else complete, []).append(part.ref)
    for aggregate, refs in sorted(by_aggregate.items()):
        yield {"aggregate": aggregate, "assemblies": refs}
