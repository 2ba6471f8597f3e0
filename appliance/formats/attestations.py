"""Attestations of Python distributions, as an index publishes them; whether they hold is decided elsewhere.

Formats: the provenance object and its attestations of PEP 740 (https://peps.python.org/pep-0740/), publishers as PyPI
writes them (https://docs.pypi.org/attestations/), in-toto Statement v1, and Sigstore's bundle v0.3, into which an
attestation is put for whoever verifies it (https://docs.sigstore.dev/about/bundle/).
"""

import re
from dataclasses import dataclass
from typing import Any

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from appliance.formats.dsse import SIGSTORE_MEDIA_TYPE, STATEMENT_PAYLOAD_TYPE
from appliance.formats.json_fields import as_object, object_at, objects_at, text_at
from appliance.formats.slsa import PREDICATE_TYPE
from appliance.model.documents.bundle import STATEMENT_TYPE
from appliance.model.jsonform import sorted_json, strict_json
from appliance.model.limits import MAX_PROVENANCE

_WORD = re.compile(r"[A-Za-z0-9_./ +@-]{1,256}")
# What PEP 740 calls attestation types, as far as PyPI takes them.
_TYPES = ("https://docs.pypi.org/attestations/publish/v1", PREDICATE_TYPE)


@dataclass(frozen=True)
class Publisher:
    """Who has published, as the index says: a ``kind`` of host of repositories, and a workflow of one of them.

    ``workflow`` is the path of its file in the repository.  Both are "" for a kind that is not known here.
    """

    kind: str
    repository: str = ""
    workflow: str = ""


@dataclass(frozen=True)
class Attestation:
    """One attestation: who is said to have made it, and Sigstore's bundle with it, as JSON."""

    publisher: Publisher
    bundle: bytes


def parse_provenance(data: bytes) -> tuple[Attestation, ...]:
    """The attestations of a provenance object.  Raises ValueError; one without any is not in its form."""
    provenance = as_object(strict_json(data, limit=MAX_PROVENANCE), "it")
    if provenance.get("version") != 1:
        raise ValueError(f"it has the version {provenance.get('version')!r}, not 1")
    found = []
    for group in objects_at(provenance, "attestation_bundles"):
        publisher = _publisher(object_at(group, "publisher"))
        found += [Attestation(publisher, _bundle(one)) for one in objects_at(group, "attestations")]
    return tuple(found)


def check_statement(payload: bytes, filename: str, sha256: str) -> None:
    """Raise ValueError unless a statement that was verified is about this file, and of a type that PyPI takes."""
    statement = as_object(strict_json(payload, limit=MAX_PROVENANCE), "it")
    if statement.get("_type") != STATEMENT_TYPE:
        raise ValueError(f"it is no in-toto statement: {statement.get('_type')!r}")
    if statement.get("predicateType") not in _TYPES:
        raise ValueError(f"it states something else: {statement.get('predicateType')!r}")
    subjects = objects_at(statement, "subject")
    if len(subjects) != 1:
        raise ValueError(f"it is about {len(subjects)} files, not one")
    name, digest = text_at(subjects[0], "name"), object_at(subjects[0], "digest").get("sha256")
    if not _same_name(name, filename) or digest != sha256:
        raise ValueError(f"it is about {name} with the SHA-256 {digest}")


def _same_name(told: str, filename: str) -> bool:
    """Publishers may write a version or the order of tags in another way than the index."""
    try:
        return told == filename or parse_wheel_filename(told) == parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return False


def _publisher(fields: dict[str, Any]) -> Publisher:
    kind = _word(fields, "kind")
    match kind:
        case "GitHub":
            return Publisher(kind, _word(fields, "repository"), f".github/workflows/{_word(fields, 'workflow')}")
        case "GitLab":
            return Publisher(kind, _word(fields, "repository"), _word(fields, "workflow_filepath"))
    return Publisher(kind)


def _word(fields: dict[str, Any], key: str) -> str:
    """Text that ends in a lock, where people read it."""
    value = text_at(fields, key)
    if not _WORD.fullmatch(value):
        raise ValueError(f"{key} of the publisher is longer than a name, or has characters that no name has")
    return value


def _bundle(attestation: dict[str, Any]) -> bytes:
    if attestation.get("version") != 1:
        raise ValueError(f"an attestation has the version {attestation.get('version')!r}, not 1")
    material, envelope = (object_at(attestation, key) for key in ("verification_material", "envelope"))
    return sorted_json(
        {
            "mediaType": SIGSTORE_MEDIA_TYPE,
            "verificationMaterial": {
                "certificate": {"rawBytes": text_at(material, "certificate")},
                "tlogEntries": objects_at(material, "transparency_entries"),
            },
            "dsseEnvelope": {
                "payload": text_at(envelope, "statement"),
                "payloadType": STATEMENT_PAYLOAD_TYPE,
                "signatures": [{"sig": text_at(envelope, "signature")}],
            },
        }
    )
