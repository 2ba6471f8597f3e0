"""Packages for hosts and for the base of images: resolved by real apt, fetched by digest.

The closure starts from a host with nothing installed: what every Debian has is carried
too, because a bare host may be an older point release than the named packages need.
Nothing of the building host is read or changed.

Who may sign an archive is settled when packages are resolved; from then on only digests
count.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.artifacts.base import Context, lock_source
from appliance.artifacts.os_packages.repository import read_deb
from appliance.errors import BadInput, NotTrusted, Stale
from appliance.formats.deb_repository import parse_inrelease
from appliance.formats.openpgp import signature_issuers
from appliance.model.documents.lock import LockedFile
from appliance.model.documents.package_set import (
    DEBIAN_KEYRING,
    ArchiveRecord,
    PackageSet,
    SuiteRelease,
    SuiteSource,
    read_record,
    write_record,
)
from appliance.tools.apt import PrivateApt
from appliance.tools.download import Request, download
from appliance.tools.http import Gone

# What the snapshot archive may answer before a lock counts as stale.
_NO_ANSWER = {"source-gone", "source-unreachable", "source-refused"}


@dataclass(frozen=True)
class ResolvedPackages:
    """The closure, sorted by path, and what to record of the archive in ``source``."""

    files: tuple[LockedFile, ...]
    source: dict[str, str]


def resolve_packages(packageset: PackageSet, context: Context) -> ResolvedPackages:
    """Ask apt for everything that ``packageset`` needs on an empty host.

    Raises BadInput (``package-unknown``, ``packages-unsatisfiable``, ``source-*``,
    ``keyring-*``) and NotTrusted (``archive-signature``).
    """
    keyring = _read_keyring(packageset, context.base)
    with context.sink.work("apt") as folder:
        apt = PrivateApt(folder, packageset.architecture, packageset.sources(), keyring)
        apt.update()
        releases = tuple(_release(source, apt.in_release(source)) for source in apt.sources)
        # apt decides between alternatives in the order of its arguments
        debs = apt.closure(sorted(packageset.packages))
    files = tuple(
        LockedFile(path=deb.file_name, url=deb.url, sha256=deb.content.sha256, size=deb.content.size) for deb in debs
    )
    return ResolvedPackages(files, write_record(packageset, hashlib.sha256(keyring).hexdigest(), releases))


def fetch_packages(files: Sequence[LockedFile], source: Mapping[str, str], artifact: str, context: Context) -> None:
    """Bring ``files`` into the sink and check that each is the package it is named for.

    A file that the mirror has retired is asked of the snapshot archive.  ``artifact`` is
    ``kind/name``.  Raises Stale when no one has a file any more, NotTrusted
    (``content-mismatch``, ``deb-mismatch``) for other bytes.
    """
    requests = tuple(Request(file, _url(file, artifact), file.path) for file in files)
    label = f"Packages of {artifact}"
    try:
        download(requests, context.sink, context.progress, label)
    except Gone:
        _fetch_retired(requests, source, artifact, context)
    for file in files:
        read_deb(file, context.sink)


def _read_keyring(packageset: PackageSet, base: Path) -> bytes:
    path = base / packageset.keyring if packageset.keyring else Path(DEBIAN_KEYRING)
    try:
        keyring = path.read_bytes()
    except OSError as error:
        raise BadInput(
            "keyring-missing",
            f"the archive's keyring cannot be read: {error.strerror}",
            where=str(path),
            hint="" if packageset.keyring else "install it: apt-get install debian-archive-keyring",
        ) from None
    if not keyring or not keyring[0] & 0x80:  # every OpenPGP packet starts with this bit
        raise BadInput(
            "keyring-format",
            "the keyring holds no binary OpenPGP keys",
            where=str(path),
            hint="export it without armour: gpg --export",
        )
    return keyring


def _release(source: SuiteSource, data: bytes) -> SuiteRelease:
    where = f"{source.url} {source.suite}"
    try:
        release = parse_inrelease(data)
    except ValueError as error:
        raise NotTrusted("archive-signature", f"the release file cannot be read: {error}", where=where) from None
    # apt only warns when a mirror answers with another suite's signed release
    if source.suite not in (release.suite, release.codename):
        raise NotTrusted(
            "archive-signature",
            "the mirror offers the signed release of another suite",
            where=where,
            expected=source.suite,
            found=release.codename or release.suite,
        )
    try:
        issuers = signature_issuers(data)
    except ValueError:  # apt has accepted it: a form that only the record does not know
        issuers = ()
    return SuiteRelease(source.suite, release.date, hashlib.sha256(data).hexdigest(), issuers)


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
