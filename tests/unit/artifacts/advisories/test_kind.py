"""Advisories are locked as their sources publish them, and carried so."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.artifacts.advisories.kind import Advisories, snapshot_files
from appliance.artifacts.advisories.section import AdvisoriesSection, AdvisoriesSources, VexSection
from appliance.artifacts.advisories.snapshot import Asked, read_snapshot
from appliance.artifacts.base import Context
from appliance.errors import BadInput, Stale
from appliance.model.documents.lock import LockedArtifact
from appliance.model.progress import Silent
from appliance.store.cache import Cache
from tests.support.advisories import osv_archive, snapshot, vex, vex_statement
from tests.support.index import Index
from tests.support.locking import lock_one

KIND = Advisories()
PATHS = {
    "osv-pypi.zip": "/PyPI/all.zip",
    "debian.json": "/tracker/data/json",
    "epss.csv.gz": "/epss_scores-current.csv.gz",
    "kev.json": "/kev.json",
}


@pytest.fixture
def server() -> Iterator[Index]:
    """The four sources, at paths such as they have."""
    with Index() as index:
        index.files.update({PATHS[name]: data for name, data in snapshot().items()})
        yield index


def sources(server: Index) -> AdvisoriesSection:
    base = server.url.removesuffix("/simple")
    osv, debian, epss, kev = (f"{base}{path}" for path in PATHS.values())
    return AdvisoriesSection(licence="various", sources=AdvisoriesSources(osv=osv, debian=debian, epss=epss, kev=kev))


def context(folder: Path, cache: str = "cache") -> Context:
    return Context(folder / "definitions", Cache(folder / cache), Silent())


def lock(section: AdvisoriesSection, folder: Path) -> LockedArtifact:
    return lock_one(KIND, "day", section, context(folder))


def directory(folder: Path, **changed: bytes) -> AdvisoriesSection:
    """Beside the definition; ``changed`` by name with ``_`` for what is no letter."""
    place = folder / "definitions/snapshot"
    place.mkdir(parents=True)
    for name, data in snapshot().items():
        (place / name).write_bytes(changed.get(name.replace(".", "_").replace("-", "_"), data))
    return AdvisoriesSection(licence="various", directory="snapshot")


def test_what_the_sources_publish_is_locked_and_carried_as_it_is(server: Index, tmp_path: Path) -> None:
    artifact = lock(sources(server), tmp_path)
    elsewhere = context(tmp_path, "another cache")
    KIND.fetch(artifact, elsewhere)
    ((layout,), shared) = KIND.lay_out([artifact], elsewhere)
    assert {file.path: elsewhere.sink.path(file).read_bytes() for file in layout.files} == {
        f"advisories/day/{name}": data for name, data in snapshot().items()
    }
    assert shared == ()
    assert layout.details.fields() == {"path": "advisories/day", "taken": "2026-11-20T12:55:00Z"}
    part = KIND.describe(layout, elsewhere)
    assert (part.version, len(part.parts)) == ("2026-11-20T12:55:00Z", 4)
    read = read_snapshot(snapshot_files(artifact, elsewhere.sink), Asked(distributions=frozenset({"idna"})))
    assert [record.id for record in read.records["idna"]] == ["GHSA-jjg7-2v4v-x38h"]


def test_what_a_source_has_published_since_is_another_lock(server: Index, tmp_path: Path) -> None:
    artifact = lock(sources(server), tmp_path)
    server.files[PATHS["osv-pypi.zip"]] = osv_archive([])
    KIND.fetch(artifact, context(tmp_path))  # the cache of the host that locked it still has it
    with pytest.raises(Stale, match="has published other advisories since"):
        KIND.fetch(artifact, context(tmp_path, "another cache"))
    del server.files[PATHS["osv-pypi.zip"]]
    with pytest.raises(Stale, match="has published other advisories since"):
        KIND.fetch(artifact, context(tmp_path, "a third cache"))


def test_a_page_in_place_of_a_list_is_refused(server: Index, tmp_path: Path) -> None:
    server.files[PATHS["debian.json"]] = b"<html>Please log in"
    with pytest.raises(BadInput, match=r"debian\.json") as caught:
        lock(sources(server), tmp_path)
    assert caught.value.reference == "advisories-unreadable"
    assert "directory: NAME" in caught.value.hint


def test_a_snapshot_may_do_without_epss_and_kev(server: Index, tmp_path: Path) -> None:
    told = sources(server).sources
    assert told is not None
    section = AdvisoriesSection(licence="various", sources=told.model_copy(update={"epss": None, "kev": None}))
    assert [file.path for file in lock(section, tmp_path).files] == ["debian.json", "osv-pypi.zip"]


def test_a_directory_gives_the_same_files(tmp_path: Path) -> None:
    artifact = lock(directory(tmp_path), tmp_path)
    elsewhere = context(tmp_path, "another cache")
    KIND.check_local(artifact, elsewhere)
    KIND.fetch(artifact, elsewhere)
    assert {file.path: elsewhere.sink.path(file).read_bytes() for file in artifact.files} == snapshot()
    (tmp_path / "definitions/snapshot/kev.json").write_bytes(b"{}")
    for verb in (KIND.check_local, KIND.fetch):
        with pytest.raises(Stale, match=r"kev\.json has changed"):
            verb(artifact, context(tmp_path))


@pytest.mark.parametrize(
    ("name", "reference"), [("README", "advisories-refused"), ("osv-pypi.zip", "advisories-file-missing")]
)
def test_a_directory_has_the_files_and_no_others(name: str, reference: str, tmp_path: Path) -> None:
    section = directory(tmp_path)
    place = tmp_path / "definitions/snapshot" / name
    if place.exists():
        place.unlink()
    else:
        place.touch()
    with pytest.raises(BadInput) as caught:
        lock(section, tmp_path)
    assert caught.value.reference == reference


def test_records_that_cannot_be_read_are_a_warning_of_the_lock(tmp_path: Path) -> None:
    section = directory(tmp_path, osv_pypi_zip=osv_archive(broken=b"{"))
    assert lock(section, tmp_path).warnings == ("records of OSV that cannot be read: 1",)


def stated(folder: Path, data: bytes, name: str = "openvex.json") -> VexSection:
    place = folder / "definitions/vex"
    place.mkdir(parents=True)
    (place / name).write_bytes(data)
    return VexSection(directory="vex", until="2026-12-31")


@pytest.mark.parametrize("fetched", [True, False])
def test_statements_of_the_security_team_are_locked_and_carried_with_a_snapshot(
    fetched: bool, server: Index, tmp_path: Path
) -> None:
    data = vex(vex_statement("CVE-2024-3651", "pkg:pypi/idna@3.6"))
    section = sources(server) if fetched else directory(tmp_path)
    artifact = lock(section.model_copy(update={"vex": stated(tmp_path, data)}), tmp_path)
    elsewhere = context(tmp_path, "another cache")
    KIND.check_local(artifact, elsewhere)
    KIND.fetch(artifact, elsewhere)
    ((layout,), _) = KIND.lay_out([artifact], elsewhere)
    held = {file.path: elsewhere.sink.path(file).read_bytes() for file in layout.files}
    assert held["advisories/day/openvex.json"] == data
    assert len(held) == 5
    assert layout.details.fields()["vex_until"] == "2026-12-31"
    (tmp_path / "definitions/vex/openvex.json").write_bytes(vex(vex_statement("CVE-2024-3651", "pkg:pypi/idna@3.7")))
    for verb in (KIND.check_local, KIND.fetch):
        with pytest.raises(Stale, match=r"openvex\.json has changed"):
            verb(artifact, context(tmp_path))


@pytest.mark.parametrize(
    ("name", "data", "reference", "hint"),
    [
        ("openvex.json", b"{}", "advisories-unreadable", "correct the statements: docs/vulnerabilities.md says"),
        ("more.json", b"{}", "advisories-refused", "move it out of the directory"),
    ],
)
def test_statements_that_are_none_are_refused(
    name: str, data: bytes, reference: str, hint: str, tmp_path: Path
) -> None:
    section = directory(tmp_path).model_copy(update={"vex": stated(tmp_path, data, name)})
    with pytest.raises(BadInput) as caught:
        lock(section, tmp_path)
    assert caught.value.reference == reference
    assert hint in caught.value.hint


def test_statements_among_published_files_are_refused(tmp_path: Path) -> None:
    """They have a last day, which the definition gives."""
    section = directory(tmp_path)
    (tmp_path / "definitions/snapshot/openvex.json").write_bytes(vex(vex_statement("CVE-2024-3651", "pkg:pypi/a@1")))
    with pytest.raises(BadInput) as caught:
        lock(section, tmp_path)
    assert caught.value.reference == "advisories-refused"


def test_an_edited_lock_reads_nothing_elsewhere(tmp_path: Path) -> None:
    artifact = lock(directory(tmp_path), tmp_path)
    edited = artifact.model_copy(update={"source": {**artifact.source, "directory": "../snapshot"}})
    with pytest.raises(BadInput) as caught:
        KIND.fetch(edited, context(tmp_path))
    assert caught.value.reference == "lock-source"


def test_sources_are_asked_over_https() -> None:
    with pytest.raises(ValidationError, match="https"):
        AdvisoriesSources(osv="http://example.org/all.zip")
    with pytest.raises(ValidationError, match="give one of them"):
        AdvisoriesSection(licence="various", sources=AdvisoriesSources(), directory="snapshot")
