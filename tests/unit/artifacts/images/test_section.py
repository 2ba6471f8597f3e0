from typing import Any

import pytest
from pydantic import ValidationError

from appliance.artifacts.images.section import ImageReference, ImagesSection, RegistryOrigin

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("docker.io/vllm/vllm-openai:v0.32.0", "docker.io/vllm/vllm-openai", "v0.32.0", ""),
        ("registry.example:5000/a/b__c:x", "registry.example:5000/a/b__c", "x", ""),
        ("localhost/a:x", "localhost/a", "x", ""),
        ("127.0.0.1:5000/a:x", "127.0.0.1:5000/a", "x", ""),
        (f"ghcr.io/a/b@{DIGEST}", "ghcr.io/a/b", "", DIGEST),
    ],
)
def test_a_reference_has_a_repository_and_a_tag_or_a_digest(text: str, repository: str, tag: str, digest: str) -> None:
    assert ImageReference.parse(text) == ImageReference(repository, tag, digest)
    assert str(ImageReference.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "debian:12",
        "library/debian:12",
        "docker.io/debian",
        f"docker.io/debian:12@{DIGEST}",
        "docker.io/debian@sha256:123",
        f"docker.io/debian@sha512:{'a' * 128}",
        "docker.io/Debian:12",
        "docker.io/debian:12 --tls-verify=false",
        "docker://docker.io/debian:12",
        "user:password@docker.io/debian:12",
        "docker.io/../debian:12",
        "docker.io//debian:12",
        "--help/debian:12",
        "docker.io/debian:12\n",
        "a.b/" + "c" * 600 + ":12",
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an image|either a tag or a digest|is not a digest"):
        ImageReference.parse(text)


def section(**changes: Any) -> ImagesSection:
    whole = {"registry": {"image": "docker.io/vllm/vllm-openai:v0.32.0"}, "licence": "Apache-2.0", **changes}
    return ImagesSection.model_validate({key: value for key, value in whole.items() if value is not None})


def test_a_section_names_its_source() -> None:
    assert section().source_type == "registry"
    assert section().registry is not None


def signed_by(**signer: str) -> dict[str, Any]:
    return {"registry": {"image": "docker.io/a/b:1", "signed_by": signer}}


def test_a_signer_is_named_by_a_key_or_an_identity() -> None:
    key = section(**signed_by(key="keys/a.pub", keyid="a" * 64)).registry
    person = section(**signed_by(identity="a@example.org", issuer="https://example.org")).registry

    assert key
    assert str(key.signed_by) == "the key " + "a" * 64
    assert person
    assert str(person.signed_by) == "a@example.org (https://example.org)"


def test_a_section_without_a_signer_is_written_as_before() -> None:
    assert "signed_by" not in str(section().model_dump())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"registry": None}, "give exactly one source, .*registry.*; found none of them"),
        ({"licence": None}, "licence"),
        ({"licence": " "}, "licence"),
        ({"registy": {}}, "registy"),
        ({"registry": {"image": "docker.io/a:1", "platform": "windows/amd64"}}, "hosts run Linux"),
        ({"registry": {"image": "docker.io/a:1", "insecure": True}}, "insecure"),
        (signed_by(), "found none of them"),
        (signed_by(key="a.pub"), "'key' and 'keyid', or .*; found key "),
        (signed_by(keyid="a" * 64), "found keyid"),
        (signed_by(identity="a@example.org"), "found identity"),
        (signed_by(key="a.pub", keyid="a" * 64, issuer="https://example.org"), "found issuer and key and keyid"),
        (signed_by(key="../a.pub/", keyid="a" * 64), "key"),
        (signed_by(key="a.pub", keyid="A" * 64), "keyid"),
        (signed_by(identity="a b", issuer="https://example.org"), "identity"),
        (signed_by(identity="a@example.org", issuer="https://example.org\n"), "issuer"),
        (signed_by(key="a.pub", keyid="a" * 64, identity_regexp=".*"), "identity_regexp"),
    ],
)
def test_a_section_that_is_wrong_says_where(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        section(**changes)


def origin(**attached: str) -> RegistryOrigin:
    return RegistryOrigin(
        image="docker.io/a:1",
        platform="linux/amd64",
        manifest=DIGEST,
        attached={name.replace("_", "-"): digest for name, digest in attached.items()},
    )


@pytest.mark.parametrize("attached", [{}, {"sha256_" + "b" * 64: DIGEST}])
def test_a_lock_gives_back_the_origin_that_was_written(attached: dict[str, str]) -> None:
    written = origin(**attached).as_fields()

    assert RegistryOrigin.from_fields(written) == origin(**attached)
    assert ("attached" in written) == (not attached)


@pytest.mark.parametrize(
    "changes",
    [
        {"manifest": "sha256:1"},
        {"image": "-v"},
        {"type": "containerfile"},
        {"more": "x"},
        {"attached ../../x": DIGEST},
        {f"attached referrer-{'b' * 64}": "x"},
    ],
)
def test_an_edited_origin_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        RegistryOrigin.from_fields({**origin().as_fields(), **changes})
