"""Packages for hosts and for the base of images: resolved by real apt, fetched by digest.

The closure starts from a host with nothing installed: what every Debian has is carried
too, because a bare host may be an older point release than the named packages need.
Nothing of the building host is read or changed.

Who may sign an archive, and which packages may come from it, is settled when packages are
resolved (``archives``); from then on only digests count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.artifacts.base import Context, lock_source
from appliance.artifacts.os_packages.archives import opened
from appliance.artifacts.os_packages.repository import read_deb
from appliance.artifacts.os_packages.upstream import vouched
from appliance.errors import BadInput, Stale
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.documents.package_set import ArchiveRecord, PackageSet, read_record
from appliance.model.documents.upstream import UpstreamFinding
from appliance.tools.download import Request, download
from appliance.tools.http import Gone

# What the snapshot archive may answer before a lock counts as stale.
_NO_ANSWER = {"source-gone", "source-unreachable", "source-refused"}


@dataclass(frozen=True)
class ResolvedPackages:
    """The closure, sorted by path, what to record of the archive in ``source``, and what ``vouched`` has found."""

    files: tuple[LockedFile, ...]
    source: dict[str, str]
    upstream: tuple[UpstreamFinding, ...]
    evidence: tuple[LockedFile, ...]


def resolve_packages(packageset: PackageSet, context: Context) -> ResolvedPackages:
    """Ask apt for everything that ``packageset`` needs on an empty host.

    Raises what ``opened`` and ``Archives.closure`` raise.
    """
    with opened(packageset, context) as archives:
        files = archives.closure(packageset.packages)
        return ResolvedPackages(files, archives.record(), *vouched(archives, files, context))


def fetch_packages(files: Sequence[LockedFile], source: Mapping[str, str], artifact: str, context: Context) -> None:
    """Bring ``files`` into the sink and check that each is the package it is named for.

    A file that the mirror has retired is asked of the snapshot archive.  ``artifact`` is
    ``kind/name``.  Raises Stale when no one has a file any more, NotTrusted
    (``content-mismatch``, ``deb-mismatch``) for other bytes.
    """
    _fetch(files, source, artifact, context, f"Packages of {artifact}")
    for file in files:
        read_deb(file, context.sink)


def fetch_indexes(artifact: LockedArtifact, context: Context) -> None:
    """Bring the archives' indexes into the sink that the artifact's evidence names, as ``fetch_packages`` does."""
    indexes = [file for file in artifact.evidence if file.url]
    _fetch(indexes, artifact.source, artifact.id, context, f"Indexes of {artifact.id}")


def _fetch(files: Sequence[LockedFile], source: Mapping[str, str], artifact: str, context: Context, label: str) -> None:
    requests = tuple(Request(file, _url(file, artifact), file.path) for file in files)
    try:
        download(requests, context.sink, context.progress, label)
    except Gone:
        _fetch_retired(requests, source, artifact, context)


def _fetch_retired(requests: Sequence[Request], source: Mapping[str, str], artifact: str, context: Context) -> None:
    """Fetch one by one, to know all that the mirror has retired; then ask the snapshot."""
    retired = []
    for request in requests:
        try:
            download([request], context.sink, context.progress, request.name)
        except Gone:
            retired.append(request)
    if not retired:
        return
    record = _record(source, artifact)
    again = []
    for request in retired:
        url = record.snapshot_url(request.url)
        if url is None:
            raise _stale(retired, artifact, "there is no snapshot to ask")
        again.append(Request(request.content, url, request.name))
    context.progress.step(f"{len(again)} packages of {artifact} are gone from the mirror: asking {record.snapshot}")
    try:
        download(again, context.sink, context.progress, f"Snapshot of {artifact}")
    except BadInput as error:
        if error.reference not in _NO_ANSWER:
            raise
        missing = {content.sha256 for content in context.sink.missing(request.content for request in retired)}
        left = [request for request in retired if request.content.sha256 in missing]
        raise _stale(left, artifact, f"the snapshot did not help: {error}") from None


def _stale(retired: Sequence[Request], artifact: str, why: str) -> Stale:
    names = ", ".join(request.name for request in retired[:5])
    more = f" and {len(retired) - 5} more" if len(retired) > 5 else ""
    return Stale(f"the mirror no longer has {names}{more}, and {why}", artifact=artifact, where=retired[0].url)


def _record(source: Mapping[str, str], artifact: str) -> ArchiveRecord:
    try:
        return read_record(source)
    except ValueError as error:
        raise lock_source(artifact, error) from None


def _url(file: LockedFile, artifact: str) -> str:
    if file.url is None:
        raise lock_source(artifact, f"there is no address for {file.path}")
    return file.url
