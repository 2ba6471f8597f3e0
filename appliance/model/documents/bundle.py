"""``bundle.json``: what the files of a bundle mean, and the statement that is signed.

Format and reasons: docs/bundle-format.md.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from appliance.model.base import Many, ManyByName, Strict
from appliance.model.files import BundleFile
from appliance.model.jsonform import plain_json
from appliance.model.limits import MAX_FILES, MAX_INDEX, MAX_JSON_INTEGER, MAX_ROOT_VERSION
from appliance.model.names import Name, Sha256, Version
from appliance.model.serving.adapters import check_served_names
from appliance.model.serving.profile import ServingProfile
from appliance.model.times import Lasting
from appliance.model.value_problem import first_problem

BUNDLE_SCHEMA: Literal["appliance.bundle/v1"] = "appliance.bundle/v1"
StatementType = Literal["https://in-toto.io/Statement/v1"]
STATEMENT_TYPE: StatementType = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Literal["urn:appliance:bundle:v1"] = "urn:appliance:bundle:v1"

SUMS = "SHA256SUMS"
STATEMENT = "statement.json"
INDEX = "bundle.json"
VERIFY_SCRIPT = "verify.sh"
LOG_SCRIPT = "evidence/check-log.sh"
LOCK_EVIDENCE = "evidence/lock.yaml"
PROVENANCE = "evidence/provenance.json"
NOTICE = "evidence/NOTICE.txt"
VULNERABILITIES = "evidence/vulnerabilities.json"
UPSTREAM = "evidence/upstream.json"
UPSTREAM_EVIDENCE = "evidence/upstream"
SBOMS = "evidence/sbom"
SBOM = f"{SBOMS}/bundle.cdx.json"
SIGNATURES = "sigs"
ROOTS = "trust"
# For the profile CNSA 2.0; the SHA-384 of the list itself is the end of its name.
SHA384_LIST = "evidence/SHA384SUMS"

_DIRECTORIES = {"path", "repository"}
_FILE = {"path", "sha256", "size"}


class BundleArtifact(Strict):
    """One artifact: what it is, where it came from, under which licence, which files.

    ``source`` is a record and no proof.  ``details`` is what its kind tells the site and
    auditors (for an image, its manifest digest); ``path`` and ``repository`` among them name
    a directory that holds all files of the artifact.
    """

    kind: Name
    name: Name
    licence: str
    source: ManyByName[str, str]
    details: ManyByName[str, str] = {}
    files: Many[BundleFile]

    @model_validator(mode="after")
    def _directories(self) -> "BundleArtifact":
        for key in _DIRECTORIES & self.details.keys():
            folder = self.details[key]
            if not self.files or not all(file.path.startswith(f"{folder}/") for file in self.files):
                raise ValueError(f"details.{key} is {folder!r}, but not all files of the artifact are there")
        return self


class BundleIndex(Strict):
    """The whole of ``bundle.json``.

    ``shared`` are files that belong to no single artifact, such as an OCI layout's index.
    """

    schema_: Literal["appliance.bundle/v1"] = Field(alias="schema")
    name: Name
    version: Version
    description: str
    serving: ManyByName[Name, ServingProfile]
    artifacts: Many[BundleArtifact]
    shared: Many[BundleFile] = ()

    @model_validator(mode="after")
    def _told_apart(self) -> "BundleIndex":
        artifacts = [(artifact.kind, artifact.name) for artifact in self.artifacts]
        if len(set(artifacts)) != len(artifacts):
            raise ValueError("two artifacts have the same kind and name")
        check_served_names(self.serving)
        return self


def parse_index(data: bytes, listed: Mapping[str, str] = MappingProxyType({})) -> BundleIndex:
    """Read ``bundle.json``, only after its bytes were verified.  Raises ValueError saying where it is wrong.

    ``listed`` are SHA-256 by path whose form was checked: what is said of these files is not checked twice.
    """
    value = plain_json(data, limit=MAX_INDEX, make=partial(_file_or_fields, listed))
    try:
        return BundleIndex.model_validate(_with_tuples(value))
    except ValidationError:  # read as JSON, the error has its place and its words
        pass
    try:
        return BundleIndex.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None


def _file_or_fields(listed: Mapping[str, str], fields: dict[str, Any]) -> BundleFile | dict[str, Any]:
    if fields.keys() != _FILE:
        return fields
    path, sha256, size = fields["path"], fields["sha256"], fields["size"]
    listed_as = listed.get(path) if isinstance(path, str) else None
    if listed_as is None or sha256 != listed_as or type(size) is not int or not 0 <= size <= MAX_JSON_INTEGER:
        return fields
    return BundleFile.of_checked(path, listed_as, size)


def _with_tuples(value: Any) -> Any:
    """``value`` with JSON's lists as the tuples that our types have."""
    match value:
        case list():
            return tuple(map(_with_tuples, value))
        case dict():
            return {key: _with_tuples(item) for key, item in value.items()}
    return value


class SumsDigest(Strict):
    """Digests of SHA256SUMS, hexadecimal."""

    sha256: Sha256
    sha384: str = Field(pattern=r"\A[0-9a-f]{96}\z")


class Subject(Strict):
    """The statement's only subject."""

    name: Literal["SHA256SUMS"]
    digest: SumsDigest


class Predicate(Lasting):
    """What signers vouch for beside the digests.

    ``created`` and ``expires`` are UTC, RFC 3339 to the second; ``files`` and ``bytes``
    count what SHA256SUMS lists.
    """

    name: Name
    version: Version
    previous: Version | None
    minimum_root_version: int = Field(ge=1, le=MAX_ROOT_VERSION)
    files: int = Field(ge=1, le=MAX_FILES)
    bytes: int = Field(ge=0)


class Statement(Strict):
    """An in-toto Statement v1 (https://github.com/in-toto/attestation) over SHA256SUMS."""

    type_: StatementType = Field(alias="_type")
    subject: tuple[Subject] = Field()
    predicate_type: Literal["urn:appliance:bundle:v1"] = Field(alias="predicateType")
    predicate: Predicate
