"""Statements in OpenVEX: those that the specification shows are read, and what we cannot honour is refused."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from appliance.formats.openvex import Vex, parse_vex
from appliance.formats.purl import deb_purl, parse_purl, pypi_purl
from tests.support.advisories import vex, vex_statement

GIT = "pkg:apk/wolfi/git@2.39.0-r1"
# The specification's own example, https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md#a-sample-scenario.
SAMPLE = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "@id": "https://openvex.dev/docs/example/vex-9fb3463de1b57",
    "author": "Wolfi J Inkinson",
    "role": "Document Creator",
    "timestamp": "2023-01-08T18:02:03.647787998-06:00",
    "version": 1,
    "statements": [
        {
            "vulnerability": {"name": "CVE-2023-12345"},
            "products": [{"@id": f"{GIT}?arch=armv7"}, {"@id": f"{GIT}?arch=x86_64"}],
            "status": "fixed",
        }
    ],
}


def read(*statements: dict[str, Any]) -> Vex:
    return parse_vex(vex(*statements))


def test_the_example_of_the_specification_is_read() -> None:
    found = parse_vex(json.dumps(SAMPLE).encode())
    told = found.about(parse_purl(f"{GIT}?arch=x86_64&distro=wolfi"), ["CVE-2023-12345"])
    assert told is not None
    assert told.status == "fixed"
    assert found.about(parse_purl(f"{GIT}?arch=riscv64"), ["CVE-2023-12345"]) is None
    assert found.about(parse_purl(f"{GIT}?arch=x86_64"), ["CVE-2023-54321"]) is None


@pytest.mark.parametrize(
    ("product", "part", "same"),
    [
        ("pkg:pypi/Py.YAML@5.3.1", pypi_purl("py-yaml", "5.3.1", "a.whl"), True),
        ("pkg:pypi/pyyaml@5.3.1", pypi_purl("PyYAML", "5.4"), False),
        ("pkg:deb/debian/nginx@1.26.3-3", deb_purl("nginx", "1.26.3-3", "amd64", "trixie"), True),
        ("pkg:deb/debian/nginx@1.26.3-3?arch=arm64", deb_purl("nginx", "1.26.3-3", "amd64", "trixie"), False),
        ("pkg:deb/ubuntu/nginx@1.26.3-3", deb_purl("nginx", "1.26.3-3", "amd64", "trixie"), False),
    ],
)
def test_a_product_is_the_part_that_its_package_url_names(product: str, part: str, same: bool) -> None:
    found = read(vex_statement("CVE-2026-99999", product)).about(parse_purl(part), ["CVE-2026-99999"])
    assert (found is not None) == same


def test_an_alias_names_the_vulnerability_too() -> None:
    statement = vex_statement("GHSA-aaaa-bbbb-cccc", GIT)
    statement["vulnerability"]["aliases"] = ["CVE-2026-99999"]
    assert read(statement).about(parse_purl(GIT), ["CVE-2026-99999"])


def test_the_newest_statement_holds_and_of_one_moment_the_most_cautious() -> None:
    passing = vex_statement("CVE-2026-99999", GIT)
    asking = {**vex_statement("CVE-2026-99999", GIT), "status": "under_investigation"}

    def status(*statements: dict[str, Any]) -> str:
        found = read(*statements).about(parse_purl(GIT), ["CVE-2026-99999"])
        assert found is not None
        return found.status

    older, newer = {"timestamp": "2026-11-01T00:00:00+02:00"}, {"timestamp": "2026-11-01T00:00:00Z"}
    assert status(passing | older, asking | newer) == "under_investigation"
    assert status(passing | newer, asking | older) == "not_affected"
    assert status(passing, asking) == status(asking, passing) == "under_investigation"
    updated = {"timestamp": "2026-01-01T00:00:00Z", "last_updated": "2026-11-20T00:00:00Z"}
    assert status(passing | newer, asking | updated) == "under_investigation"
    assert status(passing | {"last_updated": "2026-06-01T00:00:00Z"}, asking | older) == "under_investigation"


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *folders, last = key.split("/")
        place: Any = document
        for folder in folders:
            place = place[int(folder)] if isinstance(place, list) else place[folder]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return change


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("@context", "https://openvex.dev/ns/v0.0.1"),
        ("context", "https://openvex.dev/ns/v0.2.0"),
        ("timestamp", "2026-11-20"),
        ("timestamp", "1926-11-20T00:00:00Z"),
        ("version", "1"),
        ("author", None),
        ("statements", []),
        ("more", 1),
        ("statements/0/products", []),
        ("statements/0/products", None),
        ("statements/0/products/0/subcomponents", [{"@id": GIT}]),
        ("statements/0/products/0/hashes", {"sha-256": "0" * 64}),
        ("statements/0/products/0/@id", "pkg:apk/wolfi/git"),
        ("statements/0/products/0/@id", "https://example.org/product"),
        ("statements/0/products/0/identifiers", {"purl": "pkg:apk/wolfi/git@2"}),
        ("statements/0/products/0/identifiers", {"cpe23": "cpe:2.3:a:apache:log4j:2.4:-:*:*:*:*:*:*"}),
        ("statements/0/status", "safe"),
        ("statements/0/status", "affected"),
        ("statements/0/products/0/@id", None),
        ("statements/0/justification", "trust_me"),
        ("statements/0/impact_statement", "x" * 4001),
        ("statements/0/timestamp", "yesterday"),
        ("statements/0/timestamp", 1795165200),
        ("statements/0/last_updated", "yesterday"),
        ("statements/0/action_statement_timestamp", "2026-11-20"),
        ("last_updated", "2026-11-20"),
        ("statements/0/vulnerability", "CVE-2026-99999"),
    ],
)
def test_what_we_cannot_honour_is_refused(key: str, value: Any) -> None:
    document = json.loads(vex(vex_statement("CVE-2026-99999", GIT)))
    parse_vex(json.dumps(document).encode())
    changed = copy.deepcopy(document)
    _set(key, value)(changed)
    with pytest.raises(ValueError, match=r"."):
        parse_vex(json.dumps(changed).encode())


def test_a_statement_was_not_updated_before_it_was_made() -> None:
    late = {"timestamp": "2026-11-20T09:00:00Z", "last_updated": "2026-11-20T08:00:00Z"}
    with pytest.raises(ValueError, match="last_updated is before its timestamp"):
        read(vex_statement("CVE-2026-99999", GIT) | late)


def test_who_says_that_nothing_is_affected_says_why() -> None:
    statement = vex_statement("CVE-2026-99999", GIT)
    for reason in ("justification", "impact_statement"):
        assert read({key: value for key, value in statement.items() if key != reason})
    with pytest.raises(ValueError, match="without a justification or an impact_statement"):
        read({key: statement[key] for key in ("vulnerability", "products", "status")})


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"@id":"a","@id":"b"}', b"\xff"])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_vex(data)
