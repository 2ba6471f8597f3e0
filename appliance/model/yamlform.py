"""YAML that means one thing: the subset a definition or a lock may use.

Anchors, aliases, tags, duplicate keys and several documents are refused, and of the
plain scalars only integers, decimal numbers, ``true``, ``false`` and ``null`` are not
text.  So ``no`` stays a word and an alias bomb has no fuse.  Every key path keeps the
line it was read from, which is what an error message needs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from appliance.model.limits import MAX_YAML, MAX_YAML_DEPTH

KeyPath = tuple[str | int, ...]

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,15}")
_WORDS = {"true": True, "false": False, "null": None, "~": None}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(ValueError):
    """What is wrong and on which line (from 1)."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True)
class Document:
    """Plain data, the line (from 1) of each key path, and what is written there where it is not text.

    A number has lost how it was written: 1.10 is 1.1.
    """

    data: Any
    lines: dict[KeyPath, int]
    written: dict[KeyPath, str] = field(default_factory=dict)

    def line_of(self, path: KeyPath) -> int:
        """The line of ``path`` or of its nearest parent that was written down."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_yaml(text: bytes) -> Document:
    """Read one document.  Raises YamlError."""
    if len(text) > MAX_YAML:
        raise YamlError(f"the file is larger than {MAX_YAML} bytes", 1)
    try:
        source = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise YamlError("the file is not UTF-8", text.count(b"\n", 0, error.start) + 1) from None
    try:
        return _Reader(yaml.parse(source, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlError(str(error.problem or error), line) from None
    except yaml.YAMLError as error:
        raise YamlError(str(error).splitlines()[0], 1) from None


class _Reader:
    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.lines: dict[KeyPath, int] = {}
        self.written: dict[KeyPath, str] = {}

    def document(self) -> Document:
        next(self.events)  # stream start
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            raise YamlError("the file is empty", 1)
        data = self.value(next(self.events), ())
        next(self.events)  # document end
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise YamlError("the file holds more than one document", event.start_mark.line + 1)
        return Document(data, self.lines, self.written)

    def value(self, event: Any, path: KeyPath) -> Any:
        line = event.start_mark.line + 1
        self.lines.setdefault(path, line)
        if len(path) > MAX_YAML_DEPTH:
            raise YamlError(f"nested deeper than {MAX_YAML_DEPTH}", line)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise YamlError("anchors and aliases are not accepted: write the value out", line)
        if event.tag is not None:
            raise YamlError(f"the tag {event.tag} is not accepted", line)
        match event:
            case yaml.ScalarEvent():
                if not isinstance(data := _scalar(event), str):
                    self.written[path] = event.value
                return data
            case yaml.SequenceStartEvent():
                return self.sequence(path)
            case _:
                return self.mapping(path)

    def sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.value(event, (*path, len(items))))
        return items

    def mapping(self, path: KeyPath) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
                raise YamlError("a key must be plain text", line)
            key = event.value
            if key in items:
                raise YamlError(f"the key {key!r} appears twice (first on line {self.lines[(*path, key)]})", line)
            self.lines[(*path, key)] = line
            items[key] = self.value(next(self.events), (*path, key))
        return items


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.style not in (None, ""):  # quoted, literal or folded; libyaml says "" for plain
        return text
    if text == "":
        return None
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text
