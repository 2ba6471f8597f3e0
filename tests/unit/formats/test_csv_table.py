"""CSV as others read it, and as a spreadsheet must not run it."""

import csv
import io

import pytest

from appliance.formats.csv_table import csv_table


def read(text: str, separator: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


def test_others_read_what_was_written() -> None:
    rows = [["a", 'say "b", c'], ["", "d; e"], ["ü", "1:2.3-4+deb13u1~bpo"]]
    text = csv_table(("x", "y"), rows)
    assert read(text) == [["x", "y"], *rows]
    assert text.startswith('"x","y"\r\n')
    assert text.endswith("\r\n")


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "  '=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a;=1", "a;'=1"),
        ("a, -1", "a, '-1"),
        ('a"=1', "a\"'=1"),
        ("a|@b", "a|'@b"),
        ("\t=1", "\\t=1"),
        ("a\r\n=1", "a\\r\\n=1"),
        ("a\u202eb\u00a0c", "a\\u202eb\\xa0c"),
        ("GPL-2.0-or-later", "GPL-2.0-or-later"),
        ("1.0+cpu", "1.0+cpu"),
        ("a@b = c", "a@b = c"),
    ],
)
def test_no_field_is_a_formula(words: str, written: str) -> None:
    assert read(csv_table(("x",), [[words]])) == [["x"], [written]]


@pytest.mark.parametrize("separator", [",", ";", "|"])
@pytest.mark.parametrize("words", ['";=1;"', 'a"; =1', "x,=1;=2|=3", '""=1', "';+1"])
def test_nor_is_one_where_a_spreadsheet_ends_fields_otherwise(words: str, separator: str) -> None:
    for row in read(csv_table(("x", "y"), [["a", words], [words, "a"]]), separator):
        assert not [field for field in row if field.lstrip(' "').startswith(("=", "+", "-", "@"))]
