"""Which vulnerabilities the parts of a bundle have, by a snapshot: a function of both, without I/O.

OS packages are looked up by source package and release in Debian's tracker, Python distributions by name in OSV.  What
neither covers is counted with its reason, and never taken for free of holes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.utils import canonicalize_name
from packaging.version import Version

from appliance.artifacts.advisories.snapshot import Asked, Snapshot
from appliance.formats import debian_tracker, osv
from appliance.formats.purl import Purl, parse_purl
from appliance.model.documents.vulnerabilities import SEVERITIES, Status, Unmatched, VexStatement, Vulnerability
from appliance.model.parts import Part, PartType

_PACKAGES = {PartType.OS_PACKAGE, PartType.DISTRIBUTION}
# Debian mends these under their old versions, and its tracker tells of them.
_DEBIANS_PYTHON = "/usr/lib/python3/dist-packages/"
_POCKETS = ("-security", "-updates", "-proposed-updates", "-backports")
_BEST_IDS = ("CVE-", "GHSA-", "PYSEC-")


@dataclass(frozen=True)
class Matched:
    """Vulnerabilities by part and id, how many parts were looked up, and how many could not be."""

    vulnerabilities: tuple[Vulnerability, ...]
    matched: int
    unmatched: tuple[Unmatched, ...]


@dataclass(frozen=True)
class _Package:
    """A part as the advisories know it: ``release`` is Debian's, empty for a distribution of PyPI."""

    part: Part
    name: str
    version: str
    release: str = ""


def asked_of(parts: Iterable[Part]) -> Asked:
    """What has to be looked up for ``parts`` and all that is in them."""
    known = [found for part in _every(parts) if isinstance(found := _package(part), _Package)]
    return Asked(
        distributions=frozenset(package.name for package in known if not package.release),
        sources=frozenset(package.name for package in known if package.release),
    )


def match(parts: Iterable[Part], snapshot: Snapshot) -> Matched:
    """What the snapshot says of ``parts`` and of all that is in them; it was asked for what ``asked_of`` says."""
    found: list[Vulnerability] = []
    gaps: Counter[str] = Counter()
    looked_up = 0
    for part in _every(parts):
        package = _package(part)
        if isinstance(package, _Package) and package.release and package.release not in snapshot.tracker.releases:
            package = f"Debian's tracker has no release {package.release!r}"
        if isinstance(package, str):
            gaps[package] += 1
            continue
        looked_up += 1
        holes = _of_debian(package, snapshot) if package.release else _of_pypi(package, snapshot)
        found += [_with_vex(one, package.part, snapshot) for one in holes]
    return Matched(
        vulnerabilities=tuple(sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.part, one.id))),
        matched=looked_up,
        unmatched=tuple(Unmatched(why=why, parts=count) for why, count in sorted(gaps.items())),
    )


def _with_vex(one: Vulnerability, part: Part, snapshot: Snapshot) -> Vulnerability:
    """With what the security team states of it."""
    said = snapshot.vex.about(parse_purl(part.purl), (one.id, *one.aliases)) if snapshot.vex else None
    if said is None:
        return one
    return one.model_copy(update={"vex": VexStatement(status=said.status, why=said.why, until=snapshot.vex_until)})


def _every(parts: Iterable[Part]) -> Iterator[Part]:
    """Those that are packages of somebody's, at every depth."""
    for part in parts:
        if part.type in _PACKAGES:
            yield part
        yield from _every(part.parts)


def _package(part: Part) -> _Package | str:
    """The part as advisories know it, or why they do not."""
    try:
        purl = parse_purl(part.purl)
    except ValueError:
        return "it has no package URL"
    facts = dict(part.facts)
    match purl:
        case Purl(type="pypi"):
            if facts.get("appliance:path-inside", "").startswith(_DEBIANS_PYTHON):
                return "Debian's own Python distributions, looked up as OS packages"
            return _Package(part, canonicalize_name(purl.name), purl.version)
        case Purl(type="deb", namespace="debian"):
            release = purl.qualifiers.get("distro", "")
            for pocket in _POCKETS:
                release = release.removesuffix(pocket)
            if not release:
                return "of a Debian package, the release is not known"
            name = facts.get("debian:source") or purl.name
            return _Package(part, name, facts.get("debian:source-version") or purl.version, release)
        case Purl(type="generic"):
            return "made here, and on no index"
    return f"no advisories about packages of the type {'/'.join(filter(None, (purl.type, purl.namespace)))}"


def _of_debian(package: _Package, snapshot: Snapshot) -> Iterator[Vulnerability]:
    for entry in snapshot.tracker.entries.get(package.name, ()):
        release = entry.releases.get(package.release)
        status = debian_tracker.judge(release, package.version) if release else None
        if release is not None and status is not None:
            yield Vulnerability(
                part=package.part.ref,
                package=package.name,
                version=package.version,
                id=entry.id,
                summary=entry.summary,
                status=status,
                severity=release.severity,
                fixed=release.fixed,
                kev=entry.id in snapshot.kev,
                epss=snapshot.epss.get(entry.id, ""),
            )


def _of_pypi(package: _Package, snapshot: Snapshot) -> Iterator[Vulnerability]:
    concerned = []
    for record in snapshot.records.get(package.name, ()):
        verdict = osv.judge((one for one in record.affected if one.name == package.name), package.version)
        if verdict is not None:
            concerned.append((record, verdict))
    for group in _same(concerned):
        ids = sorted({name for record, _ in group for name in (record.id, *record.aliases)}, key=_preference)
        severities = {record.severity for record, _ in group}
        fixes = [verdict.fixed for _, verdict in group if verdict.fixed]
        status: Status = "affected" if any(one.status == "affected" for _, one in group) else "undetermined"
        yield Vulnerability(
            part=package.part.ref,
            package=package.name,
            version=package.version,
            id=ids[0],
            aliases=tuple(ids[1:]),
            summary=next((record.summary for record, _ in group if record.summary), ""),
            status=status,
            # A rating of somebody's counts more than that another has none.
            severity=min(severities - {"unknown"} or severities, key=SEVERITIES.index),
            fixed=max(fixes, key=Version, default=""),
            kev=not snapshot.kev.isdisjoint(ids),
            epss=max((snapshot.epss[name] for name in ids if name in snapshot.epss), key=float, default=""),
        )


_Concerned = tuple[osv.OsvRecord, osv.Verdict]


def _same(concerned: Iterable[_Concerned]) -> list[list[_Concerned]]:
    """In groups that tell of one vulnerability: each shares an id or alias with another of its group."""
    groups: list[tuple[set[str], list[_Concerned]]] = []
    for one in concerned:
        names, members = {one[0].id, *one[0].aliases}, [one]
        apart = []
        for group in groups:
            if group[0].isdisjoint(names):
                apart.append(group)
            else:
                names, members = names | group[0], [*group[1], *members]
        groups = [*apart, (names, members)]
    return [members for _, members in groups]


def _preference(name: str) -> tuple[int, str]:
    return next((place for place, start in enumerate(_BEST_IDS) if name.startswith(start)), len(_BEST_IDS)), name
