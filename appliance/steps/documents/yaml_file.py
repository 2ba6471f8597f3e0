"""YAML files that people write, read into types.

An error names file, line, key path, and for a misspelt key the nearest valid one.
"""

import difflib
import functools
import json
import operator
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from appliance.errors import BadInput
from appliance.model.limits import MAX_YAML
from appliance.model.value_problem import problem_of
from appliance.model.yamlform import Document, KeyPath, YamlError, read_yaml
from appliance.store.disk import read_bounded

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class YamlFile:
    """A YAML file that is being read; ``what`` is the first word of error references."""

    path: Path
    what: str
    document: Document

    @classmethod
    def read(cls, path: Path, what: str, *, hint: str = "") -> "YamlFile":
        """Read a file.  Raises BadInput (``<what>-unreadable``, ``<what>-yaml``)."""
        return cls.parse(path, what, read_bounded(path, MAX_YAML, f"{what}-unreadable", f"the {what}", hint))

    @classmethod
    def parse(cls, path: Path, what: str, text: bytes) -> "YamlFile":
        """Take what was read from ``path``.  Raises BadInput (``<what>-yaml``)."""
        try:
            return cls(path, what, read_yaml(text))
        except YamlError as error:
            raise BadInput(f"{what}-yaml", str(error), where=f"{path}:{error.line}") from None

    @property
    def data(self) -> Any:
        """Plain data."""
        return self.document.data

    def typed(self, model: type[_Model], data: Any, base: KeyPath) -> _Model:
        """``data``, which stands at ``base``, as a ``model``.  Raises BadInput (``<what>-value``, ``-unknown-key``)."""
        try:
            # Through JSON, because strict types read a YAML list as a tuple only from there.
            return model.model_validate_json(json.dumps(data))
        except ValidationError as error:
            # A misspelt key is also a missing one: name what was written.
            first = min(
                error.errors(),
                key=lambda item: (item["type"] != "extra_forbidden", self.document.line_of((*base, *item["loc"]))),
            )
        key: KeyPath = (*base, *first["loc"])
        if first["type"] == "extra_forbidden":
            raise self.unknown_key(key, _valid_keys(model, tuple(first["loc"][:-1])))
        written = self.document.written.get(key)
        raise self.error("value", problem_of(first, written), key, hint=_hint(first, written))

    def unknown_key(self, key: KeyPath, valid: list[str]) -> BadInput:
        """An error that names the nearest of the ``valid`` keys."""
        near = difflib.get_close_matches(str(key[-1]), valid, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"valid keys: {', '.join(sorted(valid))}"
        return self.error("unknown-key", f"unknown key {key[-1]!r}", key, hint=hint)

    def error(self, reference: str, what: str, key: KeyPath, *, hint: str = "") -> BadInput:
        """An error about what stands at ``key``."""
        return BadInput(f"{self.what}-{reference}", what, where=self.place(key), hint=hint)

    def place(self, key: KeyPath) -> str:
        """File, line and dotted path of a key."""
        dotted = ".".join(str(part) for part in key if part != "[key]")  # pydantic's mark for a key's own error
        return f"{self.path}:{self.document.line_of(key)}" + (f": {dotted}" if dotted else "")

    def find(self, value: str, base: KeyPath) -> str:
        """The place of ``value`` below ``base``, or of ``base`` itself."""
        for key in self.document.lines:
            if key[: len(base)] == base and functools.reduce(operator.getitem, key, self.data) == value:
                return self.place(key)
        return self.place(base)


def _hint(error: Any, written: str | None) -> str:
    if error["type"] == "string_type" and written:
        return f'write it in quotes: "{written}"'
    return ""


def _valid_keys(model: Any, location: KeyPath) -> list[str]:
    """The keys that may stand at ``location`` below a pydantic type."""
    candidates: list[Any] = [model]
    for part in location:
        following: list[Any] = []
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                fields = {field.alias or name: field.annotation for name, field in candidate.model_fields.items()}
                following += _unfold(fields[part]) if part in fields else []
            elif isinstance(part, int) or typing.get_origin(candidate) is dict:
                following += _unfold(typing.get_args(candidate)[-1 if typing.get_origin(candidate) is dict else 0])
        candidates = following
    return [
        field.alias or name
        for candidate in candidates
        if isinstance(candidate, type) and issubclass(candidate, BaseModel)
        for name, field in candidate.model_fields.items()
    ]


def _unfold(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        arguments = typing.get_args(annotation)
        return [
            leaf
            for argument in (arguments[:1] if origin is typing.Annotated else arguments)
            for leaf in _unfold(argument)
        ]
    return [annotation]
