"""OS packages: resolved by real apt, fetched by digest, carried as an apt repository.

The closure starts from a host with nothing installed: what every Debian has is carried
too, because a bare host may be an older point release than the named packages need.
Nothing of the building host is read or changed.

``resolve_packages``, ``fetch_packages`` and ``flat_repository`` serve every kind that
locks Debian packages.  Who may sign an archive is settled when it is resolved; from then
on only digests count.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from appliance.artifacts.base import Context, Layout, lock_source
from appliance.errors import BadInput, NotTrusted, Stale
from appliance.formats.deb import DebError, read_control
from appliance.formats.deb_repository import (
    Control,
    IndexedDeb,
    packages_index,
    parse_control,
    parse_inrelease,
    release_index,
)
from appliance.formats.openpgp import signature_issuers
from appliance.model.base import Strict
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.documents.package_set import (
    DEBIAN_KEYRING,
    ArchiveRecord,
    PackageSet,
    SuiteRelease,
    SuiteSource,
    read_record,
    write_record,
)
from appliance.model.files import BundleFile, Content
from appliance.model.sink import Sink
from appliance.tools.apt import PrivateApt
from appliance.tools.download import Request, download
from appliance.tools.http import Gone

_UNKNOWN_DEFINITION = "0" * 64
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


def read_deb(file: LockedFile, sink: Sink) -> Control:
    """The control stanza of a fetched package.

    Raises NotTrusted (``deb-mismatch``) when it is no .deb, or not the one that its name
    promises.
    """
    try:
        with sink.path(_content(file)).open("rb") as stream:
            control = parse_control(read_control(stream))
    except (DebError, ValueError) as error:
        raise NotTrusted("deb-mismatch", f"this is no Debian package: {error}", where=file.path) from None
    if control.file_name != file.path:
        raise NotTrusted(
            "deb-mismatch",
            "the package is another one than its name says",
            where=file.url or file.path,
            expected=file.path,
            found=control.file_name,
        )
    return control


def flat_repository(
    files: Sequence[LockedFile], sink: Sink, *, label: str = "appliance", suite: str = "stable"
) -> tuple[bytes, bytes]:
    """``Packages`` and ``Release`` of a directory that holds all fetched ``files``.

    For a line ``deb [trusted=yes] file:///DIRECTORY ./``.  The same files give the same
    bytes everywhere.
    """
    debs = [IndexedDeb(read_deb(file, sink), _content(file)) for file in files]
    packages = packages_index(debs)
    architectures = {deb.control.architecture for deb in debs}
    return packages, release_index(packages, label=label, suite=suite, architectures=architectures)


class OsPackagesSection(PackageSet):
    """A package set, and its licence as an expression or in words."""

    licence: str = Field(min_length=1, max_length=500)


class OsPackages:
    """The kind ``os-packages``: ``os/<name>/`` is a flat apt repository."""

    name: ClassVar[str] = "os-packages"
    section: ClassVar[type[Strict]] = OsPackagesSection

    def resolve(self, name: str, section: OsPackagesSection, context: Context) -> LockedArtifact:
        """See ``Kind.resolve`` and ``resolve_packages``."""
        resolved = resolve_packages(section, context)
        return LockedArtifact(
            kind=self.name,
            name=name,
            definition=_UNKNOWN_DEFINITION,
            licence=section.licence,
            source=resolved.source,
            files=resolved.files,
        )

    def check_local(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``Kind.check_local``: there is nothing of it on this host."""

    def fetch(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``Kind.fetch`` and ``fetch_packages``."""
        fetch_packages(artifact.files, artifact.source, artifact.id, context)

    def lay_out(
        self, artifacts: Sequence[LockedArtifact], context: Context
    ) -> tuple[tuple[Layout, ...], tuple[BundleFile, ...]]:
        """See ``Kind.lay_out``."""
        return tuple(_lay_out(artifact, context.sink) for artifact in artifacts), ()


def _lay_out(artifact: LockedArtifact, sink: Sink) -> Layout:
    suite = artifact.source.get("archive-suite", "stable")
    packages, release = flat_repository(artifact.files, sink, label=artifact.name, suite=suite)
    made = {"Packages": sink.put(packages), "Release": sink.put(release)}
    contents = {**{file.path: _content(file) for file in artifact.files}, **made}
    files = tuple(
        BundleFile(path=f"os/{artifact.name}/{path}", sha256=content.sha256, size=content.size)
        for path, content in sorted(contents.items())
    )
    details = {"repository": f"os/{artifact.name}", "suite": suite}
    return Layout(artifact, files, details)


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
            hint="write it without armour: gpg --export",
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
    context.progress.step(f"{len(again)} packages of {artifact} have been retired: asking {record.snapshot}")
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
    return Stale(f"the mirror has retired {names}{more}, and {why}", artifact=artifact, where=retired[0].url)


def _record(source: Mapping[str, str], artifact: str) -> ArchiveRecord:
    try:
        return read_record(source)
    except ValueError as error:
        raise lock_source(artifact, error) from None


def _url(file: LockedFile, artifact: str) -> str:
    if file.url is None:
        raise lock_source(artifact, f"there is no address of {file.path}")
    return file.url


def _content(file: LockedFile) -> Content:
    return Content(sha256=file.sha256, size=file.size)
