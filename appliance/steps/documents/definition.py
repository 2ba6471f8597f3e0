"""A definition with what it includes: read strictly, each section typed by its kind."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.artifacts.base import ArtifactSection, Kind
from appliance.artifacts.kinds import KINDS
from appliance.model.documents.definition import INCLUDE_SCHEMA, DefinitionHead, Includes
from appliance.model.documents.lock import IncludedFile
from appliance.model.names import check_name
from appliance.steps.documents.include import read_included
from appliance.steps.documents.yaml_file import YamlFile


@dataclass(frozen=True)
class Section:
    """One artifact as a definition asks for it, in ``file``: its own or one that it includes."""

    kind: Kind
    name: str
    content: ArtifactSection
    digest: str
    file: YamlFile

    @property
    def id(self) -> str:
        """``kind/name``."""
        return f"{self.kind.name}/{self.name}"

    @property
    def line(self) -> int:
        """The line of ``file``, from 1, where it begins."""
        return self.file.document.line_of((self.kind.name, self.name))

    def place(self, value: str) -> str:
        """Where the definition says ``value``: file, line and key."""
        return self.file.find(value, (self.kind.name, self.name))


@dataclass(frozen=True)
class Definition:
    """A whole definition, typed; ``included`` is sorted by path."""

    path: Path
    head: DefinitionHead
    sections: tuple[Section, ...]
    included: tuple[IncludedFile, ...]


def read_definition(path: Path) -> Definition:
    """Read and type a definition and what it includes.  Raises BadInput (``definition-*``, ``include-*``)."""
    file = YamlFile.read(path, "definition", hint="give a definition, a lock or a bundle that exists")
    if not isinstance(file.data, dict):
        raise file.error("type", "a definition must be a mapping of keys", ())
    if file.data.get("schema") == INCLUDE_SCHEMA:
        what = "this is a file that definitions include, not a definition"
        raise file.error("is-include", what, ("schema",), hint="give a definition that lists it under include:")
    beside = {*Includes.model_fields, *(kind.name for kind in KINDS)}
    known = [*(field.alias or name for name, field in DefinitionHead.model_fields.items()), *beside]
    for key in file.data:
        if key not in known:
            raise file.unknown_key((key,), known)
    head = file.typed(DefinitionHead, {key: value for key, value in file.data.items() if key not in beside}, ())
    included = read_included(file)
    sections = _all_sections((file, *included.values()))
    _check_serving(head, sections, file)
    return Definition(path, head, sections, tuple(sorted(included, key=lambda entry: entry.path)))


def _all_sections(files: Iterable[YamlFile]) -> tuple[Section, ...]:
    """By kind; of one kind, as the files have them."""
    first: dict[str, Section] = {}
    for section in (section for file in files for section in _sections(file)):
        other = first.setdefault(section.id, section)
        if other is not section:
            what = f"{section.id} is already in {other.file.path}:{other.line}"
            hint = "keep one of them, or give this one a name of its own"
            raise section.file.error("duplicate", what, (section.kind.name, section.name), hint=hint)
    return tuple(section for kind in KINDS for section in first.values() if section.kind is kind)


def _sections(file: YamlFile) -> Iterator[Section]:
    for kind in KINDS:
        entries = file.data.get(kind.name, {})
        if not isinstance(entries, dict):
            raise file.error("type", f"{kind.name} must map each name to its section", (kind.name,))
        for name, content in entries.items():
            try:
                check_name(name)
            except ValueError as error:
                raise file.error("value", str(error), (kind.name, name)) from None
            typed = file.typed(kind.section, content, (kind.name, name))
            canonical = json.dumps(typed.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
            yield Section(kind, name, typed, hashlib.sha256(canonical.encode()).hexdigest(), file)


def _check_serving(head: DefinitionHead, sections: Iterable[Section], file: YamlFile) -> None:
    names: dict[str, list[str]] = {}
    for section in sections:
        names.setdefault(section.kind.name, []).append(section.name)
    for name, profile in head.serving.items():
        for key, kind, wanted in (
            (("weights",), "weights", profile.weights),
            (("image",), "images", profile.image),
            *((key, "weights", artifact) for key, artifact in profile.weights_beside().items()),
        ):
            there = names.get(kind, [])
            if wanted not in there:
                near = difflib.get_close_matches(wanted, there, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"add it under {kind}:"
                raise file.error("reference", f"{kind} has no entry {wanted!r}", ("serving", name, *key), hint=hint)
