"""What is known to be bad is found with the version that mends it, and what is mended is not reported."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import pytest

from appliance.artifacts.advisories.matching import Matched, asked_of, match
from appliance.artifacts.advisories.snapshot import UnreadableSnapshot, read_snapshot
from appliance.formats.purl import generic_purl
from appliance.model.documents.vulnerabilities import Vulnerability
from appliance.model.parts import Part, PartType
from tests.support.advisories import (
    BAD,
    FIXED,
    PYPI,
    fixed_in,
    osv,
    osv_archive,
    part_of,
    snapshot,
    still_open,
    tracker,
)


def matched(parts: Iterable[Part], **files: bytes) -> Matched:
    """``files`` stand for those of the snapshot, by the first word of their names."""
    held = {name: files.get(name.partition(".")[0].partition("-")[0], data) for name, data in snapshot().items()}
    parts = tuple(parts)
    return match(parts, read_snapshot(opened(held), asked_of(parts)))


def opened(files: Mapping[str, bytes]) -> dict[str, partial[io.BytesIO]]:
    return {name: partial(io.BytesIO, data) for name, data in files.items()}


def only(part: Part, **files: bytes) -> Vulnerability:
    (found,) = matched([part], **files).vulnerabilities
    return found


@pytest.mark.parametrize(("package", "version", "name", "fixed", "severity"), BAD, ids=str)
def test_the_known_bad_is_found_with_its_fix(package: str, version: str, name: str, fixed: str, severity: str) -> None:
    found = only(part_of(package, version))
    assert (found.id, found.fixed, found.severity, found.status) == (name, fixed, severity, "affected")
    assert found.part == part_of(package, version).ref


def test_the_known_bad_is_found_all_at_once_and_the_mended_not_at_all() -> None:
    parts = [part_of(package, version) for package, version, *_ in BAD]
    found = matched(parts).vulnerabilities
    assert {one.part for one in found} == {part.ref for part in parts}
    assert len(found) == len(BAD)
    mended = [part_of(*one) for one in FIXED]
    assert len(mended) > 10
    assert matched(mended) == Matched((), len(mended), ())


def test_two_records_of_one_hole_are_one_vulnerability() -> None:
    found = only(part_of("requests", "2.30.0"))
    assert (found.id, found.aliases) == ("CVE-2023-32681", ("GHSA-j8r2-6x86-q33q", "PYSEC-2023-74"))


def test_records_that_only_a_third_one_connects_are_one_vulnerability() -> None:
    records = [
        osv("PYSEC-1", "a", ("0", "2")),
        osv("GHSA-1", "a", ("0", "3")),
        osv("OTHER-1", "a", ("0", ""), aliases=["PYSEC-1", "GHSA-1"]),
    ]
    found = only(part_of("a", "1"), osv=osv_archive(records))
    assert (found.id, found.aliases, found.fixed) == ("GHSA-1", ("PYSEC-1", "OTHER-1"), "3")


def test_what_attackers_do_is_told() -> None:
    exploited = only(part_of("policykit-1/bullseye", "0.105-31"))
    assert (exploited.kev, exploited.epss) == (True, "0.94")
    assert [(one.kev, one.epss) for one in (only(part_of("idna", "3.6")), only(part_of("PyYAML", "5.3")))] == [
        (False, "0.00043"),
        (False, ""),
    ]


def test_an_os_package_is_looked_up_by_its_source_in_its_release() -> None:
    # Rebuilt without a change, the package has another version than its source.
    assert only(part_of("curl/bookworm", "7.88.1-10+deb12u3")).package == "curl"
    assert matched([part_of("curl/bullseye", "7.74.0-1.3")]).vulnerabilities == ()


def test_a_hole_without_a_fix_has_none_and_an_unclear_one_is_unclear() -> None:
    holes = {"CVE-1": still_open("low"), "CVE-2": {"status": "undetermined", "urgency": ""}, "CVE-3": fixed_in("0")}
    sources = {"a": {name: {"releases": {"trixie": told}} for name, told in holes.items()}}
    found = matched([part_of("a/trixie", "1")], debian=tracker(sources)).vulnerabilities
    assert [(one.id, one.status, one.severity, one.fixed) for one in found] == [
        ("CVE-2", "undetermined", "unknown", ""),
        ("CVE-1", "affected", "low", ""),
    ]


def test_the_worst_comes_first() -> None:
    parts = [part_of(package, version) for package, version, *_ in BAD]
    severities = [one.severity for one in matched(parts).vulnerabilities]
    assert severities[:3] == ["critical", "critical", "high"]
    assert severities[-1] == "unknown"


def test_parts_inside_of_others_are_looked_up() -> None:
    image = Part(ref="images/a", type=PartType.IMAGE, name="a", version="1", parts=(part_of("idna", "3.6"),))
    assert [one.id for one in matched([image]).vulnerabilities] == ["CVE-2024-3651"]


def test_what_nobody_covers_is_counted_with_its_reason() -> None:
    wheel, deb = part_of("requests", "2.30.0"), part_of("curl/bookworm", "1")
    distribution = (("appliance:path-inside", "/usr/lib/python3/dist-packages/requests-2.30.0.egg-info"),)
    parts = [
        replace(wheel, purl="pkg:cargo/ahash@0.8"),
        replace(wheel, purl=generic_purl("appliance", "0.1.0")),
        replace(wheel, purl=""),
        replace(wheel, facts=distribution),
        replace(deb, purl=deb.purl.replace("debian/", "ubuntu/")),
        replace(deb, purl=deb.purl.replace("bookworm", "stable")),
        replace(deb, purl=deb.purl.partition("?")[0]),
    ]
    found = matched(parts)
    assert (found.vulnerabilities, found.matched) == ((), 0)
    assert [(gap.why, gap.parts) for gap in found.unmatched] == [
        ("Debian's own Python distributions, looked up as OS packages", 1),
        ("Debian's tracker has no release 'stable'", 1),
        ("it has no package URL", 1),
        ("made here, and on no index", 1),
        ("no advisories about packages of the type cargo", 1),
        ("no advisories about packages of the type deb/ubuntu", 1),
        ("of a Debian package, the release is not known", 1),
    ]


def test_packages_of_the_security_archive_are_of_their_release() -> None:
    part = part_of("curl/bookworm", "7.88.1-10+deb12u1")
    assert only(replace(part, purl=part.purl.replace("bookworm", "bookworm-security"))).id == "CVE-2023-38545"


def test_a_snapshot_is_as_old_as_its_newest_word() -> None:
    files = snapshot()
    assert read_snapshot(opened(files), asked_of([])).taken == "2026-11-20T12:55:00Z"
    del files["epss.csv.gz"], files["kev.json"]
    assert read_snapshot(opened(files), asked_of([])).taken == "2024-07-08T14:35:53Z"


def test_records_that_cannot_be_read_are_counted() -> None:
    files = {**snapshot(), "osv-pypi.zip": osv_archive(PYPI, broken=b"{", other=b"[]")}
    assert read_snapshot(opened(files), asked_of([])).unread == 2


@pytest.mark.parametrize("name", ["osv-pypi.zip", "debian.json", "epss.csv.gz", "kev.json"])
def test_a_damaged_file_is_named(name: str) -> None:
    with pytest.raises(UnreadableSnapshot, match=rf"^{name}: "):
        read_snapshot(opened({**snapshot(), name: b"<html>Please log in"}), asked_of([]))


@pytest.mark.parametrize("name", ["osv-pypi.zip", "debian.json"])
def test_a_snapshot_has_osv_and_debian(name: str) -> None:
    files = snapshot()
    del files[name]
    with pytest.raises(UnreadableSnapshot, match=f"{name}: it is not there"):
        read_snapshot(opened(files), asked_of([]))
