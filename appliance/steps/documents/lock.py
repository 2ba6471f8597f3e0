"""Locks on disk: read as strictly as definitions, written whole or not at all; and what they lack of a definition."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from appliance.artifacts.kinds import KINDS
from appliance.errors import BadInput, Stale
from appliance.model.documents.lock import Lock
from appliance.model.serving.profile import ServingProfile
from appliance.model.visible import is_seen
from appliance.steps.documents.definition import Definition
from appliance.steps.documents.yaml_file import YamlFile
from appliance.store.whole import write_whole

_LOCK_SUFFIX = ".lock.yaml"
# Paths, addresses and digests that YAML takes for text without quotes: no number and no date has these letters.
_PLAIN = re.compile(
    r"[A-Za-z_](?:[\w./%+~@=?&-]|:(?=[\w/]))*|[0-9][\w./-]*[g-wyz][\w./-]*|[0-9a-f]*[acdf][0-9a-f]*", re.ASCII
)
_WORDS = {"true", "false", "yes", "no", "on", "off", "null"}
_LOCK_HEADER = "# Written by `appliance lock`.  Do not edit: change the definition and lock again.\n"


@dataclass(frozen=True)
class Changes:
    """What has changed in a definition since it was locked.

    ``sections`` are new or say something else, ``dropped`` are gone (both ``kind/name``); ``included`` are
    paths of files that are other ones, new or gone; ``undated`` says that the lock is from before locks had a time.
    """

    sections: tuple[str, ...]
    dropped: tuple[str, ...]
    included: tuple[str, ...]
    head: bool
    undated: bool = False

    def __bool__(self) -> bool:
        return bool(self.sections or self.dropped or self.included or self.head or self.undated)

    def __str__(self) -> str:
        if self == Changes((), (), (), head=False, undated=True):
            return "the lock does not say when it was made, which SBOMs need"
        what = ", ".join((*self.sections, *self.dropped, *self.included)) or "what it says about the bundle as a whole"
        return f"the definition has changed since it was locked: {what}"


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


def changes(definition: Definition, lock: Lock) -> Changes:
    """What ``definition`` says now and ``lock`` was not made of."""
    sections = {section.id: section.digest for section in definition.sections}
    entries = {artifact.id: artifact.definition for artifact in lock.artifacts}
    return Changes(
        sections=tuple(sorted(name for name in sections if entries.get(name) != sections[name])),
        dropped=tuple(sorted(entries.keys() - sections.keys())),
        included=tuple(sorted({file.path for file in {*definition.included} ^ {*lock.included}})),
        head=lock.bundle != definition.head,
        undated=lock.locked is None,
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


def profiles_of(lock: Lock) -> dict[str, ServingProfile]:
    """Every profile whole, as it is signed.  Raises Stale where the lock does not know enough for one."""
    profiles = {}
    for name, wanted in lock.bundle.serving.items():
        try:
            profiles[name] = lock.profile(name)
        except ValueError as error:
            what = f"what the lock has is not enough to serve {name}: {error}"
            raise Stale(what, artifact=f"weights/{wanted.weights}") from None
    return profiles


def lock_text(lock: Lock) -> bytes:
    """A lock as it is written: sorted, one fact a line, stable under ``git diff``."""
    data = lock.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    artifacts = data.pop("artifacts")
    parts = [_yaml({"schema": lock.schema_, **data}), "artifacts:\n" if artifacts else "artifacts: []\n"]
    for artifact in artifacts:
        lists = {key: artifact.pop(key) for key in ("evidence", "inputs", "files") if key in artifact}
        parts.append(_yaml([artifact]))
        for key, files in lists.items():
            parts += [f"  {key}:\n", *map(_file, files)]
    text = "".join(parts)
    if not is_seen(text.replace("\n", "")):
        # What a reviewer would not see stands between double quotes (``_text``), where these are its escapes.
        text = "\n".join(map(_written, text.split("\n")))
    return (_LOCK_HEADER + text).encode()


def _yaml(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)


def _file(file: Mapping[str, Any]) -> str:
    """A file of an artifact, the path first, which is what a reader looks for.

    These are most of a lock, so what needs no quotes in YAML is written without asking it.
    """
    url = f"    url: {_scalar(file['url'])}\n" if "url" in file else ""
    return f"  - path: {_scalar(file['path'])}\n    sha256: {_scalar(file['sha256'])}\n    size: {file['size']}\n{url}"


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else _yaml([text])[2:-1]


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes text that has an invisible character in double quotes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if is_seen(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _written(line: str) -> str:
    return line if is_seen(line) else "".join(map(_escaped, line))


def _escaped(character: str) -> str:
    if is_seen(character):
        return character
    return f"\\U{ord(character):08X}" if ord(character) > 0xFFFF else f"\\u{ord(character):04X}"


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock whole or not at all."""
    write_whole(path, lock_text(lock), mode=0o644)
