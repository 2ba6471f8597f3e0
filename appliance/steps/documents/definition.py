"""Definitions and locks on disk: read strictly, written whole or not at all."""

import difflib
import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from appliance.artifacts.base import ArtifactSection, Kind
from appliance.artifacts.kinds import KINDS
from appliance.errors import BadInput
from appliance.model.documents.definition import INCLUDE_SCHEMA, DefinitionHead, Includes
from appliance.model.documents.lock import IncludedFile, Lock
from appliance.model.names import check_name, is_seen
from appliance.steps.documents.include import read_included
from appliance.steps.documents.yaml_file import YamlFile
from appliance.store.whole import write_whole

_LOCK_SUFFIX = ".lock.yaml"
_LOCK_HEADER = "# Written by `appliance lock`.  Do not edit: change the definition and lock again.\n"


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


@dataclass(frozen=True)
class Changes:
    """What has changed in a definition since it was locked.

    ``sections`` are new or say something else, ``dropped`` are gone (both ``kind/name``); ``included`` are
    paths of files that are other ones, new or gone.
    """

    sections: tuple[str, ...]
    dropped: tuple[str, ...]
    included: tuple[str, ...]
    head: bool

    def __bool__(self) -> bool:
        return bool(self.sections or self.dropped or self.included or self.head)

    def __str__(self) -> str:
        return ", ".join((*self.sections, *self.dropped, *self.included)) or "what it says about the bundle as a whole"


def lock_path(definition: Path) -> Path:
    """Where the lock of a definition lies: ``x.yaml`` has ``x.lock.yaml`` beside it."""
    if definition.name.endswith(_LOCK_SUFFIX):
        raise BadInput(
            "definition-is-lock",
            "this is a lock, not a definition",
            where=str(definition),
            hint=f"give {definition.name.removesuffix(_LOCK_SUFFIX)}.yaml",
        )
    return definition.with_name(definition.name.removesuffix(definition.suffix) + _LOCK_SUFFIX)


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


def changes(definition: Definition, lock: Lock) -> Changes:
    """What ``definition`` says now and ``lock`` was not made of."""
    sections = {section.id: section.digest for section in definition.sections}
    entries = {artifact.id: artifact.definition for artifact in lock.artifacts}
    return Changes(
        sections=tuple(sorted(name for name in sections if entries.get(name) != sections[name])),
        dropped=tuple(sorted(entries.keys() - sections.keys())),
        included=tuple(sorted({file.path for file in {*definition.included} ^ {*lock.included}})),
        head=lock.bundle != definition.head,
    )


def read_lock(path: Path) -> Lock:
    """Read a lock as strictly as a definition.  Raises BadInput (``lock-*``)."""
    definition = path.with_name(path.name.removesuffix(_LOCK_SUFFIX) + ".yaml")
    file = YamlFile.read(path, "lock", hint=f"make it: appliance lock {shlex.quote(str(definition))}")
    lock = file.typed(Lock, file.data, ())
    seen: set[str] = set()
    kinds = {kind.name for kind in KINDS}
    for number, artifact in enumerate(lock.artifacts):
        if artifact.kind not in kinds:
            raise file.error("kind", f"there is no kind {artifact.kind!r}", ("artifacts", number))
        if artifact.id in seen:
            raise file.error("duplicate", f"{artifact.id} appears twice", ("artifacts", number))
        seen.add(artifact.id)
    return lock


def lock_text(lock: Lock) -> bytes:
    """A lock as it is written: sorted, one fact a line, stable under ``git diff``."""
    data = lock.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    for artifact in data["artifacts"]:
        for key in ("inputs", "files"):
            if key in artifact:  # the path first, which is what a reader looks for
                artifact[key] = [{"path": file["path"], **file} for file in artifact[key]]
    text = yaml.dump(
        {"schema": lock.schema_, **data}, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True
    )
    # What a reviewer would not see stands between double quotes (``_text``), where these are its escapes.
    return (_LOCK_HEADER + "".join(map(_written, text))).encode()


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes text that has an invisible character in double quotes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if all(map(is_seen, text)) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _written(character: str) -> str:
    if character == "\n" or is_seen(character):
        return character
    return f"\\U{ord(character):08X}" if ord(character) > 0xFFFF else f"\\u{ord(character):04X}"


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock whole or not at all."""
    write_whole(path, lock_text(lock), mode=0o644)


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
        for key, kind, wanted in (("weights", "weights", profile.weights), ("image", "images", profile.image)):
            there = names.get(kind, [])
            if wanted not in there:
                near = difflib.get_close_matches(wanted, there, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"add it under {kind}:"
                raise file.error("reference", f"{kind} has no entry {wanted!r}", ("serving", name, key), hint=hint)
