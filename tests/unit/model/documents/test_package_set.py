import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from appliance.model.documents.package_set import PackageSet, SuiteRelease, read_record, write_record

WHEN = datetime(2026, 9, 12, 7, 55, 41, tzinfo=UTC)
EARLIER = datetime(2026, 9, 11, tzinfo=UTC)
DIGEST = "ab" * 32


def packageset(**changes: object) -> PackageSet:
    values = {"distribution": "debian", "suite": "trixie", "architecture": "amd64", "packages": ["nginx"]}
    return PackageSet.model_validate_json(json.dumps({**values, **changes}))


def test_a_release_is_its_suite_updates_and_security() -> None:
    assert [(source.url, source.suite) for source in packageset().sources()] == [
        ("http://deb.debian.org/debian", "trixie"),
        ("http://deb.debian.org/debian", "trixie-updates"),
        ("http://deb.debian.org/debian-security", "trixie-security"),
    ]


def test_an_archive_may_have_no_security_suite() -> None:
    assert [source.suite for source in packageset(security=None).sources()] == ["trixie", "trixie-updates"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("packages", []),
        ("packages", ["nginx", "jq", "nginx"]),
        ("packages", ["nginx=1.2"]),
        ("packages", ["nginx:arm64"]),
        ("packages", ["-y"]),
        ("packages", ["?essential"]),
        ("packages", ["../x"]),
        ("suite", "trixie main"),
        ("suite", "trixie\n"),
        ("suite", "../x"),
        ("architecture", "amd64]"),
        ("components", ["main [trusted=yes]"]),
        ("distribution", "ubuntu"),
        ("mirror", "ftp://deb.debian.org/debian"),
        ("mirror", "http://deb.debian.org/debian main\ndeb http://evil"),
        ("mirror", "http://[::1]/debian"),
        ("mirror", "http://user:secret@deb.debian.org/debian"),
        ("mirror", "http://deb.debian.org/debian?x=1"),
        ("mirror", "http:///debian"),
    ],
)
def test_what_apt_would_read_in_another_way_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        packageset(**{key: value})


def test_a_password_is_not_repeated_by_the_refusal_itself() -> None:
    with pytest.raises(ValidationError) as caught:
        packageset(mirror="http://user:secret@deb.debian.org/debian")
    assert "secret" not in caught.value.errors()[0]["msg"]


def test_the_record_leads_to_the_snapshot_of_the_next_day() -> None:
    releases = (SuiteRelease("trixie", WHEN, DIGEST, ("AA", "BB")), SuiteRelease("trixie-updates", EARLIER, DIGEST, ()))
    written = write_record(packageset(mirror="http://deb.debian.org/debian/"), DIGEST, releases)
    assert written["archive-release-trixie"] == f"2026-09-12T07:55:41Z sha256:{DIGEST} signed by AA BB"
    record = read_record(written)
    assert record.snapshot_url("http://deb.debian.org/debian/pool/main/n/nginx/nginx_1_all.deb") == (
        "https://snapshot.debian.org/archive/debian/20260913T075541Z/pool/main/n/nginx/nginx_1_all.deb"
    )
    assert record.snapshot_url("http://deb.debian.org/debian-security/pool/updates/x.deb") == (
        "https://snapshot.debian.org/archive/debian-security/20260913T075541Z/pool/updates/x.deb"
    )


def test_without_a_snapshot_or_for_another_archive_there_is_nothing_to_ask() -> None:
    releases = (SuiteRelease("trixie", WHEN, DIGEST, ()),)
    here = "http://deb.debian.org/debian/pool/x.deb"
    assert read_record(write_record(packageset(snapshot=None), DIGEST, releases)).snapshot_url(here) is None
    assert read_record(write_record(packageset(), DIGEST, releases)).snapshot_url("http://other.example/x") is None


@pytest.mark.parametrize("source", [{}, {"archive": "http://x"}, {"archive": "http://x", "archive-time": "soon"}])
def test_a_record_that_was_edited_is_refused(source: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"archive|soon"):
        read_record(source)
