"""A set of Debian packages to resolve, and the record of the archive it came from.

Both are used wherever Debian packages are locked: for hosts and for the base of images.
The record stands in a lock's ``source``.  It says where to look for a package that the
mirror has retired; what arrives is accepted by digest alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from appliance.model.base import Strict
from appliance.model.names import LocalPath, Sha256

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# A snapshot begins when a mirror run is over, so what a release of that minute names is
# found a little later.  Debian keeps superseded files for more than a day.
_SNAPSHOT_DELAY = timedelta(days=1)
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_STAMP_FORMAT = "%Y%m%dT%H%M%SZ"

# Debian Policy 5.6.1; two characters at least
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_COMPONENT = re.compile(r"[a-z][a-z-]*")
_SUITE = re.compile(r"[a-z][a-z0-9.-]*")
# Debian 12 and 13, and what is on its way into 14
_ARCHITECTURES = ("amd64", "arm64", "armel", "armhf", "i386", "loong64", "mips64el", "ppc64el", "riscv64", "s390x")
_NO_RELEASES = {"sid", "unstable", "experimental", "rc-buggy"}
_URL_TEXT = re.compile(r"[!-Z^-~]+")  # printable ASCII without brackets, which mean options to apt


def _check_package(value: str) -> str:
    if not _PACKAGE.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of a Debian package: give no version and no architecture")
    return value


def _check_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _URL_TEXT.fullmatch(value):
        raise ValueError(f"{value!r} is not an http or https address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with a user or a password does not belong in a definition")
    if parts.query or parts.fragment:
        raise ValueError(f"{value!r} has a query or a fragment: write the directory that holds dists/ and pool/")
    return value.rstrip("/")


def _check_architecture(value: str) -> str:
    if value not in _ARCHITECTURES:
        raise ValueError(f"{value!r} is not a Debian architecture: choose one of {', '.join(_ARCHITECTURES)}")
    return value


def _check_component(value: str) -> str:
    if not _COMPONENT.fullmatch(value):
        raise ValueError(f"{value!r} is not a component of an archive: write for example main or non-free-firmware")
    return value


def _check_suite(value: str) -> str:
    if not _SUITE.fullmatch(value):
        raise ValueError(f"{value!r} is not a suite of an archive: write for example trixie or trixie-backports")
    return value


PackageName = Annotated[str, AfterValidator(_check_package)]
ArchiveUrl = Annotated[str, AfterValidator(_check_url)]
Architecture = Annotated[str, AfterValidator(_check_architecture)]
Component = Annotated[str, AfterValidator(_check_component)]
Suite = Annotated[str, AfterValidator(_check_suite)]


@dataclass(frozen=True)
class SuiteSource:
    """One suite of one archive: a line of sources.list."""

    url: str
    suite: str
    components: tuple[str, ...]


class PackageSet(Strict):
    """What to resolve: ``packages`` and all they need on a host with nothing installed.

    ``security`` is null for an archive without such a suite, ``snapshot`` to never ask
    one.  ``keyring`` is a file of OpenPGP keys, relative to the definition; without it
    the distribution's own is used.
    """

    distribution: Literal["debian"]
    suite: Suite
    architecture: Architecture
    mirror: ArchiveUrl = "http://deb.debian.org/debian"
    security: ArchiveUrl | None = "http://deb.debian.org/debian-security"
    snapshot: ArchiveUrl | None = "https://snapshot.debian.org"
    keyring: LocalPath | None = None
    components: tuple[Component, ...] = Field(default=("main",), min_length=1)
    packages: tuple[PackageName, ...] = Field(min_length=1)

    @field_validator("packages", "components")
    @classmethod
    def _no_duplicates(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for number, value in enumerate(values):
            if value in values[:number]:
                raise ValueError(f"{value!r} appears twice")
        return values

    def sources(self) -> tuple[SuiteSource, ...]:
        """The suites that make up a release: itself, its updates, its security fixes.

        What is no release has neither: sid, and what is beside a release, such as its backports.
        """
        sources = [SuiteSource(self.mirror, self.suite, self.components)]
        if self.suite in _NO_RELEASES or "-" in self.suite:
            return tuple(sources)
        sources.append(SuiteSource(self.mirror, f"{self.suite}-updates", self.components))
        if self.security:
            sources.append(SuiteSource(self.security, f"{self.suite}-security", self.components))
        return tuple(sources)


@dataclass(frozen=True)
class SuiteRelease:
    """What one signed InRelease said.  ``issuers`` are the keys its signatures name."""

    suite: str
    date: datetime
    sha256: Sha256
    issuers: tuple[str, ...]


@dataclass(frozen=True)
class ArchiveRecord:
    """Where packages were found, as far as finding them again takes it."""

    mirror: str
    security: str | None
    snapshot: str | None
    time: datetime

    def snapshot_url(self, url: str) -> str | None:
        """Where the snapshot archive keeps what the mirror had at ``url``.

        Layout: https://snapshot.debian.org, "Usage".  None when there is none.
        """
        if self.snapshot is None:
            return None
        stamp = (self.time + _SNAPSHOT_DELAY).strftime(_STAMP_FORMAT)
        for base, archive in ((self.security, "debian-security"), (self.mirror, "debian")):
            if base and url.startswith(f"{base}/"):
                return f"{self.snapshot}/archive/{archive}/{stamp}/{url.removeprefix(f'{base}/')}"
        return None


def write_record(packageset: PackageSet, keyring_sha256: str, releases: tuple[SuiteRelease, ...]) -> dict[str, str]:
    """The entries of a lock's ``source``.  All keys start with ``archive``."""
    record = {
        "archive": packageset.mirror,
        "archive-distribution": packageset.distribution,
        "archive-suite": packageset.suite,
        "archive-architecture": packageset.architecture,
        "archive-components": " ".join(packageset.components),
        "archive-packages": " ".join(sorted(packageset.packages)),
        "archive-keyring": f"sha256:{keyring_sha256}",
        "archive-time": max(release.date for release in releases).strftime(_TIME_FORMAT),
    }
    if packageset.security:
        record["archive-security"] = packageset.security
    if packageset.snapshot:
        record["archive-snapshot"] = packageset.snapshot
    for release in releases:
        record[f"archive-release-{release.suite}"] = (
            f"{release.date.strftime(_TIME_FORMAT)} sha256:{release.sha256} signed by {' '.join(release.issuers)}"
        )
    return dict(sorted(record.items()))


def read_record(source: Mapping[str, str]) -> ArchiveRecord:
    """Read what ``write_record`` wrote.  Raises ValueError."""
    if missing := {"archive", "archive-time"} - source.keys():
        raise ValueError(f"the source has no {' and no '.join(sorted(missing))}")
    return ArchiveRecord(
        mirror=source["archive"],
        security=source.get("archive-security"),
        snapshot=source.get("archive-snapshot"),
        time=datetime.strptime(source["archive-time"], _TIME_FORMAT).replace(tzinfo=UTC),
    )
