from typing import Any

import pytest

from appliance.model import yamlform
from appliance.model.yamlform import YamlError, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: -12", {"a": -12}),
        ("a: 0.9", {"a": 0.9}),
        ("a: no", {"a": "no"}),
        ("a: NO\nb: on\nc: y", {"a": "NO", "b": "on", "c": "y"}),
        ("a: true\nb: false", {"a": True, "b": False}),
        ("a:\nb: ~\nc: null", {"a": None, "b": None, "c": None}),
        ("a: '1'\nb: \"true\"\nc: ''", {"a": "1", "b": "true", "c": ""}),
        (
            "a: 0o17\nb: 0x1f\nc: 1_000\nd: 012\ne: 1e3",
            {"a": "0o17", "b": "0x1f", "c": "1_000", "d": "012", "e": "1e3"},
        ),
        ("a: 1.4.0\nb: 2026-11-20\nc: 12:30", {"a": "1.4.0", "b": "2026-11-20", "c": "12:30"}),
        ("a: .inf\nb: .nan", {"a": ".inf", "b": ".nan"}),
        ("a: |\n  two\n  lines\nb: >\n  folded\n  text\n", {"a": "two\nlines\n", "b": "folded text\n"}),
        ("- a\n- [b, {c: 1}]", ["a", ["b", {"c": 1}]]),
        ("1: a\ntrue: b", {"1": "a", "true": "b"}),
        ("a: caf\u00e9", {"a": "caf\u00e9"}),
    ],
)
def test_plain_text_means_one_thing(text: str, value: Any) -> None:
    assert read_yaml(text.encode()).data == value


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "empty"),
        ("# nothing\n", 1, "empty"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' appears twice .first on line 1"),
        ("x:\n  a: 1\n  a: 2\n", 3, "twice .first on line 2"),
        ("a: &x 1\n", 1, "anchors"),
        ("a: &x [1]\nb: *x\n", 1, "anchors"),
        ("a: 1\nb: *x\n", 2, "anchors|undefined alias"),
        ("a: 1\n&k b: 2\n", 2, "plain text"),
        ("a: !!python/object:os.system {}\n", 1, "tag"),
        ("a: 1\nb: !!str 2\n", 2, "tag"),
        ("!!str a: 1\n", 1, "plain text|tag"),
        ("? [a]\n: 1\n", 1, "plain text"),
        ("a: 1\n---\nb: 2\n", 2, "more than one document"),
        ("a: [1\nb: 2\n", 2, "expected|did not find"),
        ("a: 1\n\tb: 2\n", 2, "tab|token"),
        ("%YAML 9.9\n---\na: 1\n", 1, "incompatible"),
    ],
)
def test_anything_else_is_refused_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(YamlError, match=reason) as caught:
        read_yaml(text.encode())
    assert caught.value.line == line


def test_bytes_that_are_no_text_are_refused_with_their_line() -> None:
    with pytest.raises(YamlError, match="not UTF-8") as caught:
        read_yaml(b"a: 1\nb: \xff\n")
    assert caught.value.line == 2
    with pytest.raises(YamlError):
        read_yaml(b"a: \x00\n")


def test_an_alias_bomb_has_no_fuse() -> None:
    bomb = b"a: &a [x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (n, n, n - 1, n - 1) for n in range(ord("b"), ord("z")))
    with pytest.raises(YamlError, match="anchors"):
        read_yaml(bomb)


def test_depth_and_size_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_yaml(b"[" * 32 + b"]" * 32).data
    with pytest.raises(YamlError, match="deeper than 32"):
        read_yaml(b"[" * 34 + b"]" * 34)
    monkeypatch.setattr(yamlform, "MAX_YAML", 10)
    with pytest.raises(YamlError, match="larger than 10 bytes"):
        read_yaml(b"a: 123456789")


def test_every_key_path_knows_its_line() -> None:
    document = read_yaml(b"# head\na: 1\nb:\n  - x\n  - c: 2\n    d:\n      e: 3\n")
    assert document.line_of(("a",)) == 2
    assert document.line_of(("b", 0)) == 4
    assert document.line_of(("b", 1, "d", "e")) == 7
    assert document.line_of(("b", 1, "missing", "deeper")) == 5
    assert document.line_of(("elsewhere",)) == 2
    assert read_yaml(b"- 1").line_of(()) == 1
