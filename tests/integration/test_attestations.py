"""Attestations of wheels, as an index on loopback publishes them: verified, kept, and asked for by a definition.

The attestations are real, of files on PyPI.  None of a wheel was recorded, so an attestation that holds is asked for by
the name of the file that it is about.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.artifacts.base import Context
from appliance.artifacts.wheels.kind import Wheels
from appliance.artifacts.wheels.section import WheelsSection
from appliance.artifacts.wheels.upstream import Attested, attestations_of, check_publishers
from appliance.errors import ApplianceError, BadInput, NotTrusted
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.documents.upstream import UpstreamFinding
from appliance.model.progress import Silent
from appliance.steps.documents.lock import read_lock
from appliance.store.cache import Cache
from tests.support.attestations import NAME, PROVENANCE, REPOSITORY, SHA256, changed
from tests.support.locking import lock_one
from tests.support.project import Project
from tests.support.simple_index import SimpleIndex, serving
from tests.support.wheels import write_wheel

pytestmark = pytest.mark.integration

WHEEL = "tiny_model-1.0-py3-none-any.whl"
TARGET = {"python": "3.13", "platform": "x86_64-manylinux_2_41", "licence": "Apache-2.0"}


@pytest.fixture(autouse=True)
def _no_wheel_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "")


@pytest.fixture(params=["html", "json"])
def index(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SimpleIndex]:
    with ExitStack() as stack:
        served = stack.enter_context(serving(SimpleIndex(tmp_path / "www", json_form=request.param == "json")))
        write_wheel(served.folder, "tiny-model", "1.0")
        yield served


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path, Cache(tmp_path / "cache"), Silent())


def section(index: SimpleIndex, **fields: Any) -> WheelsSection:
    return WheelsSection.model_validate({**TARGET, "requirements": ("tiny-model",), "index": index.url, **fields})


def locked(index: SimpleIndex, context: Context, **fields: Any) -> LockedArtifact:
    return lock_one(Wheels(), "models", section(index, **fields), context)


def refused(index: SimpleIndex, context: Context, **fields: Any) -> ApplianceError:
    with pytest.raises(ApplianceError) as caught:
        locked(index, context, **fields)
    return caught.value


def of_google(publisher: dict[str, Any], _: dict[str, Any]) -> None:
    publisher.clear()
    publisher.update(kind="Google", email="builds@example.org")


def recorded(index: SimpleIndex, context: Context) -> Attested:
    """The file whose attestation was recorded, as an index has it."""
    pytest.importorskip("sigstore", reason="needs the extra attestations")
    file = LockedFile(path=NAME, sha256=SHA256, size=29882)
    return attestations_of(file, f"{index.origin}/integrity/{NAME}/provenance", PROVENANCE, context)


def test_an_attestation_that_holds_names_its_repository_and_is_kept(index: SimpleIndex, context: Context) -> None:
    found = recorded(index, context)
    assert found.finding.state == "verified"
    assert found.finding.said == f"attested by {REPOSITORY} (.github/workflows/release.yml)"
    assert found.evidence is not None
    assert found.finding.evidence == (found.evidence.path,)
    assert context.sink.path(found.evidence).read_bytes() == PROVENANCE


def test_an_attestation_of_other_bytes_is_refused(index: SimpleIndex, context: Context) -> None:
    pytest.importorskip("sigstore", reason="needs the extra attestations")
    file = LockedFile(path=NAME, sha256=64 * "0", size=29882)
    with pytest.raises(NotTrusted, match="an attestation of something else: it is about pypi_attestations") as caught:
        attestations_of(file, f"{index.origin}/integrity/{NAME}/provenance", PROVENANCE, context)
    assert caught.value.reference == "attestation-invalid"


def test_a_wheel_that_nobody_has_attested_is_locked_and_told(index: SimpleIndex, context: Context) -> None:
    artifact = locked(index, context)
    nothing = UpstreamFinding(about=WHEEL, state="nothing", said="the index has no attestation of it")
    assert artifact.upstream == (nothing,)
    assert artifact.evidence == ()


class Together(SimpleIndex):
    """It tells of no wheel's attestations before it is asked for those of two."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.met = threading.Barrier(2, timeout=10)

    def answer(self, path: str) -> tuple[str, bytes] | None:
        if "/integrity/" in path:
            with suppress(threading.BrokenBarrierError):
                self.met.wait()
            if self.met.broken:
                return None
            time.sleep(0.2 * (WHEEL in path))
        return super().answer(path)


def test_an_index_is_asked_for_several_wheels_at_once_and_findings_keep_their_order(
    tmp_path: Path, context: Context
) -> None:
    with serving(Together(tmp_path / "together")) as index:
        for name in ("tiny-model", "tiny-other"):
            write_wheel(index.folder, name, "1.0")
        index.provenance = {file.name: changed(of_google) for file in index.folder.iterdir()}
        artifact = locked(index, context, requirements=("tiny-model", "tiny-other"))
    found = [(finding.about, finding.state) for finding in artifact.upstream]
    assert found == [(WHEEL, "unchecked"), (WHEEL.replace("model", "other"), "unchecked")]


def test_an_attestation_of_another_file_keeps_a_wheel_from_being_locked(index: SimpleIndex, context: Context) -> None:
    pytest.importorskip("sigstore", reason="needs the extra attestations")
    index.provenance[WHEEL] = PROVENANCE
    error = refused(index, context)
    assert error.reference == "attestation-invalid"
    assert error.where == f"{index.origin}/integrity/{WHEEL}/provenance"


@pytest.mark.parametrize("answer", [b"<html>log in</html>", b""], ids=["a page", "nothing"])
def test_what_is_no_provenance_keeps_a_wheel_from_being_locked(
    index: SimpleIndex, context: Context, answer: bytes
) -> None:
    index.provenance[WHEEL] = answer
    error = refused(index, context)
    assert (error.reference, error.exit_code) == ("attestation-invalid", 3)


def test_a_publisher_that_cannot_be_verified_is_told_and_kept(index: SimpleIndex, context: Context) -> None:
    index.provenance[WHEEL] = changed(of_google)
    artifact = locked(index, context)
    (finding,) = artifact.upstream
    assert (finding.state, finding.said) == ("unchecked", "nothing here verifies publishers of the kind 'Google'")
    assert [file.path for file in artifact.evidence] == list(finding.evidence)


def test_a_definition_that_names_a_publisher_refuses_a_wheel_without(index: SimpleIndex, context: Context) -> None:
    error = refused(index, context, publishers={"tiny-model": REPOSITORY})
    assert (error.reference, error.exit_code) == ("attestation-missing", 3)
    assert REPOSITORY in str(error)
    index.provenance[WHEEL] = changed(of_google)
    assert refused(index, context, publishers={"tiny-model": REPOSITORY}).reference == "attestation-missing"


def test_a_definition_that_names_a_publisher_takes_no_others(index: SimpleIndex, context: Context) -> None:
    found = recorded(index, context)
    # PyPI's answers for a wheel have the same form; only this file's name is none of a wheel.
    found = Attested(found.finding.model_copy(update={"about": WHEEL}), found.evidence, found.repositories)
    check_publishers([found], section(index, publishers={"tiny-model": REPOSITORY}), "wheels/models")
    other = section(index, publishers={"tiny-model": "https://github.com/somebody/pypi-attestations"})
    with pytest.raises(NotTrusted) as caught:
        check_publishers([found], other, "wheels/models")
    assert caught.value.reference == "attestation-publisher"
    assert REPOSITORY in str(caught.value)


def test_a_publisher_of_what_is_not_there_is_named(index: SimpleIndex, context: Context) -> None:
    error = refused(index, context, publishers={"tiny-models": REPOSITORY})
    assert isinstance(error, BadInput)
    assert error.reference == "publisher-unused"


@pytest.mark.parametrize("address", ["https://example.org/a/b", "https://github.com/a", "github.com/a/b", "a/b"])
def test_a_publisher_is_a_repository_of_a_known_host(index: SimpleIndex, address: str) -> None:
    with pytest.raises(ValueError, match="is not a repository"):
        section(index, publishers={"tiny-model": address})


def test_what_is_required_has_to_be_verified(index: SimpleIndex, context: Context) -> None:
    error = refused(index, context, upstream="required")
    assert (error.reference, error.exit_code) == ("upstream-required", 3)
    assert f"{WHEEL} is not verified, which the definition requires" in str(error)


def test_what_an_index_has_said_lies_beside_the_lock_and_in_the_bundle(index: SimpleIndex, tmp_path: Path) -> None:
    index.provenance[WHEEL] = changed(of_google)
    project = Project.make(tmp_path / "project")
    definition = yaml.safe_load((project.folder / "small.yaml").read_text())
    wheels = section(index).model_dump(mode="json", exclude_unset=True)
    (project.folder / "small.yaml").write_text(yaml.safe_dump({**definition, "wheels": {"models": wheels}}))
    project.run("lock", "small.yaml").check_returncode()
    (artifact,) = (one for one in read_lock(project.folder / "small.lock.yaml").artifacts if one.kind == "wheels")
    (evidence,) = artifact.evidence
    assert (project.folder / "small.upstream" / evidence.sha256).read_bytes() == index.provenance[WHEEL]
    index.provenance.clear()  # what an index says later does not change what was locked
    project.build(APPLIANCE_CACHE=str(project.folder / "another cache")).check_returncode()
    assert (project.bundle / "evidence/upstream" / evidence.path).read_bytes() == changed(of_google)
    report = json.loads((project.bundle / "evidence/upstream.json").read_text())
    assert {one["artifact"]: one["findings"][0]["state"] for one in report["artifacts"]} == {
        "weights/tiny": "unchecked",
        "wheels/models": "unchecked",
    }
