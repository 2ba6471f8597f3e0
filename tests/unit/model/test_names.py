import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.model.names import (
    LETTERS,
    check_name,
    check_path,
    check_sha256,
    check_version,
    collision_key,
    path_problem,
)


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
    with pytest.raises(ValueError, match="not a safe name"):
        check_name(name)


@pytest.mark.parametrize("version", ["1.0", "1.0.0", "2026.11.1-rc.1", "0.1", "1.2.3.4", "1.0-a"])
def test_versions_that_can_be_ordered(version: str) -> None:
    assert check_version(version) == version


@pytest.mark.parametrize(
    "version", ["", "1", "v1.0", "1.0.0.0.0", "01.0", "1.0-", "1.0-RC", "1.0\n", "1.0-" + "a" * 64]
)
def test_versions_that_cannot(version: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        check_version(version)


@pytest.mark.parametrize("digest", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "\u0660" * 64, "a" * 64 + "\n"])
def test_a_digest_is_64_lower_case_digits(digest: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        check_sha256(digest)


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "models/x/model-00001-of-00005.safetensors",
        "models/x/.gitattributes",
        "a b/c d",
        "mod\u00e8le/\u6a21\u578b/\u041c\u043e\u0434\u0435\u043b\u044c/\ubaa8\ub378",
        "\u30e2\u30c7\u30eb/m\u00f4 h\u00ecnh/\u03b1\u03b2/\u017c\u00f3\u0142w",
        "a+b@c,d;e='f'(g)[h]{i}~!#$%^&",
        "console/auxiliary.txt",
        "a/com10/nul-x/conin/aux_1",
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
        ("e\u0301", r"U\+0301"),
        ("COM\u00b9", r"U\+00B9"),
        ("wait\u2026", r"U\+2026"),
        ("\ufb01ne", r"U\+FB01"),
        ("\U0001f600", r"U\+1F600"),
        ("stra\u00dfe", r"U\+00DF"),
        ("\u0131", r"U\+0131"),
        ("\u2ffc", r"U\+2FFC"),  # since Unicode 15.1
        ("\u05d0", r"U\+05D0"),  # from right to left
        ("-rf", "starts with '-'"),
        (" a", "starts with a space"),
        ("a.", "ends with a dot"),
        ("NUL.txt", "reserved name"),
        ("a/nul .txt", "reserved name"),
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
        ("a/\u2025/b", r"U\+2025"),
        ("\uff0fetc", r"U\+FF0F"),
        ("a/\u2100/b", r"U\+2100"),
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
    [("models/X", "MODELS/x"), ("\u00c5", "\u00e5"), ("\u0401", "\u0451"), ("\u0178", "\u00ff"), ("\u1ed6", "\u1ed7")],
)
def test_names_that_are_one_on_some_file_system(one: str, other: str) -> None:
    assert collision_key(one) == collision_key(other)


def test_names_that_are_two_everywhere() -> None:
    paths = ["a", "b", "a/b", "a b", "ab", "\u00e5", "\u00e4", "\u0430", "1", "\u00e9", "e"]
    assert len({collision_key(path) for path in paths}) == len(paths)


# The table -----------------------------------------------------------------------------------

TABLE = [chr(code) for code in range(0x80, 0x110000) if re.match(f"[{LETTERS}]", chr(code))]


def test_every_letter_has_one_form_whichever_unicode_a_library_knows() -> None:
    joined = {unicodedata.normalize("NFD", letter)[1:2] for letter in map(chr, range(0x30000))}
    for letter in TABLE:
        assert unicodedata.category(letter) in {"Lu", "Ll", "Lo", "Lm", "Nl"}
        assert unicodedata.bidirectional(letter) == "L"
        assert unicodedata.combining(letter) == 0
        assert letter not in joined  # it never becomes part of the letter before it
        assert {unicodedata.normalize(form, letter) for form in ("NFC", "NFKC")} == {letter}


def test_case_is_folded_as_coarsely_as_by_any_file_system() -> None:
    def coarse(text: str) -> str:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).upper().casefold())
        return unicodedata.normalize("NFKC", folded.casefold())

    letters = [*TABLE, *map(chr, range(0x20, 0x7F))]
    keys = {letter: collision_key(letter) for letter in letters}
    assert keys == {letter: coarse(letter) for letter in letters}


@given(st.lists(st.sampled_from([*TABLE, *"Aa1"]), max_size=8).map("".join))
def test_letters_beside_each_other_are_folded_as_alone(text: str) -> None:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).upper().casefold())
    assert collision_key(text) == unicodedata.normalize("NFKC", folded.casefold())
    assert unicodedata.normalize("NFKC", text) == unicodedata.normalize("NFC", text) == text
