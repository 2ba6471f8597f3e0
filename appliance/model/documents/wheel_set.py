"""A set of Python wheels to resolve, and the Python that is to install them.

Used wherever wheels are locked: for hosts and for images that are built here.  The rules
for choosing among a release's wheels are those of pip on the target, so what is locked
is what pip would have taken there.

Formats: PEP 508 for requirements, PEP 425 and PEP 600 for tags.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidName,
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)
from pydantic import AfterValidator, Field, field_validator, model_validator

from appliance.model.addresses import PYPI, is_fetchable
from appliance.model.base import Strict
from appliance.model.names import LocalPath, Name, check_local_path

_PLATFORM = re.compile(r"(x86_64|aarch64)-manylinux_2_([1-9][0-9]?)")
# The oldest glibc 2.x that has wheels: manylinux1 (PEP 513) and, elsewhere, manylinux2014 (PEP 599).
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}
_LEGACY_TAGS = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
_PYTHON = re.compile(r"3\.[1-9]?[0-9](?:\.[1-9]?[0-9])?")
_WHEEL_NAME = re.compile(r"[A-Za-z0-9_.+!-]+\.whl")
_REPOSITORY = re.compile(r"https://(?:github|gitlab)\.com(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*){2,}")
_PROJECTS = "wheels-projects"


def _check_package(value: str) -> str:
    try:
        return canonicalize_name(value, validate=True)
    except InvalidName:
        raise ValueError(f"{value!r} is not the name of a Python distribution: give no version here") from None


def _check_requirement(value: str) -> str:
    try:
        requirement = Requirement(value)
    except InvalidRequirement as error:
        problem = str(error).splitlines()[0]
        raise ValueError(f"{value!r} is not a requirement: {problem}") from None
    if requirement.url:
        raise ValueError(
            f"{value!r} has an address: requirements come from an index, source trees belong in 'projects'"
        )
    return value


def _check_index_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with a user or a password does not belong in a definition")
    if not is_fetchable(value) or parts.query or parts.fragment:
        raise ValueError(f"{value!r} is not the https address of a package index")
    return value.rstrip("/")


def _check_python(value: str) -> str:
    if not _PYTHON.fullmatch(value):
        raise ValueError(f"{value!r} is not a Python version: write two or three numbers, for example 3.13 or 3.13.1")
    return value


def _check_platform(value: str) -> str:
    match = _PLATFORM.fullmatch(value)
    if not match or int(match[2]) < 17:
        raise ValueError(
            f"{value!r} is not a platform: write x86_64-manylinux_2_N or aarch64-manylinux_2_N, where 2.N (17 or more) "
            "is the target's glibc"
        )
    return value


def _check_repository(value: str) -> str:
    if not _REPOSITORY.fullmatch(value):
        raise ValueError(f"{value!r} is not a repository: write https://github.com/OWNER/NAME, or one of gitlab.com")
    return value


PackageName = Annotated[str, AfterValidator(_check_package)]
RepositoryUrl = Annotated[str, AfterValidator(_check_repository)]
RequirementText = Annotated[str, AfterValidator(_check_requirement)]
IndexUrl = Annotated[str, AfterValidator(_check_index_url)]


class Index(Strict):
    """A package index for the distributions named in ``packages``, and for no others."""

    name: Name
    url: IndexUrl
    packages: tuple[PackageName, ...] = Field(min_length=1)


class WheelSet(Strict):
    """What to resolve: ``requirements``, own source trees, and all they need.

    ``python`` is the target's version; with two numbers markers see ``3.x.0``.
    ``platform`` names its machine and glibc.  ``projects`` are paths relative to the
    definition.  ``exclude`` names what is left out although something asks for it.  ``publishers`` names packages
    whose wheels have to come with an attestation, and the address of the one repository that may have published them.
    """

    python: Annotated[str, AfterValidator(_check_python)]
    platform: Annotated[str, AfterValidator(_check_platform)]
    requirements: tuple[RequirementText, ...] = ()
    projects: tuple[LocalPath, ...] = ()
    index: IndexUrl = PYPI
    indexes: tuple[Index, ...] = ()
    exclude: tuple[PackageName, ...] = ()
    sdists: tuple[PackageName, ...] = ()
    # Not written where it is not given, so that locks from before stay as they are
    publishers: dict[PackageName, RepositoryUrl] = Field(default={}, exclude_if=lambda value: not value)

    @field_validator("sdists")
    @classmethod
    def _no_sdists(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if names:
            raise ValueError(
                f"{names[0]} cannot be built from an sdist: that runs its code here and gives other bytes each time; "
                "build the wheel once, offer it on an index of your own and name that in 'indexes'"
            )
        return names

    @model_validator(mode="after")
    def _consistent(self) -> "WheelSet":
        if not self.requirements and not self.projects:
            raise ValueError("there is nothing to resolve: give 'requirements' or 'projects'")
        names = [index.name for index in self.indexes]
        bound = [package for index in self.indexes for package in index.packages]
        for values, what in ((names, "the index"), (bound, "the package")):
            if twice := _first_repeated(values):
                raise ValueError(f"{what} {twice!r} appears twice in 'indexes'")
        if both := sorted({*bound, *self.required_names()} & set(self.exclude)):
            raise ValueError(f"{both[0]!r} is both required and excluded")
        return self

    def required_names(self) -> set[str]:
        """The canonical names in ``requirements``."""
        return {canonicalize_name(Requirement(text).name) for text in self.requirements}

    def bindings(self) -> dict[str, Index]:
        """The index of each package that is bound to one."""
        return {package: index for index in self.indexes for package in index.packages}

    @property
    def machine(self) -> str:
        """The target's machine as ``uname -m`` prints it."""
        return self.platform.partition("-")[0]

    @property
    def glibc_minor(self) -> int:
        """N of the target's glibc 2.N."""
        return int(self.platform.rpartition("_")[2])

    def tags(self) -> tuple[Tag, ...]:
        """What pip on the target accepts, the most wanted first."""
        version = tuple(int(part) for part in self.python.split(".")[:2])
        interpreter = f"cp{version[0]}{version[1]}"
        platforms = tuple(_platforms(self.machine, self.glibc_minor))
        return (
            *cpython_tags(version, [interpreter], platforms),
            *compatible_tags(version, interpreter, platforms),
        )

    def choose(self, filenames: Iterable[str]) -> str | None:
        """The wheel that pip on the target would take, or None when none fits.

        Names that are no wheel names are passed over, as pip does.
        """
        rank = {tag: number for number, tag in enumerate(self.tags())}
        candidates = []
        for filename in filenames:
            try:
                _, _, build, tags = parse_wheel_filename(filename)
            except InvalidWheelFilename:
                continue
            if not _WHEEL_NAME.fullmatch(filename):  # the parser lets other characters pass in tags
                continue
            if known := [rank[tag] for tag in tags if tag in rank]:
                candidates.append((-min(known), build, filename))
        return max(candidates)[2] if candidates else None


def write_record(wheels: WheelSet) -> dict[str, str]:
    """The entries of a lock's ``source``.  All keys start with ``wheels-``."""
    record = {
        "wheels-python": wheels.python,
        "wheels-platform": wheels.platform,
        "wheels-index": wheels.index,
        "wheels-requirements": ", ".join(sorted(wheels.requirements)),
        "wheels-exclude": " ".join(sorted(wheels.exclude)),
        _PROJECTS: shlex.join(wheels.projects),
    }
    for index in wheels.indexes:
        record[f"wheels-index-{index.name}"] = f"{index.url} for {' '.join(sorted(index.packages))}"
    return {key: value for key, value in sorted(record.items()) if value}


def read_projects(source: Mapping[str, str]) -> tuple[str, ...]:
    """The source trees that ``write_record`` recorded.  Raises ValueError: anybody can edit a lock."""
    return tuple(map(check_local_path, shlex.split(source.get(_PROJECTS, ""))))


def _platforms(machine: str, glibc_minor: int) -> Iterator[str]:
    for minor in range(glibc_minor, _OLDEST_GLIBC[machine] - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in _LEGACY_TAGS:
            yield f"{_LEGACY_TAGS[minor]}_{machine}"
    yield f"linux_{machine}"


def _first_repeated(values: list[str]) -> str | None:
    return next((value for number, value in enumerate(values) if value in values[:number]), None)
