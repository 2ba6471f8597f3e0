import json

import pytest
from packaging.requirements import Requirement

from appliance.formats.package_index import WheelLink, choose, parse_page, parse_provenances

PAGE = "https://pypi.example/simple/tiny-model/"
DIGEST = "ab" * 32


def anchors(*lines: str) -> tuple[WheelLink, ...]:
    return parse_page("\n".join(lines).encode(), PAGE, "tiny-model")


def wheel(version: str, *, tag: str = "py3-none-any", more: str = "") -> str:
    name = f"tiny_model-{version}-{tag}.whl"
    return f'<a href="../../files/{name}#sha256={DIGEST}" {more}>{name}</a>'


def test_html_and_json_say_the_same() -> None:
    html = anchors(wheel("1.0", more='data-yanked="broken"'))
    entry = {"url": html[0].url, "hashes": {"sha256": DIGEST}, "yanked": "broken", "size": 7}
    (file,) = parse_page(json.dumps({"files": [entry]}).encode(), PAGE, "tiny-model")

    assert html[0].url == "https://pypi.example/files/tiny_model-1.0-py3-none-any.whl"
    assert html[0].yanked == "broken"
    assert html[0].size is None
    assert file.size == 7
    assert (file.url, file.sha256, file.version, file.yanked) == (html[0].url, DIGEST, html[0].version, "broken")


def test_what_is_no_wheel_with_a_digest_is_not_seen() -> None:
    assert not anchors(
        f'<a href="/tiny_model-1.0.tar.gz#sha256={DIGEST}">',
        '<a href="/tiny_model-1.0-py3-none-any.whl">',
        '<a href="/tiny_model-1.0-py3-none-any.whl#md5=00">',
        '<a href="/tiny_model-1.0-py3-none-any.whl#sha256=00">',
        f'<a href="/other_model-1.0-py3-none-any.whl#sha256={DIGEST}">',
        f'<a href="/tiny_model.whl#sha256={DIGEST}">',
        "<a>",
        "<p>",
    )


def test_the_newest_version_that_fits_is_chosen() -> None:
    links = anchors(wheel("1.0"), wheel("1.2"), wheel("1.10"), wheel("2.0"), wheel("1.11rc1"))
    assert str(choose(Requirement("tiny-model<2"), links).version) == "1.10"
    assert str(choose(Requirement("tiny-model==1.0"), links).version) == "1.0"


def test_a_yanked_version_has_to_be_asked_for() -> None:
    links = anchors(wheel("1.0"), wheel("1.1", more="data-yanked"))
    assert str(choose(Requirement("tiny-model"), links).version) == "1.0"
    assert str(choose(Requirement("tiny-model==1.1"), links).version) == "1.1"


def test_a_wheel_for_every_platform_is_preferred_and_no_other_is_guessed() -> None:
    special = [wheel("1.0", tag="cp311-cp311-linux_x86_64"), wheel("1.0", tag="cp313-cp313-linux_x86_64")]
    assert choose(Requirement("tiny-model"), anchors(*special, wheel("1.0"))).pure
    assert not choose(Requirement("tiny-model"), anchors(special[0])).pure
    with pytest.raises(ValueError, match="several wheels"):
        choose(Requirement("tiny-model"), anchors(*special))


def test_nothing_fits() -> None:
    with pytest.raises(ValueError, match=r"the index has: 1\.0"):
        choose(Requirement("tiny-model>1"), anchors(wheel("1.0")))
    with pytest.raises(ValueError, match="the index has: none"):
        choose(Requirement("tiny-model"), ())


@pytest.mark.parametrize("page", [b"{}", b"{", b'{"files": [1]}', b'{"files": [{}]}', b"\xff"])
def test_pages_that_are_none(page: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each parser has words of its own
        parse_page(page, PAGE, "tiny-model")


def test_addresses_of_attestations_are_found_in_both_forms() -> None:
    address = "https://pypi.example/integrity/tiny-model/1.0/tiny_model-1.0-py3-none-any.whl/provenance"
    html = "\n".join(
        [wheel("1.0", more=f'data-provenance="{address}"'), wheel("1.1"), wheel("1.2", more="data-yanked")]
    )
    files: list[dict[str, object]] = [
        {"url": f"https://pypi.example/files/tiny_model-{version}-py3-none-any.whl", "hashes": {}, "provenance": told}
        for version, told in (("1.0", address), ("1.1", None), ("1.2", ""))
    ]
    for page in (html, json.dumps({"files": files})):
        assert parse_provenances(page.encode()) == {"tiny_model-1.0-py3-none-any.whl": address}
