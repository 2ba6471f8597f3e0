"""Real attestations from PyPI against Sigstore's public keys, whole and after somebody has changed a part."""

import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import BadInput, NotTrusted
from appliance.formats.attestations import check_statement, parse_provenance
from appliance.tools import sigstore
from tests.support.attestations import NAME, PROVENANCE, REPOSITORY, SHA256, changed, of_gitlab, other_statement

WHERE = "https://pypi.org/integrity/x"


def verified(provenance: bytes) -> bytes:
    pytest.importorskip("sigstore", reason="needs the extra attestations")
    (attestation,) = parse_provenance(provenance)
    return sigstore.verify(attestation, WHERE)


def refused(provenance: bytes) -> str:
    with pytest.raises(NotTrusted) as caught:
        verified(provenance)
    assert caught.value.reference == "attestation-invalid"
    assert caught.value.where == WHERE
    return caught.value.what


def test_what_a_workflow_of_github_has_attested_holds() -> None:
    check_statement(verified(PROVENANCE), NAME, SHA256)
    assert sigstore.repository(parse_provenance(PROVENANCE)[0].publisher) == REPOSITORY


def test_what_a_pipeline_of_gitlab_has_attested_holds() -> None:
    assert b"gitlab_oidc_project-0.0.3.tar.gz" in verified(of_gitlab())


@pytest.mark.parametrize(
    "publisher",
    [
        {"repository": "somebody/pypi-attestations"},
        {"repository": "trailofbits/pypi-attestation"},
        {"workflow": "other.yml"},
        {"workflow": "release.yml@refs/heads/main"},
        {"kind": "GitLab", "workflow_filepath": ".github/workflows/release.yml"},
    ],
)
def test_another_publisher_than_the_certificates_is_refused(publisher: dict[str, str]) -> None:
    assert refused(changed(lambda told, _: told.update(publisher)))


def test_another_pipeline_than_the_certificates_is_refused() -> None:
    assert refused(of_gitlab(file="other.yml"))
    assert refused(of_gitlab(repository="facutuesca/other"))


def test_a_statement_that_was_not_signed_is_refused() -> None:
    other = {"name": NAME, "digest": {"sha256": 64 * "0"}}
    assert refused(other_statement(subject=[other]))


def flipped(text: str) -> str:
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return base64.b64encode(bytes(data)).decode()


def damage(*path: str | int) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(_: dict[str, Any], attestation: dict[str, Any]) -> None:
        place: Any = attestation
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = flipped(place[path[-1]])

    return change


ENTRY = ("verification_material", "transparency_entries", 0)


@pytest.mark.parametrize(
    "path",
    [
        ("envelope", "signature"),
        ("verification_material", "certificate"),
        (*ENTRY, "canonicalizedBody"),
        (*ENTRY, "inclusionProof", "rootHash"),
        (*ENTRY, "inclusionProof", "hashes", 0),
        (*ENTRY, "inclusionPromise", "signedEntryTimestamp"),
    ],
)
def test_a_changed_part_is_refused(path: tuple[str | int, ...]) -> None:
    assert refused(changed(damage(*path)))


def test_an_entry_of_the_log_at_another_time_is_refused() -> None:
    def change(_: dict[str, Any], attestation: dict[str, Any]) -> None:
        attestation["verification_material"]["transparency_entries"][0]["integratedTime"] = "1"

    assert refused(changed(change))


def test_nothing_of_this_users_other_programs_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert verified(PROVENANCE)
    assert not list(tmp_path.iterdir())


def test_without_the_library_nothing_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sigstore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sigstore", None)
    with pytest.raises(BadInput) as caught:
        sigstore.verify(parse_provenance(PROVENANCE)[0], WHERE)
    assert caught.value.reference == "tool-missing"
    assert "appliance[attestations]" in caught.value.hint


WORKFLOW = f"{REPOSITORY}/.github/workflows/release.yml@refs/tags/v0.0.19"
GITHUB = "https://token.actions.githubusercontent.com"


def signed_by(identity: str, issuer: str) -> bytes:
    pytest.importorskip("sigstore", reason="needs the extra attestations")
    return sigstore.verify_identity(parse_provenance(PROVENANCE)[0].bundle, identity, issuer)


def test_what_an_identity_has_signed_holds() -> None:
    check_statement(signed_by(WORKFLOW, GITHUB), NAME, SHA256)


@pytest.mark.parametrize(
    ("identity", "issuer"),
    [
        (WORKFLOW, "https://gitlab.com"),
        (WORKFLOW[:-1], GITHUB),
        (f"{WORKFLOW}1", GITHUB),
        (".*", GITHUB),
        (REPOSITORY, GITHUB),
    ],
)
def test_another_identity_or_issuer_than_the_certificates_is_refused(identity: str, issuer: str) -> None:
    with pytest.raises(ValueError, match="match"):
        signed_by(identity, issuer)


def test_a_bundle_that_is_none_is_refused() -> None:
    pytest.importorskip("sigstore", reason="needs the extra attestations")
    with pytest.raises(ValueError, match=r"\S"):
        sigstore.verify_identity(b"{}", WORKFLOW, GITHUB)
