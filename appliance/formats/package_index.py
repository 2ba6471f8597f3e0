"""A page of a Python package index, in either of its two forms, and the wheel to take.

Formats: https://packaging.python.org/specifications/simple-repository-api (HTML from
PEP 503, JSON from PEP 691, attestations from PEP 740).  Only wheels that come with a SHA-256 are seen.
"""

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from appliance.model.names import check_sha256, path_problem


@dataclass(frozen=True)
class WheelLink:
    """A wheel of an index.  ``size`` in bytes, where the index tells it.

    ``yanked`` is None, or why its publisher has taken the release back (PEP 592), which may be "".
    """

    filename: str
    url: str
    sha256: str
    size: int | None
    version: Version
    pure: bool
    yanked: str | None


def parse_page(page: bytes, url: str, name: str) -> tuple[WheelLink, ...]:
    """The wheels of the distribution ``name`` on a page that came from ``url``.

    Raises ValueError when the page has neither of the two forms.
    """
    links = (_link(entry, url, canonicalize_name(name)) for entry in _entries(page))
    return tuple(link for link in links if link is not None)


def parse_provenances(page: bytes) -> dict[str, str]:
    """Where the files of a page have their attestations, by file name: those that have some.  Raises ValueError."""
    return {_file_name(entry.href): entry.provenance for entry in _entries(page) if entry.provenance}


def choose(requirement: Requirement, links: tuple[WheelLink, ...]) -> WheelLink:
    """The wheel of the newest version that fits.

    Among several of one version only the one for every platform is taken: which of the
    others is meant cannot be guessed.  A yanked one is taken only when its version is
    asked for exactly (PEP 592).  Raises ValueError.
    """
    exact = any(specifier.operator in ("==", "===") for specifier in requirement.specifier)
    offered = [link for link in links if exact or link.yanked is None]
    fitting = set(requirement.specifier.filter({link.version for link in offered}))
    if not fitting:
        versions = ", ".join(str(version) for version in sorted({link.version for link in links})[-10:])
        raise ValueError(f"there is no wheel with a SHA-256 for {requirement}; the index has: {versions or 'none'}")
    newest = [link for link in offered if link.version == max(fitting)]
    wheels = [link for link in newest if link.pure] or newest
    if len(wheels) > 1:
        names = ", ".join(sorted(link.filename for link in wheels)[:10])
        raise ValueError(f"there are several wheels for {requirement} but none is for every platform: {names}")
    return wheels[0]


@dataclass(frozen=True)
class _Raw:
    href: str
    sha256: str
    size: int | None
    yanked: str | None
    provenance: str | None


def _entries(page: bytes) -> list[_Raw]:
    text = page.decode("utf-8")
    return _from_json(text) if text.lstrip().startswith("{") else _from_html(text)


def _file_name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _from_json(text: str) -> list[_Raw]:
    page: Any = json.loads(text)
    if not isinstance(page, dict) or not isinstance(page.get("files"), list):
        raise ValueError("the page lists no files")
    found = []
    for file in page["files"]:
        if not isinstance(file, dict) or not isinstance(file.get("hashes"), dict):
            raise ValueError("the page has an entry without hashes")
        size = file.get("size")
        found.append(
            _Raw(
                str(file.get("url", "")),
                str(file["hashes"].get("sha256", "")),
                size if type(size) is int and size > 0 else None,
                _reason(file.get("yanked")),
                str(file.get("provenance") or "") or None,
            )
        )
    return found


def _reason(yanked: Any) -> str | None:
    """PEP 691: true, or a text that says why."""
    if not yanked:
        return None
    return yanked if isinstance(yanked, str) else ""


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[_Raw] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            return
        fields = dict(attrs)
        href, fragment = urldefrag(fields.get("href") or "")
        algorithm, _, digest = fragment.partition("=")
        yanked = (fields["data-yanked"] or "") if "data-yanked" in fields else None
        provenance = fields.get("data-provenance") or None
        self.found.append(_Raw(href, digest if algorithm == "sha256" else "", None, yanked, provenance))


def _from_html(text: str) -> list[_Raw]:
    parser = _Anchors()
    parser.feed(text)
    parser.close()
    return parser.found


def _link(raw: _Raw, page_url: str, name: str) -> WheelLink | None:
    url = urljoin(page_url, raw.href)
    filename = _file_name(url)
    if not filename.endswith(".whl") or path_problem(filename):
        return None
    try:
        distribution, version, _, tags = parse_wheel_filename(filename)
        check_sha256(raw.sha256)
    except (InvalidWheelFilename, ValueError):
        return None
    if distribution != name:
        return None
    pure = any(tag.abi == "none" and tag.platform == "any" for tag in tags)
    return WheelLink(filename, url, raw.sha256, raw.size, version, pure, raw.yanked)
