"""apt, with a root of its own: it answers for another suite and never sees this host.

Sources, keys, lists, cache and dpkg's status all lie in one scratch directory, and no
configuration of the host is read.  apt checks signatures, dates and digests as it does
on any Debian; here its verdict becomes one of our errors.  Works with apt 2.6 and 3.0,
as root and as any user.
"""

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import quote, unquote

from appliance.errors import ApplianceError, BadInput, Failed, NotTrusted
from appliance.formats.deb_repository import deb_file_name
from appliance.model.documents.package_set import SuiteSource
from appliance.model.files import Content
from appliance.tools.run import run

# apt reads the file in APT_CONFIG before anything else, so it can say that there is nothing else.
_NO_HOST_CONFIGURATION = 'Dir::Etc::main "/dev/null";\nDir::Etc::parts "/dev/null";\n'
_FOLDERS = (
    "etc/apt/preferences.d",
    "etc/apt/trusted.gpg.d",
    "var/cache/apt/archives/partial",
    "var/lib/apt/lists/partial",
    "var/lib/dpkg",
)
# apt-get(8), --print-uris: 'address' name size digest
_URI = re.compile(
    r"'(?P<url>[^']+)' (?P<name>[a-z0-9+.-]+)_(?P<version>[A-Za-z0-9%+.~-]+)_(?P<arch>[a-z0-9-]+)\.deb "
    r"(?P<size>[0-9]+) (?P<hash>\S*)"
)
_NO_RELEASE = re.compile(r"The repository '(?P<url>\S+) (?P<suite>\S+) Release' does not have a Release file")
_UNREACHABLE = re.compile(r"Failed to fetch (?P<url>\S+) +(?P<why>.+)")
_UNTRUSTED = (
    re.compile(r"The repository '(?P<where>[^']+)' is not signed"),
    re.compile(r"Release file for (?P<where>\S+) is (?:expired|not valid yet)"),
    re.compile(
        r"Failed to fetch (?P<where>\S+) +(?:Hash Sum mismatch|File has unexpected size|Clearsigned file isn't valid)"
    ),
)
_UNSATISFIABLE = ("unmet dependencies", "you have held broken packages", "Unable to satisfy dependencies")


@dataclass(frozen=True)
class FoundDeb:
    """A package that apt would fetch."""

    file_name: str
    url: str
    content: Content


class PrivateApt:
    """apt for one architecture and a few suites, in the empty directory ``root``.

    ``keyring`` holds the only keys that may sign the suites (binary OpenPGP).
    """

    def __init__(self, root: Path, architecture: str, sources: Sequence[SuiteSource], keyring: bytes) -> None:
        if shutil.which("apt-get") is None:
            raise BadInput(
                "tool-missing",
                "this host has no apt-get, which resolves OS packages",
                hint="lock on Debian 12 or newer; fetching from a finished lock needs no apt",
            )
        self.sources = tuple(sources)
        self._lists = root / "var/lib/apt/lists"
        self._configuration = root / "apt.conf"
        for folder in _FOLDERS:
            (root / folder).mkdir(parents=True)
        self._configuration.write_text(_NO_HOST_CONFIGURATION)
        (root / "var/lib/dpkg/status").touch()  # nothing is installed
        (root / "etc/apt/trusted.gpg.d/archive.gpg").write_bytes(keyring)
        (root / "etc/apt/sources.list").write_text(
            "".join(
                f"deb [arch={architecture}] {source.url} {source.suite} {' '.join(source.components)}\n"
                for source in self.sources
            )
        )
        self._options = [
            word
            for setting in (
                f"Dir={root}",
                f"APT::Architecture={architecture}",
                f"APT::Architectures::={architecture}",
                "APT::Install-Recommends=false",
                "APT::Update::Error-Mode=any",
                # apt's own user could not enter a scratch directory that only its owner may read
                "APT::Sandbox::User=root",
                "Acquire::ForceHash=sha256",
                "Acquire::Languages=none",
            )
            for word in ("--option", setting)
        ]

    def update(self) -> None:
        """Fetch and check the suites' indexes.

        Raises NotTrusted (``archive-signature``) for a missing, wrong or expired
        signature, a release that is out of date and an index with another digest;
        BadInput (``source-gone``, ``source-unreachable``) for the network.
        """
        try:
            self._run("apt-get", "--quiet=2", "update", network=True)
        except Failed as failure:
            raise _update_error(failure) from None

    def in_release(self, source: SuiteSource) -> bytes:
        """The signed release file that ``update`` has accepted.  Raises NotTrusted."""
        found = sorted(self._lists.glob(f"*_dists_{source.suite}_InRelease"))
        if len(found) != 1:
            raise NotTrusted(
                "archive-signature", "the archive has no InRelease file", where=f"{source.url} {source.suite}"
            )
        return found[0].read_bytes()

    def closure(self, packages: Sequence[str]) -> tuple[FoundDeb, ...]:
        """``packages``, what is essential on every Debian, and all that these depend on.

        Sorted by file name.  Raises BadInput: ``package-unknown`` with the nearest name,
        ``packages-unsatisfiable`` with apt's explanation.
        """
        self._check_names(packages)
        try:
            answer = self._run("apt-get", "--quiet", "--yes", "install", "--print-uris", "--", "?essential", *packages)
        except Failed as failure:
            if any(text in failure.what for text in _UNSATISFIABLE):
                raise BadInput(
                    "packages-unsatisfiable", f"these packages cannot be installed together:\n{failure.what}"
                ) from None
            raise
        debs = [self._found(line) for line in answer.splitlines() if line.startswith("'")]
        return tuple(sorted(debs, key=lambda deb: deb.file_name))

    def _check_names(self, packages: Iterable[str]) -> None:
        known = set(self._run("apt-cache", "pkgnames").split())
        for package in packages:
            if package not in known:
                near = get_close_matches(package, sorted(known), n=1)
                raise BadInput(
                    "package-unknown",
                    f"there is no package {package!r} in {', '.join(source.suite for source in self.sources)}",
                    where=self.sources[0].url,
                    value=package,
                    hint=f"did you mean {near[0]!r}?" if near else "name a real package, not a virtual one",
                )

    def _found(self, line: str) -> FoundDeb:
        match = _URI.fullmatch(line)
        digest = match["hash"].removeprefix("SHA256:") if match else ""
        if match is None or f"SHA256:{digest}" != match["hash"]:
            raise Failed("apt-output", "apt-get gave an address without a SHA-256", where=line)
        # apt's releases differ in what they escape in an address; a lock has one form
        scheme, _, rest = match["url"].partition("://")
        return FoundDeb(
            deb_file_name(match["name"], unquote(match["version"]), match["arch"]),
            f"{scheme}://{quote(unquote(rest), safe='/:~')}",
            Content(sha256=digest, size=int(match["size"])),
        )

    def _run(self, program: str, *arguments: str, network: bool = False) -> str:
        return run([program, *self._options, *arguments], env={"APT_CONFIG": str(self._configuration)}, network=network)


def _update_error(failure: Failed) -> ApplianceError:
    said = failure.what
    for pattern in _UNTRUSTED:
        if match := pattern.search(said):
            return NotTrusted(
                "archive-signature",
                f"apt refuses the archive:\n{said}",
                where=match["where"],
                hint="check the keyring (package debian-archive-keyring), this host's clock and the mirror",
            )
    if match := _NO_RELEASE.search(said):
        return BadInput(
            "source-gone",
            f"the archive has no suite {match['suite']}",
            where=match["url"],
            hint="check suite:, mirror: and security:",
        )
    if match := _UNREACHABLE.search(said):
        return BadInput(
            "source-unreachable",
            f"the archive cannot be read: {match['why'].strip()}",
            where=match["url"],
            hint="check network and proxy (http_proxy, https_proxy), then run the command again",
        )
    return failure
