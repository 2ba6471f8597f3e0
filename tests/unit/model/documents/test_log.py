"""A line of a log has one form, follows one line, and any text fits into it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.model.documents.log import NO_HEAD, Head, ascii_text, follow, format_line, read_line
from appliance.model.jsonform import canonical_json
from appliance.model.limits import MAX_LOG_LINE

TIME = "2026-10-01T12:00:00Z"
FIRST = format_line(NO_HEAD, "switch", {"name": "tiny", "count": 1}, time=TIME)
HEAD = read_line(FIRST)[1]


def changed(**fields: object) -> bytes:
    return canonical_json({**json.loads(FIRST), **fields}) + b"\n"


def test_a_line_follows_the_one_before() -> None:
    second = format_line(HEAD, "verify", {}, time=TIME)
    entry, head = follow(HEAD, second)
    assert (entry.seq, entry.event, entry.previous, head.seq) == (2, "verify", HEAD.sha256, 2)


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (NO_HEAD, "number 2, not 1"),
        (Head(seq=2, sha256=HEAD.sha256), "number 2, not 3"),
        (Head(seq=1, sha256="0" * 64), "the line before has 0000"),
    ],
)
def test_a_line_follows_no_other(head: Head, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        follow(head, format_line(HEAD, "verify", {}, time=TIME))


@pytest.mark.parametrize(
    "line",
    [
        FIRST[:-1],
        FIRST + b"\n",
        b" " + FIRST,
        FIRST.replace(b'"seq":1', b'"seq":1.0'),
        FIRST.replace(b'{"details"', b'{"details":{},"details"'),
        changed(more="x"),
        changed(seq=0),
        changed(event="Switch"),
        changed(time="yesterday"),
        changed(previous="0"),
        changed(details=[]),
        changed(schema="appliance.log/v2"),
        b"\xff" + FIRST[1:],
        b"x" * (MAX_LOG_LINE + 2),
    ],
)
def test_there_is_one_form(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_line(line)


def test_a_line_of_a_later_version_still_counts() -> None:
    assert read_line(changed(event="handover", details={"what": ["is", {"not": "known"}]}))[0].event == "handover"


def test_what_is_too_long_for_a_line_is_not_written() -> None:
    with pytest.raises(ValueError, match="longer"):
        format_line(NO_HEAD, "verify", {"text": "x" * MAX_LOG_LINE}, time=TIME)


@given(st.text())
def test_any_text_becomes_printable_and_stays_tellable(text: str) -> None:
    escaped = ascii_text(text, limit=10**6)
    canonical_json(escaped)
    assert json.loads(f'"{escaped}"') == text


def test_long_text_is_cut() -> None:
    assert ascii_text("x" * 1001).endswith("x...")
    assert len(ascii_text("\n" * 1000)) == 1000
