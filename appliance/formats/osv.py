"""Advisories in OSV's form, and whether they concern a version of a Python distribution.

Format: https://ossf.github.io/osv-schema/, of which the fields are read that are asked for here; how ranges are judged
is its section "Evaluation".  ``all.zip`` of an ecosystem holds a JSON file for each record.
"""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from appliance.formats.cvss import base_score, severity_of
from appliance.formats.json_fields import text_at
from appliance.model.documents.vulnerabilities import ID_PATTERN, SEVERITIES, Severity, Status
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_OSV_RECORD, MAX_OSV_RECORDS, MAX_OSV_UNPACKED
from appliance.model.times import Time, format_time

ECOSYSTEM = "PyPI"
# What GitHub's advisories say in ``database_specific``.
_WORDS: dict[str, Severity] = {"CRITICAL": "critical", "HIGH": "high", "MODERATE": "medium", "LOW": "low"}
_MALICIOUS = "MAL-"  # ids of packages that are attacks themselves: https://github.com/ossf/malicious-packages
_EVENTS = ("introduced", "fixed", "last_affected")
_SUMMARY = 200  # characters
_ENCRYPTED = 0x1
_ID = re.compile(ID_PATTERN)


@dataclass(frozen=True)
class Affected:
    """Versions of one distribution: listed, or in ranges; an event is its name and a version."""

    name: str
    versions: frozenset[str]
    ranges: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True)
class OsvRecord:
    """One advisory; ``affected`` has the distributions of PyPI alone."""

    id: str
    modified: Time
    aliases: tuple[str, ...]
    summary: str
    severity: Severity
    affected: tuple[Affected, ...]


@dataclass(frozen=True)
class Unread:
    """A record that is none, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Verdict:
    """A version that an advisory concerns; ``fixed`` is the next version that it does not, or empty."""

    status: Status
    fixed: str


def read_archive(stream: IO[bytes]) -> Iterator[OsvRecord | Unread]:
    """The records of an ``all.zip`` that still hold, one by one, and those that cannot be read.

    Raises ValueError for what is no such archive.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            for info in _members(archive):
                with archive.open(info) as member:
                    data = member.read(MAX_OSV_RECORD + 1)
                record = _record_or_not(info.filename, data)
                if record is not None:
                    yield record
    # What zipfile raises on an archive that contradicts itself is not limited to its own error.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f"it is not a zip archive that can be read: {error}") from None


def parse_record(data: bytes) -> OsvRecord | None:
    """One record; None for one that was withdrawn.  Raises ValueError."""
    value = strict_json(data, limit=MAX_OSV_RECORD)
    if not isinstance(value, dict):
        raise ValueError("it is not a record")
    name = text_at(value, "id")
    if not _ID.fullmatch(name):
        raise ValueError(f"{name[:100]!r} is not an id")
    modified = _moment(text_at(value, "modified"))
    affected = tuple(_affected(item) for item in _items(value, "affected") if _is_ours(item))
    if value.get("withdrawn"):
        return None
    return OsvRecord(
        id=name,
        modified=modified,
        aliases=tuple(filter(_ID.fullmatch, _texts(value, "aliases"))),
        summary=str(value.get("summary") or "")[:_SUMMARY],
        severity=_severity(name, value),
        affected=affected,
    )


def judge(affected: Iterable[Affected], version: str) -> Verdict | None:
    """What a record says of a ``version``, given all that it has on one distribution; None where it is not concerned.

    Versions are PEP 440's.  What cannot be compared is undetermined, and never taken for unconcerned.
    """
    entries = tuple(affected)
    try:
        own = Version(version)
    except ValueError:
        listed = any(version in entry.versions for entry in entries)
        return Verdict("affected" if listed else "undetermined", "")
    fixes = set[Version]()
    concerned = unclear = False
    for entry in entries:
        try:
            within = [events for events in map(_ordered, entry.ranges) if _includes(events, own)]
        except ValueError:
            within, unclear = [], True
        listed = own in set(_readable(entry.versions))
        concerned |= listed or bool(within)
        fixes.update(fix for events in within for fix in _next_fix(events, own))
        if listed and not within and not unclear:
            fixes.update(fix for events in map(_ordered, entry.ranges) for fix in _next_fix(events, own))
    if concerned:
        return Verdict("affected", str(max(fixes)) if fixes else "")
    return Verdict("undetermined", "") if unclear else None


def _record_or_not(name: str, data: bytes) -> OsvRecord | Unread | None:
    try:
        return parse_record(data)
    except ValueError as error:
        return Unread(name, str(error))


def _members(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    members = [info for info in archive.infolist() if not info.filename.endswith("/")]
    if len(members) > MAX_OSV_RECORDS or sum(info.file_size for info in members) > MAX_OSV_UNPACKED:
        raise ValueError(f"it holds more than {MAX_OSV_RECORDS} records or {MAX_OSV_UNPACKED} bytes")
    for info in members:
        if info.flag_bits & _ENCRYPTED or not info.filename.endswith(".json"):
            raise ValueError(f"it holds {info.filename[:100]!r}, which is no record")
        yield info


def _is_ours(item: Any) -> bool:
    package = item.get("package") if isinstance(item, dict) else None
    return isinstance(package, dict) and package.get("ecosystem") == ECOSYSTEM


def _affected(item: dict[str, Any]) -> Affected:
    ranges = [one for one in _items(item, "ranges") if isinstance(one, dict) and one.get("type") == "ECOSYSTEM"]
    return Affected(
        name=canonicalize_name(text_at(item["package"], "name")),
        versions=frozenset(_texts(item, "versions")),
        ranges=tuple(tuple(_event(event) for event in _items(one, "events")) for one in ranges),
    )


def _event(event: Any) -> tuple[str, str]:
    named = [(name, event[name]) for name in _EVENTS if name in event] if isinstance(event, dict) else []
    if len(named) != 1 or not isinstance(named[0][1], str):
        raise ValueError(f"a range has an event that is none of {', '.join(_EVENTS)}")
    return named[0]


def _ordered(events: tuple[tuple[str, str], ...]) -> list[tuple[Version, str]]:
    """By version; what was introduced and mended in one version is mended.  Raises ValueError."""
    found = [(Version(text), name) for name, text in events]
    return sorted(found, key=lambda event: (event[0], event[1] != "introduced"))


def _includes(events: list[tuple[Version, str]], own: Version) -> bool:
    concerned = False
    for version, name in events:
        if name == "introduced" and (own >= version or str(version) == "0"):
            concerned = True
        elif (name == "fixed" and own >= version) or (name == "last_affected" and own > version):
            concerned = False
    return concerned


def _next_fix(events: list[tuple[Version, str]], own: Version) -> list[Version]:
    return [version for version, name in events if name == "fixed" and version > own][:1]


def _readable(texts: Iterable[str]) -> Iterator[Version]:
    for text in texts:
        try:
            yield Version(text)
        except ValueError:  # releases from before PEP 440, which no valid version equals
            continue


def _severity(name: str, value: dict[str, Any]) -> Severity:
    """The word that the record gives, else that of its score by CVSS 3; other versions of CVSS are not computed."""
    if name.startswith(_MALICIOUS):
        return "critical"
    entries = [value, *(item for item in _items(value, "affected") if _is_ours(item))]
    told = [entry.get("database_specific") for entry in entries]
    words = [str(item.get("severity", "")).upper() for item in told if isinstance(item, dict)]
    if known := [_WORDS[word] for word in words if word in _WORDS]:
        return min(known, key=SEVERITIES.index)
    scores = []
    for score in (one for entry in entries for one in _items(entry, "severity")):
        if isinstance(score, dict) and score.get("type") == "CVSS_V3":
            with suppress(ValueError):  # what cannot be computed is unknown, and no reason to lose the record
                scores.append(base_score(text_at(score, "score")))
    return severity_of(max(scores)) if scores else "unknown"


def _moment(text: str) -> Time:
    try:
        return format_time(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is not a time") from None


def _items(value: dict[str, Any], key: str) -> list[Any]:
    items = value.get(key)
    if items is None:
        return []
    if not isinstance(items, list):
        raise ValueError(f"{key!r} is not a list")
    return items


def _texts(value: dict[str, Any], key: str) -> tuple[str, ...]:
    items = _items(value, key)
    if not all(isinstance(item, str) for item in items):
        raise ValueError(f"{key!r} is not a list of texts")
    return tuple(items)
