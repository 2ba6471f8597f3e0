"""The archives of a package set, fetched and verified by apt, and what packages need from them.

Who may sign each, that none has gone back, and which package may come from where is
settled here.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches

from appliance.artifacts.base import Context, lock_source
from appliance.artifacts.os_packages.keys import check_lasting, read_keys
from appliance.errors import BadInput, NotTrusted
from appliance.formats.deb_repository import parse_inrelease
from appliance.formats.openpgp import signature_issuers
from appliance.model.documents.archive import DISTRIBUTION, SuiteSource
from appliance.model.documents.lock import LockedFile
from appliance.model.documents.package_set import PackageSet, SuiteRelease, write_record
from appliance.model.times import format_time
from appliance.tools.apt import FoundDeb, PrivateApt


@dataclass(frozen=True)
class Archives:
    """What apt knows of the archives of ``packageset``.

    ``offered`` are names by origin, where there is a choice; ``keys``, by origin, are those that may sign.
    """

    packageset: PackageSet
    apt: PrivateApt
    releases: tuple[SuiteRelease, ...]
    offered: Mapping[str, Set[str]]
    keys: Mapping[str, bytes]

    def closure(self, packages: Iterable[str]) -> tuple[LockedFile, ...]:
        """``packages`` and all that they need on an empty host, sorted by path.

        Raises BadInput (``package-unknown``, ``package-origins``, ``packages-unsatisfiable``)
        and NotTrusted (``package-origin``).
        """
        # apt decides between alternatives in the order of its arguments
        return self.locked(self.apt.closure(sorted(packages)))

    def locked(self, debs: Sequence[FoundDeb]) -> tuple[LockedFile, ...]:
        """As a lock has them, each from where it may come from."""
        _check_origins(self, debs)
        return tuple(
            LockedFile(path=deb.file_name, url=deb.url, sha256=deb.content.sha256, size=deb.content.size)
            for deb in debs
        )

    def record(self) -> dict[str, str]:
        """What to write down of them in a lock's ``source``."""
        keyring = hashlib.sha256(self.keys[DISTRIBUTION]).hexdigest()
        return write_record(self.packageset, keyring, self.releases)


@contextmanager
def opened(packageset: PackageSet, context: Context) -> Iterator[Archives]:
    """Ask the archives of ``packageset`` for what they have now.

    Raises BadInput (``package-unknown``, ``source-*``, ``keyring-*``) and NotTrusted
    (``archive-signature``, ``archive-older``, ``repository-key``).
    """
    keys = read_keys(packageset, context.base)
    with context.sink.work("apt") as folder:
        apt = PrivateApt(folder, packageset.architecture, packageset.sources(), keys)
        apt.update()
        releases = tuple(_release(source, apt.in_release(source), keys[source.origin]) for source in apt.sources)
        _check_none_older(releases, context)
        offered = apt.keep_apart(packageset.origins()) if packageset.repositories else {}
        _check_offered(packageset, offered)
        yield Archives(packageset, apt, releases, offered, keys)


def _check_none_older(releases: Sequence[SuiteRelease], context: Context) -> None:
    """A signature stays good for ever, so a mirror could go back to packages with known holes."""
    if context.replaced is None:
        return
    for release in releases:
        try:
            before = release.recorded(context.replaced.source)
        except ValueError as error:
            raise lock_source(context.replaced.id, error) from None
        if before is not None and release.date < before:
            raise NotTrusted(
                "archive-older",
                "the archive has gone back: its signed release is older than the one in the lock",
                where=f"{release.source.url} {release.source.suite}",
                expected=f"{format_time(before)} or newer",
                found=format_time(release.date),
                hint="take a mirror that is up to date; to go back on purpose, take the entry of "
                f"{context.replaced.id} out of the lock",
            )


def _check_offered(packageset: PackageSet, offered: Mapping[str, Set[str]]) -> None:
    for repository in packageset.repositories:
        there = offered.get(repository.name, frozenset())
        version = "" if repository.version == "*" else f" in version {repository.version}"
        for package in repository.packages:
            if package not in there:
                near = get_close_matches(package, sorted(there), n=1)
                raise BadInput(
                    "package-unknown",
                    f"the repository {repository.name} has no package {package!r}{version}",
                    value=package,
                    hint=f"did you mean {near[0]!r}?" if near else "name what it has, or take the name out",
                )


def _check_origins(archives: Archives, debs: Sequence[FoundDeb]) -> None:
    """That each package comes from where the definition says, and that it does say so where there is a choice."""
    packageset, offered = archives.packageset, archives.offered
    assigned = packageset.origins()
    excluded = {(repository.name, name) for repository in packageset.repositories for name in repository.exclude}
    for deb in debs if packageset.repositories else ():
        origin, found = assigned.get(deb.package, DISTRIBUTION), archives.apt.origin(deb)
        if found != origin:
            what = f"{deb.package} comes from another archive than the definition says"
            own = packageset.distribution
            raise NotTrusted("package-origin", what, where=deb.url, expected=origin or own, found=found or own)
        others = [name for name in offered if deb.package in offered[name] and (name, deb.package) not in excluded]
        if deb.package not in assigned and others != [DISTRIBUTION]:
            own = packageset.distribution
            names = " and ".join(sorted(name or own for name in others))
            raise BadInput(
                "package-origins",
                f"{deb.package} is offered by {names}, and the definition does not say whose it is to be",
                hint=f"name it under 'packages' of that repository, or under 'exclude' to take {own}'s",
            )


def _release(source: SuiteSource, data: bytes, keys: bytes) -> SuiteRelease:
    where = f"{source.url} {source.suite}"
    try:
        release = parse_inrelease(data)
    except ValueError as error:
        raise NotTrusted("archive-signature", f"the release file cannot be read: {error}", where=where) from None
    # apt only warns when a mirror answers with another suite's signed release
    if not source.flat and source.suite not in (release.suite, release.codename):
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
    check_lasting(issuers, keys, where)
    return SuiteRelease(source, release.date, hashlib.sha256(data).hexdigest(), issuers)
