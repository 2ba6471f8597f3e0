"""apt, with a root of its own: it answers for another suite and never sees this host.

Sources, keys, lists, cache and dpkg's status all lie in one scratch directory, and no
configuration of the host is read.  apt checks signatures, dates and digests as it does
on any Debian; here its verdict becomes one of our errors.  Works with apt 2.6 and 3.0,
as root and as any user.
"""

import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import quote, unquote

from appliance.errors import BadInput, Failed, NotTrusted
from appliance.formats.deb_repository import deb_file_name
from appliance.formats.openpgp import armoured_keys
from appliance.model.documents.archive import DISTRIBUTION, SuiteSource
from appliance.model.files import Content
from appliance.tools import apt_lists
from appliance.tools.apt_errors import update_error
from appliance.tools.run import run

# apt reads the file in APT_CONFIG before anything else, so it can say that there is nothing else.
_NO_HOST_CONFIGURATION = 'Dir::Etc::main "/dev/null";\nDir::Etc::parts "/dev/null";\n'
_FOLDERS = (
    "made",
    "tmp",
    "etc/apt/preferences.d",
    "etc/apt/sources.list.d",
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
# Where a package would be that is made here later.
_MADE = "made-here.deb"
_NO_FILE = f"Filename: ./{_MADE}\nSize: 1\nSHA256: {64 * '0'}\n"
_UNSATISFIABLE = ("unmet dependencies", "you have held broken packages", "Unable to satisfy dependencies")


@dataclass(frozen=True)
class FoundDeb:
    """A package that apt would fetch."""

    file_name: str
    url: str
    content: Content

    @property
    def package(self) -> str:
        """Its name."""
        return self.file_name.partition("_")[0]


class PrivateApt:
    """apt for one architecture and a few suites, in the empty directory ``root``.

    ``keys`` holds, by origin, the only keys that may sign its suites (binary OpenPGP).
    """

    def __init__(
        self, root: Path, architecture: str, sources: Sequence[SuiteSource], keys: Mapping[str, bytes]
    ) -> None:
        if shutil.which("apt-get") is None:
            raise BadInput(
                "tool-missing",
                "this host has no apt-get, which resolves OS packages",
                hint="lock on Debian 12 or newer; fetching from a finished lock needs no apt",
            )
        self.sources = tuple(sources)
        self._architecture = architecture
        self._lists = root / "var/lib/apt/lists"
        self._made = root / "made" / "Packages"
        self._configuration = root / "apt.conf"
        self._temporary = root / "tmp"
        for folder in _FOLDERS:
            (root / folder).mkdir(parents=True)
        self._configuration.write_text(_NO_HOST_CONFIGURATION)
        (root / "var/lib/dpkg/status").touch()  # nothing is installed
        (root / "etc/apt/sources.list.d/appliance.sources").write_text(
            "\n".join(_stanza(source, architecture, keys[source.origin]) for source in self.sources)
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
            raise update_error(failure) from None

    def in_release(self, source: SuiteSource) -> bytes:
        """The signed release file that ``update`` has accepted.  Raises NotTrusted."""
        try:
            return apt_lists.release_file(self._lists, source).read_bytes()
        except FileNotFoundError:
            raise NotTrusted(
                "archive-signature", "the archive has no InRelease file", where=f"{source.url} {source.suite}"
            ) from None

    def index_names(self, source: SuiteSource) -> tuple[str, ...]:
        """The indexes that ``update`` has accepted, as the release file calls them, unpacked."""
        return apt_lists.index_names(self._lists, source, self._architecture)

    def keep_apart(self, origins: Mapping[str, str]) -> dict[str, frozenset[str]]:
        """From now on packages come from the repository that ``origins`` names, all others from the distribution.

        Returns which packages each origin had offered.
        """
        return apt_lists.keep_apart(self._lists, self.sources, self._architecture, origins)

    def candidate(self, package: str) -> tuple[FoundDeb, str]:
        """The newest version of one package by itself, and its stanza.  Raises BadInput (``package-unknown``)."""
        self._check_names([package])
        answer = self._run("apt-get", "--quiet", "download", "--print-uris", "--", package)
        stanza = self._run("apt-cache", "show", "--no-all-versions", "--", package)
        (found,) = (self._found(line) for line in answer.splitlines() if line.startswith("'"))
        return found, stanza.strip("\n")

    def replace(self, packages: Collection[str], stanzas: Sequence[str]) -> None:
        """From now on ``packages`` are not there, and packages with these control ``stanzas`` are.

        The latter can be asked for, and are not among what ``closure`` finds.
        """
        apt_lists.drop(self._lists, self.sources, self._architecture, packages)
        index = "".join(f"{stanza}\n{_NO_FILE}\n" for stanza in stanzas)
        self._made.write_text(index)
        self._options += ["--with-source", str(self._made)]

    def origin(self, deb: FoundDeb) -> str:
        """Where it comes from: apt makes an address of its source's and of what the index says.

        Raises NotTrusted (``package-origin``).
        """
        for source in self.sources:
            if deb.url.startswith(_one_form(source.root)):
                return source.origin
        raise NotTrusted("package-origin", "the package comes from no archive of the definition", where=deb.url)

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
        debs = [self._found(line) for line in answer.splitlines() if line.startswith("'") and _MADE not in line]
        return tuple(sorted(debs, key=lambda deb: deb.file_name))

    def _check_names(self, packages: Iterable[str]) -> None:
        known = set(self._run("apt-cache", "pkgnames").split())
        places = [source.suite if source.origin == DISTRIBUTION else source.origin for source in self.sources]
        for package in packages:
            if package not in known:
                near = get_close_matches(package, sorted(known), n=1)
                raise BadInput(
                    "package-unknown",
                    f"there is no package {package!r} in {', '.join(places)}",
                    where=self.sources[0].url,
                    value=package,
                    hint=f"did you mean {near[0]!r}?" if near else "name a real package, not a virtual one",
                )

    def _found(self, line: str) -> FoundDeb:
        match = _URI.fullmatch(line)
        digest = match["hash"].removeprefix("SHA256:") if match else ""
        if match is None or f"SHA256:{digest}" != match["hash"]:
            raise Failed("apt-output", "apt-get gave an address without a SHA-256", where=line)
        return FoundDeb(
            deb_file_name(match["name"], unquote(match["version"]), match["arch"]),
            _one_form(match["url"]),
            Content(sha256=digest, size=int(match["size"])),
        )

    def _run(self, program: str, *arguments: str, network: bool = False) -> str:
        # Where it stops in the middle, apt leaves a copy of a key where temporary files lie.
        env = {"APT_CONFIG": str(self._configuration), "TMPDIR": str(self._temporary)}
        return run([program, *self._options, *arguments], env=env, network=network)


def _one_form(url: str) -> str:
    """Apt's releases differ in what they escape in an address; a lock has one form."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{quote(unquote(rest), safe='/:~')}"


def _stanza(source: SuiteSource, architecture: str, keys: bytes) -> str:
    """A stanza of sources.list(5).  The keys stand in it, because no path in it may have a space."""
    key = "".join(f" {line or '.'}\n" for line in armoured_keys(keys).splitlines())
    components = f"Components: {' '.join(source.components)}\n" if source.components else ""
    return (
        f"Types: deb\nURIs: {source.url}\nSuites: {source.suite}\n{components}"
        f"Architectures: {architecture}\nSigned-By:\n{key}"
    )
