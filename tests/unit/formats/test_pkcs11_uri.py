from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.errors import BadInput
from appliance.formats.pkcs11_uri import is_pkcs11_uri, parse_pkcs11_uri, uri_part

SECRET = "271828"

# As p11tool, softhsm2 and the manuals of OpenSSL's providers write them.
FULL = (
    "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=659d63eaa5bffa22;token=release%20token;"
    "id=%01%fF;object=Schl%C3%BCssel;type=private;slot-id=633338402"
    "?module-path=/usr/lib/a%20b/libsofthsm2.so&pin-source=file:/run/keys/pin%201"
)


def refusal(text: str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse_pkcs11_uri(text)
    return caught.value


def test_every_attribute_is_read() -> None:
    uri = parse_pkcs11_uri(FULL)
    assert uri.token == {
        "model": "SoftHSM v2",
        "manufacturer": "SoftHSM project",
        "serial": "659d63eaa5bffa22",
        "token": "release token",
    }
    assert (uri.label, uri.id, uri.type, uri.slot_id) == ("Schlüssel", b"\x01\xff", "private", 633338402)
    assert uri.module == Path("/usr/lib/a b/libsofthsm2.so")
    assert uri.pin_source == Path("/run/keys/pin 1")
    assert uri.shown == FULL.partition("?")[0]


def test_what_is_not_said_is_left_open() -> None:
    uri = parse_pkcs11_uri("pkcs11:")
    assert (uri.token, uri.label, uri.id, uri.type, uri.slot_id) == ({}, None, None, None, None)
    assert (uri.module, uri.pin_source) == (None, None)


def test_an_id_is_bytes_and_a_label_may_be_empty() -> None:
    uri = parse_pkcs11_uri("PKCS11:id=01;object=")
    assert (uri.id, uri.label) == (b"01", "")


@pytest.mark.parametrize("source", ["file:/a/pin", "file:///a/pin"])
def test_both_ways_to_write_a_file(source: str) -> None:
    assert parse_pkcs11_uri(f"pkcs11:?pin-source={source}").pin_source == Path("/a/pin")


@pytest.mark.parametrize(
    ("text", "known"),
    [("pkcs11:token=a", True), ("PKCS11:", True), ("./pkcs11:a", False), ("pkcs11", False), ("keys/a.pem", False)],
)
def test_a_uri_is_told_from_a_file(text: str, known: bool) -> None:
    assert is_pkcs11_uri(text) is known


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pkcs11:token", "attribute 1 of its path has no '='"),
        ("pkcs11:token=a;", "attribute 2 of its path has no '='"),
        ("pkcs11:tokne=a", "attribute 'tokne' is not one of"),
        ("pkcs11:library-version=2.4", "attribute 'library-version' is not one of"),
        ("pkcs11:module-path=/a.so", "attribute 'module-path' is not one of"),
        ("pkcs11:?token=a", "attribute 'token' is not one of"),
        ("pkcs11:?module-name=softhsm2", "attribute 'module-name' is not one of"),
        ("pkcs11:x-vendor=a", "attribute 'x-vendor' is not one of"),
        ("pkcs11:token=a;token=b", "attribute token appears twice"),
        ("pkcs11:token=a b", "the value of token has a character"),
        ("pkcs11:token=%zz", "the value of token has a character"),
        ("pkcs11:token=%4", "the value of token has a character"),
        ("pkcs11:token=ü", "the value of token has a character"),
        ("pkcs11:token=a#b", "the value of token has a character"),
        ("pkcs11:token=%ff", "the value of token is not UTF-8"),
        ("pkcs11:object=a%00b", "the value of object holds a NUL"),
        ("pkcs11:slot-id=0x10", "slot-id is not a decimal number"),
        ("pkcs11:slot-id=-1", "slot-id is not a decimal number"),
        ("pkcs11:slot-id=18446744073709551616", "slot-id is not a decimal number"),
        ("pkcs11:type=secret-key", "type is not one of private, public, cert"),
        ("pkcs11:?module-path=libsofthsm2.so", "module-path is not an absolute path"),
        ("pkcs11:?module-path=", "module-path is not an absolute path"),
        ("pkcs11:?pin-source=/run/pin", "pin-source is not file: with an absolute path"),
        ("pkcs11:?pin-source=file:pin", "pin-source is not file: with an absolute path"),
        ("pkcs11:?pin-source=file://host/pin", "pin-source is not file: with an absolute path"),
        ("pkcs11:?pin-source=|/bin/ask", "pin-source is not file: with an absolute path"),
    ],
)
def test_what_is_no_uri_is_named(text: str, problem: str) -> None:
    error = refusal(text)
    assert error.reference == "pkcs11-uri"
    assert problem in error.what


@pytest.mark.parametrize(
    "text",
    [
        f"pkcs11:token=a?pin-value={SECRET}",
        f"pkcs11:token=a?PIN-VALUE={SECRET}",
        f"pkcs11:token=a;pin-value={SECRET}",
        f"pkcs11:token=a?module-path=/a.so&pin-value={SECRET}&pin-source=file:/a",
        f"pkcs11:pin-value={SECRET}%zz",
    ],
)
def test_a_pin_in_the_uri_is_refused_and_not_repeated(text: str) -> None:
    error = refusal(text)
    assert error.reference == "pkcs11-pin-value"
    assert "pin-source=file:" in error.hint
    assert SECRET not in str(error.as_dict())


@pytest.mark.parametrize(
    "text",
    [
        f"pkcs11:token=a;{SECRET}",
        f"pkcs11:token=a?{SECRET}",
        f"pkcs11:token=a;pin={SECRET}",
        f"pkcs11:token=a?pin={SECRET}",
        f"pkcs11:token=a?pin-source={SECRET}",
        f"pkcs11:token=a?pin-source=%zz{SECRET}",
    ],
)
def test_what_may_have_been_meant_as_a_pin_is_not_repeated(text: str) -> None:
    error = refusal(text)
    assert error.reference == "pkcs11-uri"
    assert SECRET not in str(error.as_dict())


@given(
    label=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    identity=st.none() | st.binary(max_size=20),
)
@example("the PIN-Value of pin-value", None)
def test_a_key_that_is_told_to_a_person_can_be_named_again(label: str | None, identity: bytes | None) -> None:
    uri = parse_pkcs11_uri(f"pkcs11:{uri_part(label, identity)}")
    assert (uri.label, uri.id) == (label, identity)


@given(st.text(), st.sampled_from(("", "?", ";token=", "?pin-source=file:", "%", "&", "=")), st.text())
def test_whatever_is_typed_is_read_or_refused(before: str, between: str, after: str) -> None:
    try:
        outcome = parse_pkcs11_uri(f"pkcs11:{before}{between}{after}").shown.partition(":")[0]
    except BadInput as error:
        outcome = error.reference
    assert outcome in ("pkcs11", "pkcs11-uri", "pkcs11-pin-value")
