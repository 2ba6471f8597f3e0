"""A snapshot of advisories: files as their sources publish them, read for the packages that somebody asks about.

osv-pypi.zip   OSV's records about PyPI
debian.json    Debian's security tracker
epss.csv.gz    how likely attacks are, where it is carried
kev.json       which attacks there have been, where it is carried
openvex.json   what the security team states of them, where it has said so
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import IO, TypeVar

from appliance.formats.debian_tracker import Tracker, parse_tracker
from appliance.formats.exploitation import Epss, Kev, parse_kev, read_epss
from appliance.formats.openvex import Vex, parse_vex
from appliance.formats.osv import OsvRecord, read_archive
from appliance.model.limits import MAX_ADVISORIES, MAX_KEV, MAX_VEX
from appliance.model.times import Day, Time

OSV, DEBIAN, EPSS, KEV = "osv-pypi.zip", "debian.json", "epss.csv.gz", "kev.json"
VEX = "openvex.json"
REQUIRED, OPTIONAL = (OSV, DEBIAN), (EPSS, KEV)

# Files of a snapshot by name, each as a function that opens it.
Files = Mapping[str, Callable[[], IO[bytes]]]


class UnreadableSnapshot(ValueError):
    """The file ``name`` of a snapshot is not what its source publishes."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


@dataclass(frozen=True)
class Asked:
    """What is asked about: distributions of PyPI by normalised name, source packages of Debian."""

    distributions: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Snapshot:
    """What was found about them.

    ``taken`` is the newest moment that the files of its sources tell of; ``unread`` are records of OSV that cannot be
    read.  ``vex`` are statements of the security team, which hold through ``vex_until`` and count for no moment.
    """

    taken: Time
    records: Mapping[str, tuple[OsvRecord, ...]]
    tracker: Tracker
    epss: Mapping[str, str]
    kev: frozenset[str]
    unread: int
    vex: Vex | None = None
    vex_until: Day = ""


def read_snapshot(files: Files, asked: Asked, vex_until: Day | None = None) -> Snapshot:
    """Read every file whole, and keep what was asked about; statements hold through ``vex_until``.

    Raises UnreadableSnapshot.
    """
    if missing := [name for name in REQUIRED if name not in files]:
        raise UnreadableSnapshot(missing[0], "it is not there")
    records, newest, unread = _read(OSV, files, lambda stream: _osv(stream, asked.distributions))
    tracker = _read(DEBIAN, files, lambda stream: parse_tracker(_bounded(stream, MAX_ADVISORIES), asked.sources))
    wanted = {one for found in records.values() for record in found for one in (record.id, *record.aliases)}
    wanted |= {entry.id for entries in tracker.entries.values() for entry in entries}
    epss = _read(EPSS, files, lambda stream: read_epss(stream, wanted)) if EPSS in files else None
    kev = _read(KEV, files, lambda stream: parse_kev(_bounded(stream, MAX_KEV))) if KEV in files else None
    if (VEX in files) != bool(vex_until):
        raise UnreadableSnapshot(VEX, "it is there without a last day for it, or that without the file")
    return Snapshot(
        taken=max([newest, *_dates(epss, kev)]),
        records=records,
        tracker=tracker,
        epss=epss.scores if epss else {},
        kev=kev.ids if kev else frozenset(),
        unread=unread,
        vex=_read(VEX, files, lambda stream: parse_vex(_bounded(stream, MAX_VEX))) if VEX in files else None,
        vex_until=vex_until or "",
    )


_Found = TypeVar("_Found")


def _dates(epss: Epss | None, kev: Kev | None) -> list[Time]:
    return [source.dated for source in (epss, kev) if source is not None]


def _read(name: str, files: Files, read: Callable[[IO[bytes]], _Found]) -> _Found:
    try:
        with files[name]() as stream:
            return read(stream)
    except ValueError as error:
        raise UnreadableSnapshot(name, str(error)) from None


def _bounded(stream: IO[bytes], limit: int) -> bytes:
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it is larger than {limit} bytes")
    return data


def _osv(stream: IO[bytes], wanted: Container[str]) -> tuple[dict[str, tuple[OsvRecord, ...]], Time, int]:
    found: dict[str, tuple[OsvRecord, ...]] = {}
    newest, unread = "", 0
    for record in read_archive(stream):
        if not isinstance(record, OsvRecord):
            unread += 1
            continue
        newest = max(newest, record.modified)
        for name in dict.fromkeys(affected.name for affected in record.affected):
            if name in wanted:
                found[name] = (*found.get(name, ()), record)
    if not newest:
        raise ValueError("it holds no record that can be read")
    return found, newest, unread
