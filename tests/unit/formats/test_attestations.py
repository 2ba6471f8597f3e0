"""Provenance objects of an index, in PEP 740's form and out of it; the real one was recorded on PyPI."""

import json
from typing import Any

import pytest

from appliance.formats.attestations import Publisher, check_statement, parse_provenance
from tests.support.attestations import NAME, PROVENANCE, SHA256, of_gitlab

PUBLISH = "https://docs.pypi.org/attestations/publish/v1"


def statement(**fields: Any) -> bytes:
    subject = {"name": "tiny_model-1.0-py3-none-any.whl", "digest": {"sha256": SHA256}}
    whole = {"_type": "https://in-toto.io/Statement/v1", "subject": [subject], "predicateType": PUBLISH}
    return json.dumps(whole | fields).encode()


def test_publishers_are_read_as_the_index_names_them() -> None:
    (github,) = parse_provenance(PROVENANCE)
    (gitlab,) = parse_provenance(of_gitlab())
    assert github.publisher == Publisher("GitHub", "trailofbits/pypi-attestations", ".github/workflows/release.yml")
    assert gitlab.publisher == Publisher("GitLab", "facutuesca/gitlab-oidc-project", ".gitlab-ci.yml")


def test_a_publisher_of_another_kind_has_a_kind_and_no_more() -> None:
    provenance = json.loads(PROVENANCE)
    provenance["attestation_bundles"][0]["publisher"] = {"kind": "Google", "email": "somebody@example.org"}
    (attestation,) = parse_provenance(json.dumps(provenance).encode())
    assert attestation.publisher == Publisher("Google")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"version": 2, "attestation_bundles": []}',
        b'{"version": 1}',
        b'{"version": 1, "attestation_bundles": []}',
        b'{"version": 1, "attestation_bundles": [1]}',
        b'{"version": 1, "attestation_bundles": [{"publisher": {"kind": "GitHub"}, "attestations": [{}]}]}',
        b'{"version": 1, "attestation_bundles": [{"publisher": {"kind": "Google"}, "attestations": []}]}',
        b'{"version": 1, "attestation_bundles": [{"publisher": {"kind": "Google"}, "attestations": [{"version": 2}]}]}',
        b'{"version": 1, "version": 1, "attestation_bundles": []}',
        PROVENANCE.replace(b"GitHub", b"Git\\u202eHub"),
        PROVENANCE.replace(b"GitHub", b"G" * 300),
        b" " * 2_000_000,
    ],
)
def test_what_is_no_provenance_object_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_provenance(text)


def test_a_statement_is_about_one_file_and_its_bytes() -> None:
    check_statement(statement(), "tiny_model-1.0-py3-none-any.whl", SHA256)
    check_statement(statement(), "tiny_model-1.0.0-py3-none-any.whl", SHA256)  # the same version, by PEP 440


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"predicateType": "https://example.org/other"}, "it states something else"),
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "it is no in-toto statement"),
        ({"subject": []}, "subject is missing, empty or no list"),
        ({"subject": [{"name": "a", "digest": {}}, {"name": "b", "digest": {}}]}, "it is about 2 files"),
        ({"subject": [{"name": NAME, "digest": {"sha256": SHA256}}]}, "it is about pypi_attestations"),
        ({"subject": [{"name": "tiny_model-1.0-py3-none-any.whl", "digest": {"sha256": 64 * "0"}}]}, "000"),
        ({"subject": [{"name": "tiny_model-1.0-py3-none-any.whl", "digest": {"sha512": SHA256}}]}, "None"),
    ],
)
def test_a_statement_about_something_else_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_statement(statement(**changed), "tiny_model-1.0-py3-none-any.whl", SHA256)
