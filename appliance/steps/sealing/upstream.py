"""``evidence/upstream.json`` and what lies below ``evidence/upstream``: what upstream has signed of each artifact.

It follows from the lock alone.  Who has checked what, and how to check it again: docs/provenance.md.
"""

from collections.abc import Iterator

from appliance.model.documents.bundle import UPSTREAM_EVIDENCE
from appliance.model.documents.lock import Lock
from appliance.model.documents.upstream import UPSTREAM_SCHEMA, ArtifactUpstream, UpstreamReport
from appliance.model.files import BundleFile
from appliance.model.jsonform import pretty_json


def upstream_report(lock: Lock) -> bytes:
    """The report, artifacts by name."""
    artifacts = sorted(lock.artifacts, key=lambda artifact: artifact.id)
    report = UpstreamReport(
        schema_=UPSTREAM_SCHEMA,
        artifacts=tuple(ArtifactUpstream(artifact=entry.id, findings=entry.upstream) for entry in artifacts),
    )
    return pretty_json(report.model_dump(mode="json", by_alias=True))


def upstream_files(lock: Lock) -> Iterator[BundleFile]:
    """What is kept, each once: artifacts of one archive share its files."""
    kept = {file.path: file for artifact in lock.artifacts for file in artifact.evidence}
    for path, file in kept.items():
        yield BundleFile(path=f"{UPSTREAM_EVIDENCE}/{path}", sha256=file.sha256, size=file.size)
