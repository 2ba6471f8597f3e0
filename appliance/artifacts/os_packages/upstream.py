"""What leads from an archive's key to each of its packages, kept for those who check it again.

The key leads to InRelease by its signature, InRelease to an index by its SHA-256, and the index to each package by
its own.  apt has gone this way already; from InRelease on it is gone here once more, over the very files that are kept.

    archives/<SHA-256 of InRelease>/InRelease
    archives/<SHA-256 of InRelease>/keys.gpg                 the keys that the definition trusts for it
    archives/<SHA-256 of InRelease>/main/binary-amd64/Packages.xz      where InRelease says, each that lists a package
                                                              which no archive before it has

InRelease is replaced at its address with each update of an archive, so it lies beside the lock.  An index that the
archive keeps under its digest too is fetched again from there.
"""

from collections.abc import Iterable, Iterator

from appliance.artifacts.base import Context
from appliance.artifacts.os_packages.archives import Archives
from appliance.errors import BadInput, NotTrusted
from appliance.formats.deb_repository import InRelease, listed_digests, parse_inrelease
from appliance.formats.unpacking import UNREADABLE, Forward
from appliance.model.documents.archive import SuiteSource
from appliance.model.documents.lock import LockedFile
from appliance.model.documents.package_set import SuiteRelease
from appliance.model.documents.upstream import UpstreamFinding
from appliance.model.files import Content
from appliance.model.limits import MAX_PACKAGES_INDEX, MIB
from appliance.tools.download import Request, download
from appliance.tools.http import Gone

# The smallest first.  Packed with what else apt reads, none is kept: each archive known to us has one of these.
_PACKINGS = {".xz": "xz", ".gz": "gzip", "": ""}


def vouched(
    archives: Archives, files: Iterable[LockedFile], context: Context
) -> tuple[tuple[UpstreamFinding, ...], tuple[LockedFile, ...]]:
    """What the archives have signed that names ``files``: a finding for each archive, and what is kept of it.

    Raises NotTrusted (``archive-index``) for a package that no signed index lists, and BadInput
    (``archive-index``) for an index that cannot be kept.
    """
    left = {file.sha256: file for file in files}
    findings: list[UpstreamFinding] = []
    evidence: dict[str, LockedFile] = {}
    for release in archives.releases:
        indexes = _indexes_with(left, release, archives, context) if left else []
        listed = {digest for _, digests in indexes for digest in digests & left.keys()}
        told = f"it lists {len(listed)} of the packages" if left else "archives before it list all of the packages"
        kept = {file.path: file for file in (*_heads(release, archives, context), *(index for index, _ in indexes))}
        findings.append(_finding(release, told, sorted(kept)))
        evidence |= kept
        left = {digest: file for digest, file in left.items() if digest not in listed}
    for file in left.values():
        what = "no index that the archives have signed lists this package"
        raise NotTrusted("archive-index", what, where=file.url or file.path, found=file.sha256)
    return tuple(findings), tuple(evidence[path] for path in sorted(evidence))


def _finding(release: SuiteRelease, told: str, evidence: Iterable[str]) -> UpstreamFinding:
    # apt takes a release with one good signature, and does not say whose
    named = f", which names {' '.join(release.issuers)}" if release.issuers else ""
    return UpstreamFinding(
        about=f"{release.source.url} {release.source.suite}",
        state="verified",
        said=f"apt has accepted its signature{named}; {told}",
        evidence=tuple(evidence),
    )


def _folder(release: SuiteRelease) -> str:
    return f"archives/{release.sha256}"


def _heads(release: SuiteRelease, archives: Archives, context: Context) -> Iterator[LockedFile]:
    heads = {"InRelease": archives.apt.in_release(release.source), "keys.gpg": archives.keys[release.source.origin]}
    for name, data in heads.items():
        content = context.sink.put(data)
        yield LockedFile(path=f"{_folder(release)}/{name}", sha256=content.sha256, size=content.size)


def _indexes_with(
    wanted: Iterable[str], release: SuiteRelease, archives: Archives, context: Context
) -> list[tuple[LockedFile, frozenset[str]]]:
    """The indexes that list one of the digests ``wanted``, in the sink, with all digests that they list."""
    source = release.source
    head = parse_inrelease(archives.apt.in_release(source))
    found = []
    for name in archives.apt.index_names(source):
        path, content, url = _fetched(source, name, head, context)
        packing = _PACKINGS[path.removeprefix(name)]
        try:
            digests = listed_digests(_pieces(content, packing, context))
        except UNREADABLE as error:
            what = f"the archive's index cannot be read: {error}"
            raise NotTrusted("archive-index", what, where=f"{source.base}{path}") from None
        if not digests.isdisjoint(wanted):
            place = f"{_folder(release)}/{path}"
            found.append((LockedFile(path=place, sha256=content.sha256, size=content.size, url=url), digests))
    return found


def _fetched(source: SuiteSource, name: str, head: InRelease, context: Context) -> tuple[str, Content, str | None]:
    """The index ``name`` in the first form that there is: its path, what it is, and where it stays, if anywhere."""
    for suffix in _PACKINGS:
        path = f"{name}{suffix}"
        content = head.files.get(path)
        if content is None:
            continue
        lasting = f"{source.base}{name.rpartition('Packages')[0]}by-hash/SHA256/{content.sha256}"
        for url, stays in ((lasting, True), (f"{source.base}{path}", False)):
            if stays and not head.by_hash:
                continue
            try:
                download([Request(content, url, path)], context.sink, context.progress, f"{source.suite} {path}")
            except Gone:
                continue
            return path, content, url if stays else None
    raise BadInput(
        "archive-index",
        f"the archive has its index {name} in no form that can be kept",
        where=source.base,
        expected=", ".join(f"{name}{suffix}" for suffix in _PACKINGS),
        found=", ".join(path for path in head.files if path.startswith(f"{name}.")) or "none",
        hint="ask its publisher for one of these, or take a mirror that has it",
    )


def _pieces(content: Content, packing: str, context: Context) -> Iterator[bytes]:
    with context.sink.path(content).open("rb") as packed:
        stream = Forward(packed, packing)
        while piece := stream.read(MIB):
            if stream.tell() > MAX_PACKAGES_INDEX:
                raise ValueError(f"it unpacks to more than {MAX_PACKAGES_INDEX} bytes")
            yield piece
