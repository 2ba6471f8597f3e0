"""``evidence/provenance.json``: what a bundle was made of, by which tool, as SLSA's provenance.

An in-toto Statement v1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) with the predicate
https://slsa.dev/provenance/v1.  It follows from the lock alone: no time and no host is in it, so each builder of a
lock writes the same bytes, and its signature is that of SHA256SUMS.  docs/provenance.md explains each field.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from appliance import __version__
from appliance.formats.slsa import PREDICATE_TYPE
from appliance.model.documents.bundle import LOCK_EVIDENCE, STATEMENT_TYPE
from appliance.model.documents.lock import Lock, LockedArtifact, LockedFile
from appliance.model.files import Content
from appliance.model.jsonform import pretty_json, sorted_json

BUILD_TYPE = "urn:appliance:build:v1"
# SLSA: "the transitive closure of the trusted build platform".  Whose host it was is no part of it: the bytes would
# differ, and it is the signers who say whose build they stand for.
BUILDER = f"urn:appliance:builder:{__version__}"


def provenance(lock: Lock, files: Mapping[str, Content]) -> bytes:
    """The statement about ``files``: what the bundle holds, by path, and the lock's copy among it.

    Left out are this file and those that name its digest: ``bundle.json``, and the list of SHA-384.
    """
    return pretty_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [_resource(path, files[path]) for path in sorted(files) if path != LOCK_EVIDENCE],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": _definition(lock),
                    "internalParameters": {"sources": {artifact.id: artifact.source for artifact in lock.artifacts}},
                    "resolvedDependencies": _dependencies(lock),
                },
                "runDetails": {
                    "builder": {"id": BUILDER},
                    "byproducts": [_resource(LOCK_EVIDENCE, files[LOCK_EVIDENCE])],
                },
            },
        }
    )


def _definition(lock: Lock) -> dict[str, Any]:
    """What a person has asked for; ``digest`` is the SHA-256 of all else here, as ``sorted_json`` writes it."""
    asked = {
        "bundle": lock.bundle.model_dump(mode="json", by_alias=True, exclude_none=True),
        "sections": {artifact.id: artifact.definition for artifact in lock.artifacts},
    }
    return {**asked, "digest": {"sha256": hashlib.sha256(sorted_json(asked)).hexdigest()}}


def _dependencies(lock: Lock) -> list[dict[str, Any]]:
    found = [{"name": f"definition/{file.path}", "digest": {"sha256": file.sha256}} for file in lock.included]
    for artifact in sorted(lock.artifacts, key=lambda entry: entry.id):
        for file in sorted(_taken(artifact), key=lambda entry: entry.path):
            found.append(_resource(f"{artifact.id}/{file.path}", file, file.url))
    return found


def _taken(artifact: LockedArtifact) -> Iterable[LockedFile]:
    """What came from outside.  A file without an address is made of the inputs, where there are any."""
    yield from artifact.inputs
    yield from (file for file in artifact.files if file.url or not artifact.inputs)


def _resource(name: str, content: Content, uri: str | None = None) -> dict[str, Any]:
    """An in-toto ResourceDescriptor."""
    return {"name": name, "digest": {"sha256": content.sha256}} | ({"uri": uri} if uri else {})
