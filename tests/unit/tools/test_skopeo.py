from pathlib import Path

import pytest

from appliance.errors import BadInput, Failed, NotTrusted
from appliance.tools import skopeo

REFERENCE = "registry.example/denied/x509:404"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
STAMP = 'skopeo ended with 1:\ntime="2026-01-01T00:00:00Z" level=fatal msg="'


def explained(words: str) -> Exception:
    return skopeo.explain(REFERENCE, Failed("tool-failed", f'{STAMP}{words}"'))


# Words of skopeo 1.9 and 1.18.
@pytest.mark.parametrize(
    ("words", "reference"),
    [
        ("reading manifest 2.0 in registry.example/a: manifest unknown: manifest unknown", "image-missing"),
        ("reading manifest 2.0 in registry.example/a: manifest unknown", "image-missing"),
        ("reading blob: Error fetching blob: invalid status code from registry 404 (Not Found)", "image-missing"),
        ("reading blob: fetching blob: blob unknown to registry", "image-missing"),
        ("reading manifest 1 in registry.example/a: unauthorized: authentication required", "registry-login"),
        ("reading manifest 1 in registry.example/a: authentication required", "registry-login"),
        ("requested access to the resource is denied", "registry-login"),
        ("Requesting bearer token: invalid status code from registry 403 (Forbidden)", "registry-login"),
        ("toomanyrequests: You have reached your pull rate limit", "source-refused"),
        (
            'Get \\"https://registry.example/v2/\\": x509: certificate signed by unknown authority',
            "registry-certificate",
        ),
        ("http: server gave HTTP response to HTTPS client", "registry-certificate"),
        ("dial tcp 127.0.0.1:1: connect: connection refused", "source-unreachable"),
        ("dial tcp: lookup registry.example: no such host", "source-unreachable"),
        ("happened during read: unexpected EOF", "source-unreachable"),
        ("received unexpected HTTP status: 503 Service Unavailable", "source-unreachable"),
    ],
)
def test_what_skopeo_says_becomes_an_error_that_says_what_to_do(words: str, reference: str) -> None:
    error = explained(f'Error parsing image name \\"docker://{REFERENCE}\\": {words}')

    assert isinstance(error, BadInput)
    assert (error.reference, error.where, error.exit_code) == (reference, REFERENCE, 2)
    assert error.hint
    assert "level=" not in error.what


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (f"writing blob: happened during read: Digest did not match, expected {A}, got {B}", B),
        (f"reading config blob {A}: Download config.json digest {B} does not match expected {A}", B),
        (f"Manifest does not match provided manifest digest {A}", "another manifest"),
    ],
)
def test_other_bytes_than_the_digest_says_are_not_trusted(words: str, found: str) -> None:
    error = explained(words)

    assert isinstance(error, NotTrusted)
    assert (error.expected, error.found) == (A, found)


def test_words_that_nobody_knows_stay_as_they_are() -> None:
    error = explained("the sky has fallen")

    assert isinstance(error, Failed)
    assert "the sky has fallen" in error.what


def test_the_login_file_is_the_one_that_skopeo_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert skopeo.login_file() == f"/run/user/7/containers/auth.json, then {tmp_path}/.docker/config.json"

    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/x/auth.json")
    assert skopeo.login_file() == "/x/auth.json"
