"""The indexes that apt has fetched and verified, made to say which package may come from where.

apt's own pins tell archives apart by what their release files say of themselves and by
host names, so one that calls itself Debian would pass for Debian.  Here an index loses
what may not come from it before apt ever reads it for an answer.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from appliance.model.documents.archive import DISTRIBUTION, SuiteSource

# URItoFileName of apt-pkg/contrib/strutl.cc
_QUOTED = re.compile(r"[\\|{}\[\]<>\"^~_=!@#$%&*\x00-\x20\x7f-\xff]")
_PACKAGE = re.compile(r"^package[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_VERSION = re.compile(r"^version[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_SEPARATOR = re.compile(r"\n(?:[ \t]*\n)+")
_UTF8 = {"encoding": "utf-8", "errors": "surrogateescape"}


def list_name(url: str) -> str:
    """The name of the file in which apt keeps what it has fetched from ``url``."""
    return _QUOTED.sub(lambda match: f"%{ord(match[0]):02x}", url.partition("://")[2]).replace("/", "_")


def release_file(lists: Path, source: SuiteSource) -> Path:
    """Where the source's signed release file is kept."""
    return lists / list_name(f"{source.base}InRelease")


def index_names(lists: Path, source: SuiteSource, architecture: str) -> tuple[str, ...]:
    """The indexes of ``source`` that apt has, as its release file calls them, unpacked."""
    return tuple(name for name in _names(source, architecture) if (lists / list_name(f"{source.base}{name}")).exists())


def keep_apart(
    lists: Path, sources: tuple[SuiteSource, ...], architecture: str, origins: Mapping[str, str]
) -> dict[str, frozenset[str]]:
    """Leave in each index what comes from there: ``origins`` names the repository of packages that come from one.

    Returns what each origin had offered before, in versions that match.
    """
    offered: dict[str, frozenset[str]] = {}
    for source in sources:
        for index in _indexes(lists, source, architecture):
            stanzas = [text for text in _stanzas(index) if fnmatchcase(_field(_VERSION, text), source.version)]
            _write(index, (text for text in stanzas if origins.get(_name(text), DISTRIBUTION) == source.origin))
            offered[source.origin] = offered.get(source.origin, frozenset()) | {_name(text) for text in stanzas}
    return offered


def drop(lists: Path, sources: tuple[SuiteSource, ...], architecture: str, packages: Collection[str]) -> None:
    """Take ``packages`` out of all indexes."""
    for source in sources:
        for index in _indexes(lists, source, architecture):
            _write(index, [text for text in _stanzas(index) if _name(text) not in packages])


def _stanzas(index: Path) -> list[str]:
    return [text for text in _SEPARATOR.split(index.read_text(**_UTF8)) if text.strip()]


def _write(index: Path, stanzas: Iterable[str]) -> None:
    text = "".join(f"{text.strip(chr(10))}\n\n" for text in stanzas)
    index.write_text(text, **_UTF8)


def _indexes(lists: Path, source: SuiteSource, architecture: str) -> Iterator[Path]:
    return (lists / list_name(f"{source.base}{name}") for name in index_names(lists, source, architecture))


def _names(source: SuiteSource, architecture: str) -> Iterator[str]:
    """Those that it can have; an index for all architectures may be apart."""
    if source.flat:
        yield "Packages"
        return
    for part in source.components:
        for arch in (architecture, "all"):
            yield f"{part}/binary-{arch}/Packages"


def _name(stanza: str) -> str:
    return _field(_PACKAGE, stanza)


def _field(pattern: re.Pattern[str], stanza: str) -> str:
    match = pattern.search(stanza)
    return match[1] if match else ""
