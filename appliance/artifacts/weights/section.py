"""What a definition says about one set of weights, and what a lock keeps of its origin.

A section names exactly one source.  Its origin goes into the lock as plain text fields;
whoever reads a lock turns them back into one of the origin types, which check every
field again, because a lock is a file that anybody could have edited.
"""

import re
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, Field, model_validator

from appliance.artifacts.base import ArtifactSection
from appliance.artifacts.directory import DirectoryOrigin
from appliance.formats.git import Commit
from appliance.model.addresses import PYPI, check_server
from appliance.model.base import Strict
from appliance.model.names import BundlePath, Name

ALLOW_PREFIX = "allow "  # of the origin's keys that keep the reasons of ``allow``

# Hugging Face's own rule for the names of repositories and of their owners.
_REPO_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO = re.compile(rf"(?:{_REPO_PART}/)?{_REPO_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}")


def _check_repo(value: str) -> str:
    if not _REPO.fullmatch(value) or ".." in value or "--" in value or value.endswith(".git"):
        raise ValueError(f"{value!r} is not a repository: write owner/name as in its address on the hub")
    return value


def _check_revision(value: str) -> str:
    if not _REVISION.fullmatch(value) or ".." in value:
        raise ValueError(f"{value!r} is not a revision: write a branch, a tag or a commit")
    return value


def _check_requirement(value: str) -> str:
    try:
        requirement = Requirement(value)
    except InvalidRequirement:
        raise ValueError(f"{value!r} is not a requirement: write name==version") from None
    if requirement.url or requirement.extras or requirement.marker:
        raise ValueError(f"{value!r} has more than a name and versions: write name==version")
    return value


def _check_reason(value: str) -> str:
    if not value.strip():
        raise ValueError("says nothing: write why the file is needed and who reviewed it")
    return value


RepoId = Annotated[str, AfterValidator(_check_repo)]
Revision = Annotated[str, AfterValidator(_check_revision)]
Server = Annotated[str, AfterValidator(check_server)]
Pattern = Annotated[str, Field(min_length=1, max_length=500)]
Reason = Annotated[str, Field(max_length=1000), AfterValidator(_check_reason)]


class Selection(Strict):
    """Which files of a source are taken: those that match ``files`` and not ``exclude``.

    Patterns are those of huggingface_hub: ``*`` also matches ``/``.
    """

    files: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether the file at ``path`` is taken."""
        wanted = not self.files or any(fnmatchcase(path, pattern) for pattern in self.files)
        return wanted and not any(fnmatchcase(path, pattern) for pattern in self.exclude)

    def unused(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """The patterns that match none of ``paths``."""
        return tuple(
            pattern for pattern in (*self.files, *self.exclude) if not any(fnmatchcase(path, pattern) for path in paths)
        )


class HuggingFaceSource(Selection):
    """A model repository of a hub; ``revision`` is a branch, a tag or a commit."""

    repo: RepoId
    revision: Revision = "main"


class WheelSource(Selection):
    """The files below ``path`` in the one wheel that an index has for ``requirement``."""

    requirement: Annotated[str, AfterValidator(_check_requirement)]
    path: BundlePath
    index: Server = PYPI


class AdapterSection(Strict):
    """That weights are a LoRA adapter, ``of`` others of the definition.

    ``trained_on`` is what its own configuration calls these, where that is not the name of their repository: whoever
    writes it down vouches that it means the same weights.
    """

    of: Name
    trained_on: str | None = Field(default=None, min_length=1, max_length=500)


class WeightsSection(ArtifactSection):
    """One entry under ``weights``.

    ``licence`` is its name as the publisher writes it.  ``allow`` maps the path of a file
    that the content gate refuses to the reason why it is taken all the same.
    """

    huggingface: HuggingFaceSource | None = None
    wheel: WheelSource | None = None
    directory: BundlePath | None = None
    licence: str = Field(min_length=1, max_length=200, pattern=r"\S")
    allow: dict[BundlePath, Reason] = {}
    # Locks of others have the digest of a section without it.
    adapter: AdapterSection | None = Field(default=None, exclude_if=lambda adapter: adapter is None)

    @model_validator(mode="after")
    def _one_source(self) -> "WeightsSection":
        sources = {"huggingface": self.huggingface, "wheel": self.wheel, "directory": self.directory}
        given = [name for name, source in sources.items() if source is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one source, {', '.join(sources)}; found {' and '.join(given) or 'none of them'}"
            )
        return self

    @model_validator(mode="after")
    def _adapters_take_no_exceptions(self) -> "WeightsSection":
        if self.adapter is not None and self.allow:
            raise ValueError("an adapter must have no allow: its two files and texts are all that it may have")
        return self


class HuggingFaceOrigin(Strict):
    """Where locked files come from; the hub's address is not part of it."""

    type: Literal["huggingface"] = "huggingface"
    repo: RepoId
    revision: Revision
    commit: Commit


class WheelOrigin(Strict):
    """The wheel itself is the artifact's only input."""

    type: Literal["wheel"] = "wheel"
    index: Server
    requirement: str
    path: BundlePath


Origin = HuggingFaceOrigin | WheelOrigin | DirectoryOrigin
_ORIGINS: dict[str, type[Origin]] = {
    "huggingface": HuggingFaceOrigin,
    "wheel": WheelOrigin,
    "directory": DirectoryOrigin,
}


def source_fields(origin: Origin, allow: dict[str, str]) -> dict[str, str]:
    """``origin`` and the reasons of ``allow`` as the lock keeps them: text by name."""
    fields: dict[str, Any] = origin.model_dump()
    return {**fields, **{f"{ALLOW_PREFIX}{path}": reason for path, reason in sorted(allow.items())}}


def read_source(fields: dict[str, str]) -> tuple[Origin, dict[str, str]]:
    """The origin and ``allow`` that ``source_fields`` wrote.  Raises ValueError."""
    allow = {key.removeprefix(ALLOW_PREFIX): text for key, text in fields.items() if key.startswith(ALLOW_PREFIX)}
    rest = {key: text for key, text in fields.items() if not key.startswith(ALLOW_PREFIX)}
    model = _ORIGINS.get(rest.get("type", ""))
    if model is None:
        raise ValueError(f"there is no source of the type {rest.get('type', '')!r}")
    return model.model_validate(rest), allow
