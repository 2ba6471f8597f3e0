"""``appliance compare``: whether two builders got the same bundle, and what differs where they did not.

The lists are compared, because they are what signers sign.  Neither directory is verified or trusted: whether files
are those of their list is for ``appliance verify`` to say.  Bytes are read only of small files that the lists have
otherwise, to show what differs in a text.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from appliance.errors import BadInput, NotTrusted
from appliance.formats.text_diff import diff
from appliance.model.documents.bundle import INDEX, PROVENANCE, SUMS, BundleIndex, parse_index
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_COMPARED_TEXT, MAX_INDEX, MAX_SUMS
from appliance.model.progress import Silent
from appliance.store.tree import Tree
from appliance.trust.sums import parse_sums

Kind = Literal["only-in-first", "only-in-second", "other-size", "other-bytes"]

_EVIDENCE = PROVENANCE.partition("/")[0] + "/"
_SHOWN_LINES = 12
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True)
class File:
    """A file as one of the two lists it; ``size`` (bytes) is that on disk, None where it is not there."""

    sha256: str
    size: int | None


@dataclass(frozen=True)
class Difference:
    """A path that the two lists do not have alike.

    ``artifact`` is ``kind/name``, or empty for what belongs to none.  ``lines`` are a short diff of a document, first
    to second, with ``-`` and ``+``; none where it is no text, too large, or not the file that is listed.
    """

    path: str
    artifact: str
    kind: Kind
    first: File | None
    second: File | None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """``sums`` are the SHA-256 of both lists, ``files`` how many paths the two have together.

    ``differences`` have what belongs to artifacts first, then what is made of it: evidence and bundle.json.
    """

    sums: tuple[str, str]
    files: int
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether the lists are the same to the byte."""
        return self.sums[0] == self.sums[1]


def compare(first: Path, second: Path) -> Comparison:
    """Compare two bundles' lists.  Raises BadInput (``usage``, ``bundle-unreadable``)."""
    with Tree(first, Silent()) as one, Tree(second, Silent()) as other:
        if first.samefile(second):
            raise BadInput("usage", "a bundle is compared with itself", where=str(first), hint="give two directories")
        sides = (_Side(one), _Side(other))
        differences = () if sides[0].sums == sides[1].sums else tuple(_differences(*sides))
        digests = (sha256(sides[0].sums).hexdigest(), sha256(sides[1].sums).hexdigest())
        return Comparison(digests, len(sides[0].listed.keys() | sides[1].listed.keys()), differences)


class _Side:
    """One of the two bundles."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        try:
            self.sums = tree.read(SUMS, MAX_SUMS)
            self.listed: Mapping[str, str] = parse_sums(self.sums)
            self._sizes = {path: entry.size for path, entry in tree.listing().items() if entry.kind == "file"}
        except (NotTrusted, ValueError) as error:
            raise BadInput(
                "bundle-unreadable",
                f"this is not a bundle of a known form: {error}",
                where=str(tree.root),
                hint="give two bundles: directories with SHA256SUMS",
            ) from None

    def file(self, path: str) -> File | None:
        digest = self.listed.get(path)
        return File(digest, self._sizes.get(path)) if digest else None

    def data(self, path: str, limit: int) -> bytes | None:
        """The bytes of a file if they are those that are listed."""
        if self._sizes.get(path, limit + 1) > limit:
            return None
        try:
            data = self._tree.read(path, limit)
        except NotTrusted:
            return None
        return data if sha256(data).hexdigest() == self.listed.get(path) else None

    def artifacts(self) -> dict[str, str]:
        """The artifact of each path; those of a bundle.json that cannot be read are not known."""
        data = self.data(INDEX, MAX_INDEX)
        try:
            index: BundleIndex | None = parse_index(data, self.listed) if data else None
        except ValueError:
            index = None
        return {
            file.path: f"{artifact.kind}/{artifact.name}"
            for artifact in (index.artifacts if index else ())
            for file in artifact.files
        }


def _differences(first: _Side, second: _Side) -> Iterator[Difference]:
    artifacts = second.artifacts() | first.artifacts()
    every = first.listed.keys() | second.listed.keys()
    paths = [path for path in every if first.listed.get(path) != second.listed.get(path)]

    def order(path: str) -> tuple[bool, bool, str, str]:
        return path not in artifacts, path == INDEX or path.startswith(_EVIDENCE), artifacts.get(path, ""), path

    for path in sorted(paths, key=order):
        one, other = first.file(path), second.file(path)
        both = (
            (first.data(path, MAX_COMPARED_TEXT), second.data(path, MAX_COMPARED_TEXT))
            if one and other
            else (None, None)
        )
        lines = tuple(_diff(*map(_lines, both)))
        yield Difference(path, artifacts.get(path, ""), _kind(one, other), one, other, lines)


def _kind(first: File | None, second: File | None) -> Kind:
    if first is None or second is None:
        return "only-in-first" if first else "only-in-second"
    return "other-bytes" if first.size == second.size or None in (first.size, second.size) else "other-size"


def _lines(data: bytes | None) -> list[str] | None:
    """The lines of a text; JSON that is one line is written in many."""
    if data is None or b"\0" in data:
        return None
    try:
        text = data.decode()
    except ValueError:
        return None
    lines = text.splitlines()
    if len(lines) == 1 and text[0] in "{[":
        try:
            return json.dumps(strict_json(data, limit=MAX_COMPARED_TEXT), indent=1, ensure_ascii=False).split("\n")
        except ValueError:
            pass
    return lines


def _diff(first: list[str] | None, second: list[str] | None) -> Iterator[str]:
    if first is None or second is None:
        return
    compared = diff(first, second, context=0)
    changed = [line for line in compared.lines if not line.startswith("@@")]
    yield from map(_short, changed[:_SHOWN_LINES])
    if compared.cut:
        yield "and more lines"
    elif (more := len(changed) - _SHOWN_LINES) > 0:
        yield f"and {more} more lines"


def _short(line: str) -> str:
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}..."
