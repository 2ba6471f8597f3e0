from datetime import UTC, datetime

import pytest

from appliance.formats.deb_repository import (
    IndexedDeb,
    deb_file_name,
    packages_index,
    parse_control,
    parse_inrelease,
    parse_stanza,
    release_index,
)
from appliance.model.files import Content

CONTENT = Content(sha256="0" * 64, size=12)


def control(package: str, version: str = "1.0") -> str:
    return f"Package: {package}\nVersion: {version}\nArchitecture: all\nDescription: short\n long\n .\n more\n"


def test_a_file_name_has_no_epoch() -> None:
    assert deb_file_name("perl", "1:5.40+dfsg~1-2", "amd64") == "perl_5.40+dfsg~1-2_amd64.deb"


def test_a_folded_field_keeps_its_lines() -> None:
    assert parse_stanza("A: 1\nLong:\n x\n\ty\n") == {"a": "1", "long": "\n x\n\ty"}


@pytest.mark.parametrize("text", ["", "A: 1\n\nB: 2", "A: 1\na: 2", " continued\nA: 1", "no field", "A: 1\n \nB: 2"])
def test_what_is_no_single_stanza_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a field|twice"):
        parse_stanza(text)


@pytest.mark.parametrize("extra", ["Filename: ../x", "SHA256: 00", "size: 1"])
def test_a_control_file_cannot_bring_index_fields(extra: str) -> None:
    with pytest.raises(ValueError, match="belongs to an index"):
        parse_control(f"{control('x')}{extra}\n")


def test_a_control_file_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no field version"):
        parse_control("Package: x\nArchitecture: all\n")


def test_the_index_is_sorted_and_keeps_control_data_as_it_is() -> None:
    debs = [IndexedDeb(parse_control(control(name)), CONTENT) for name in ("zlib", "acl")]
    index = packages_index(debs).decode()
    tail = f"Size: 12\nSHA256: {'0' * 64}\n"
    assert index == (
        f"{control('acl')}Filename: ./acl_1.0_all.deb\n{tail}\n{control('zlib')}Filename: ./zlib_1.0_all.deb\n{tail}"
    )
    assert packages_index(reversed(debs)).decode() == index


def test_the_release_names_the_index_and_no_day() -> None:
    release = release_index(b"", label="hosts", suite="trixie", architectures=["amd64", "all"])
    assert release.decode().splitlines() == [
        "Origin: appliance",
        "Label: hosts",
        "Suite: trixie",
        "Codename: trixie",
        "Date: Sat, 01 Jan 2000 00:00:00 UTC",
        "Architectures: all amd64",
        "SHA256:",
        " e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 Packages",
    ]


SIGNED = """-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

Suite: stable
Codename: trixie
Date: Sat, 12 Sep 2026 07:55:41 UTC
SHA256:
 00 1 main/x
-----BEGIN PGP SIGNATURE-----

xx
"""


def test_a_signed_release_tells_suite_and_date() -> None:
    release = parse_inrelease(SIGNED.encode())
    assert (release.suite, release.codename) == ("stable", "trixie")
    assert release.date == datetime(2026, 9, 12, 7, 55, 41, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", [SIGNED.replace("Date", "Day"), SIGNED.replace("Sat, 12 Sep", "once"), SIGNED.partition("\n")[2], ""]
)
def test_a_release_without_date_or_signature_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"date|clear-signed"):
        parse_inrelease(text.encode())
