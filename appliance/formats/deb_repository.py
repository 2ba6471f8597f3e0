"""Debian's control data: stanzas read, and the index of a flat repository written.

Pure text in, text out.  Formats: deb-control(5), and "Debian Repository Format"
(https://wiki.debian.org/DebianRepository/Format).  The repository is not signed: the
bundle around it is, and sites use it with ``[trusted=yes]``.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from appliance.model.files import Content

# apt takes no Release without a date, and ignores one that is older than what it has.
# With one date for all, a site can go back to an older bundle.
_DATE = "Sat, 01 Jan 2000 00:00:00 UTC"
_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)")
_INDEX_FIELDS = ("Filename", "Size", "SHA256")
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_LISTED = re.compile(r"\n[ \t]+([0-9a-f]{64})[ \t]+([0-9]{1,15})[ \t]+(?:\./)*(\S+)")
_DIGEST = re.compile(rb"sha256:[ \t]*([0-9a-f]{64})[ \t\r]*", re.IGNORECASE)


@dataclass(frozen=True)
class Control:
    """The control stanza of a .deb: its text to the byte, and what names the package."""

    text: str
    package: str
    version: str
    architecture: str

    @property
    def file_name(self) -> str:
        """The name that Debian gives the file: without the version's epoch."""
        return deb_file_name(self.package, self.version, self.architecture)


@dataclass(frozen=True)
class IndexedDeb:
    """A .deb as the index lists it."""

    control: Control
    content: Content


def deb_file_name(package: str, version: str, architecture: str) -> str:
    """``package_version_architecture.deb``, the version without its epoch."""
    return f"{package}_{version.split(':', 1)[-1]}_{architecture}.deb"


def parse_stanza(text: str) -> dict[str, str]:
    """The fields of one stanza, by lower-case name.  A folded value keeps its lines.

    Raises ValueError on an empty line inside, a field that appears twice, and lines
    that are no field.
    """
    fields: dict[str, str] = {}
    name = ""
    for number, line in enumerate(text.rstrip("\n").split("\n"), start=1):
        if line[:1] in (" ", "\t") and name and line.strip():
            fields[name] += f"\n{line}"
        elif match := _FIELD.fullmatch(line):
            name = match[1].lower()
            if name in fields:
                raise ValueError(f"the field {match[1]} appears twice")
            fields[name] = match[2].rstrip()
        else:
            raise ValueError(f"line {number} is not a field")
    return fields


def debian_source(fields: dict[str, str]) -> tuple[str, str]:
    """Name and version of the source that a package was built from (Debian Policy 5.6.1).

    Without the field, or its version in brackets, they are the package's own.
    """
    name, _, version = fields.get("source", "").partition(" ")
    return name or fields.get("package", ""), version.strip(" ()") or fields.get("version", "")


def parse_control(text: str) -> Control:
    """Read the control file of a .deb.  Raises ValueError."""
    fields = parse_stanza(text)
    for field in _INDEX_FIELDS:
        if field.lower() in fields:
            raise ValueError(f"it has the field {field}, which belongs to an index")
    try:
        return Control(text.rstrip("\n"), fields["package"], fields["version"], fields["architecture"])
    except KeyError as error:
        raise ValueError(f"it has no field {error.args[0]}") from None


def packages_index(debs: Iterable[IndexedDeb]) -> bytes:
    """The ``Packages`` file of a flat repository with all ``debs`` in its directory."""
    ordered = sorted(debs, key=lambda deb: deb.control.file_name)
    stanzas = [
        f"{deb.control.text}\n"
        f"Filename: ./{deb.control.file_name}\n"
        f"Size: {deb.content.size}\n"
        f"SHA256: {deb.content.sha256}\n"
        for deb in ordered
    ]
    return "\n".join(stanzas).encode()


def release_index(packages: bytes, *, label: str, suite: str, architectures: Iterable[str]) -> bytes:
    """The ``Release`` file that goes with a ``Packages`` file."""
    lines = [
        "Origin: appliance",
        f"Label: {label}",
        f"Suite: {suite}",
        f"Codename: {suite}",
        f"Date: {_DATE}",
        f"Architectures: {' '.join(sorted(architectures))}",
        "SHA256:",
        f" {hashlib.sha256(packages).hexdigest()} {len(packages)} Packages",
    ]
    return ("\n".join(lines) + "\n").encode()


@dataclass(frozen=True)
class InRelease:
    """A clear-signed release file; the signature is checked elsewhere.

    ``files`` are the archive's indexes by their path beside it, as its list of SHA-256 has them; ``by_hash`` says
    that they lie under their digests too ("Acquire-By-Hash").
    """

    suite: str
    codename: str
    date: datetime
    files: Mapping[str, Content]
    by_hash: bool


def parse_inrelease(data: bytes) -> InRelease:
    """Read an InRelease file.  Raises ValueError."""
    head, separator, rest = data.decode("utf-8").partition("\n\n")
    if not separator or not head.startswith("-----BEGIN PGP SIGNED MESSAGE-----\n"):
        raise ValueError("it is not clear-signed text")
    fields = parse_stanza(rest.partition(_SIGNATURE)[0])
    try:
        date = parsedate_to_datetime(fields["date"])
    except KeyError:
        raise ValueError("it has no date") from None
    listed = {
        match[3]: Content(sha256=match[1], size=int(match[2])) for match in _LISTED.finditer(fields.get("sha256", ""))
    }
    by_hash = fields.get("acquire-by-hash", "").lower() == "yes"
    return InRelease(
        fields.get("suite", ""), fields.get("codename", ""), date.astimezone(UTC), files=listed, by_hash=by_hash
    )


def listed_digests(pieces: Iterable[bytes]) -> frozenset[str]:
    """The SHA-256 of each package that an index lists; ``pieces`` are its bytes in order."""
    found: set[str] = set()
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        found |= {match[1].decode() for match in map(_DIGEST.fullmatch, lines) if match}
    last = _DIGEST.fullmatch(rest)
    return frozenset(found | {last[1].decode()} if last else found)
