"""Pieces of OSCAL 1.2.1 documents, JSON: https://pages.nist.gov/OSCAL/reference/

The same content gives the same bytes: identifiers follow from names (UUID version 5, RFC 9562), and times are given.
OSCAL's prose is Markdown, so text of others is escaped; its plain strings have one line.
"""

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from appliance.model.times import Time
from appliance.model.visible import shown

OSCAL_VERSION = "1.2.1"
# What our own names of properties belong to.
NAMESPACE = "urn:appliance:oscal:v1"

Entry = dict[str, Any]

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~^$&\"'-])")


def identifier(*names: str) -> str:
    """A UUID that is the same wherever the same thing is meant; no two lists of names share one."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{NAMESPACE} {json.dumps(names)}"))


def metadata(title: str, version: str, modified: Time) -> Entry:
    """The head that every document has."""
    return {"title": title, "last-modified": modified, "version": version, "oscal-version": OSCAL_VERSION}


def prop(name: str, value: str, remarks: str = "") -> Entry:
    """A property of ours.  Its value has one line, without white space around it."""
    entry = {"name": name, "ns": NAMESPACE, "value": shown(value).strip() or "none"}
    return {**entry, "remarks": remarks} if remarks else entry


def resource(name: str, title: str, href: str = "", sha256: str = "", description: str = "") -> Entry:
    """An entry of the back matter; others point to it as ``#<uuid>``.  ``href`` is percent-encoded by the caller."""
    entry: Entry = {"uuid": identifier("resource", name), "title": title}
    if description:
        entry["description"] = description
    if href:
        hashes = {"hashes": [{"algorithm": "SHA-256", "value": sha256}]} if sha256 else {}
        entry["rlinks"] = [{"href": href, **hashes}]
    return entry


def prose(text: str) -> str:
    """Text of others, for where Markdown is read: nothing in it becomes a link, an image or a heading."""
    return _MARKDOWN.sub(r"\\\1", shown(text))


def document(kind: str, content: Mapping[str, Any]) -> bytes:
    """The file: one top-level key, two spaces, a newline at its end."""
    return (json.dumps({kind: content}, indent=2, ensure_ascii=False) + "\n").encode()
