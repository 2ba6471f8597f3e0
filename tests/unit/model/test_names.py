import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.model.names import check_name, check_path, check_sha256, check_version, collision_key, path_problem


@pytest.mark.parametrize("name", ["a", "demo", "llama-3.1-8b", "a_b.c-d", "x" * 64, "0"])
def test_names_that_every_file_system_takes(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a..b",
        "../x",
        "a/b",
        "A",
        "caf\u00e9",
        "-a",
        "a-",
        ".a",
        "a.",
        "a b",
        "a\n",
        "x" * 65,
        "nul",
        "com1.x",
    ],
)
def test_names_that_some_file_system_reads_in_another_way(name: str) -> None:
    with pytest.raises(ValueError, match="no safe name"):
        check_name(name)


@pytest.mark.parametrize("version", ["1.0", "1.0.0", "2026.11.1-rc.1", "0.1", "1.2.3.4", "1.0-a"])
def test_versions_that_can_be_ordered(version: str) -> None:
    assert check_version(version) == version


@pytest.mark.parametrize(
    "version", ["", "1", "v1.0", "1.0.0.0.0", "01.0", "1.0-", "1.0-RC", "1.0\n", "1.0-" + "a" * 64]
)
def test_versions_that_cannot(version: str) -> None:
    with pytest.raises(ValueError, match="no version"):
        check_version(version)


@pytest.mark.parametrize("digest", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "\u0660" * 64, "a" * 64 + "\n"])
def test_a_digest_is_64_lower_case_digits(digest: str) -> None:
    with pytest.raises(ValueError, match="no SHA-256"):
        check_sha256(digest)


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "models/x/model-00001-of-00005.safetensors",
        "models/x/.gitattributes",
        "a b/c d",
        "mod\u00e8le/\u6a21\u578b/\u0e41\u0e1a\u0e1a",
        "a+b@c,d;e='f'(g)[h]{i}~!#$%^&",
        "console/auxiliary.txt",
        "/".join(["d"] * 32),
        "x" * 255,
    ],
)
def test_paths_that_mean_one_file_everywhere(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "empty"),
        ("/a", "absolute"),
        ("a//b", "empty component"),
        ("a/", "empty component"),
        ("a/../b", "'..'"),
        (".", "'.'"),
        ("a\\b", "'\\\\\\\\'"),
        ("a\nb", r"U\+000A"),
        ("a\u202eb", r"U\+202E"),
        ("\udc80", "UTF-8"),
        ("e\u0301", "normal form C"),
        ("-rf", "starts with '-'"),
        (" a", "starts with a space"),
        ("a.", "ends with a dot"),
        ("NUL.txt", "reserved name"),
        ("x" * 256, "longer than 255"),
        ("/".join(["x" * 200] * 6), "longer than 1024"),
        ("/".join(["d"] * 33), "deeper than 32"),
    ],
)
def test_paths_that_do_not_and_why(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_path(path)


@given(st.text(max_size=40))
def test_an_accepted_path_stays_inside_and_stays_the_same(path: str) -> None:
    if path_problem(path):
        return
    assert unicodedata.normalize("NFC", path) == path
    assert path.encode().decode() == path
    for component in path.split("/"):
        assert component.strip(" .")
        assert not {unicodedata.category(character) for character in component} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert collision_key(collision_key(path)) == collision_key(path)
