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
        "a/com10/nul-x/conin/aux_1",
        "wait\u2026 x\u00b2 \ufb01ne",
        "\U0001f600 \u0939\u093f\u0928\u094d\u0926\u0940",
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
        ("a/nul .txt", "reserved name"),
        ("COM\u00b9", "reserved name"),
        ("lpt\u00b3.x/y", "reserved name"),
        ("conin$", "reserved name"),
        ("CONOUT$.txt", "reserved name"),
        ("a\u00a0b", r"U\+00A0"),
        ("a\u3000b", r"U\+3000"),
        ("a\u1680b", r"U\+1680"),
        ("a\u2028b", r"U\+2028"),
        ("a\u00adb", r"U\+00AD"),
        ("a\ufeffb", r"U\+FEFF"),
        ("a\ufe0fb", r"U\+FE0F"),
        ("a\u3164b", r"U\+3164"),
        ("a\u2800b", r"U\+2800"),
        ("a\U000e0100b", r"U\+E0100"),
        ("a\U000e0041b", r"U\+E0041"),
        ("a/\u2025/b", r"form KC has the component '\.\.'"),
        ("\uff0e\uff0e/b", r"form KC has the component '\.\.'"),
        ("a/\u2024/b", r"form KC has the component '\.'"),
        ("\uff0fetc", "other components in Unicode normal form KC"),
        ("a/\u2100/b", "other components in Unicode normal form KC"),
        ("a\uff3cb", r"form KC has the character '\\\\'"),
        ("a\uff1ab", "form KC has the character ':'"),
        ("a/\uff0drf", "form KC has a component that starts with '-'"),
        ("a\u2024", "form KC has a component that .*ends with a dot"),
        ("\uff43\uff4f\uff4e", "form KC has the reserved name"),
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("models/X", "MODELS/x"),
        ("stra\u00dfe", "STRASSE"),
        ("stra\u00dfe", "stra\u1e9ee"),
        ("\u212a", "k"),
        ("\u017f", "S"),
        ("\u0131", "I"),
        ("\u03c2", "\u03a3"),
        ("\ufb03", "FFI"),
        ("x\u00b2", "X2"),
        ("\u00c5", "\u212b"),
        ("\u0390", "\u1fd3"),
        ("\u01c4", "\u01c6"),
    ],
)
def test_names_that_are_one_on_some_file_system(one: str, other: str) -> None:
    assert collision_key(one) == collision_key(other)


def test_names_that_are_two_everywhere() -> None:
    paths = ["a", "b", "a/b", "a b", "ab", "\u00e5", "\u00e4", "\u0430", "1", "\u00e9", "e"]
    assert len({collision_key(path) for path in paths}) == len(paths)


def test_letters_collide_in_whatever_form_a_file_system_folds_them() -> None:
    for number in range(0x80, 0x30000):
        letter = chr(number)
        if unicodedata.category(letter)[0] not in "LN":
            continue
        forms = (letter.upper(), letter.lower(), letter.casefold(), unicodedata.normalize("NFKC", letter))
        assert {collision_key(form) for form in forms} == {collision_key(letter)}
