"""Diffs of texts that strangers wrote: short, right, and done in time."""

import time

import pytest

from appliance.formats.text_diff import COMPARED_LINES, diff

LINES = [f"line {number}" for number in range(5000)]


def test_what_is_alike_has_no_diff() -> None:
    assert diff(LINES, LINES, context=3) == ((), False)
    assert diff([], [], context=0) == ((), False)


@pytest.mark.parametrize("place", [0, 1, 2, 3, 2500, 4997, 4998, 4999])
def test_a_change_stands_at_its_place_with_what_is_beside_it(place: int) -> None:
    changed = [*LINES[:place], "new", *LINES[place + 1 :]]
    lines, cut = diff(LINES, changed, context=3)
    start, end = max(0, place - 3), min(5000, place + 4)
    assert lines[0] == f"@@ -{start + 1},{end - start} +{start + 1},{end - start} @@"
    assert [line for line in lines if line[0] in "-+"] == [f"-line {place}", "+new"]
    assert [line[1:] for line in lines[1:] if line[0] != "+"] == LINES[start:end]
    assert not cut


@pytest.mark.parametrize(
    ("first", "second", "lines"),
    [
        (["a"], ["a", "b"], ("@@ -1,0 +2 @@", "+b")),
        (["a", "b"], ["b"], ("@@ -1 +0,0 @@", "-a")),
        ([], ["a", "b"], ("@@ -0,0 +1,2 @@", "+a", "+b")),
        (["x", "a", "y"], ["x", "b", "y"], ("@@ -2 +2 @@", "-a", "+b")),
        (["a", "a"], ["a", "a", "a"], ("@@ -2,0 +3 @@", "+a")),
    ],
)
def test_without_what_is_beside_it_a_change_is_all(first: list[str], second: list[str], lines: tuple[str, ...]) -> None:
    assert diff(first, second, context=0) == (lines, False)


def test_two_changes_that_are_far_from_each_other() -> None:
    changed = ["first", *LINES[1:800], "second", *LINES[801:]]
    lines, cut = diff(LINES, changed, context=1)
    assert lines == (
        *("@@ -1,2 +1,2 @@", "-line 0", "+first", " line 1"),
        *("@@ -800,3 +800,3 @@", " line 799", "-line 800", "+second", " line 801"),
    )
    assert not cut


def test_what_differs_without_an_end_is_cut_and_done_soon() -> None:
    """Every second line differs: what that takes grows with the square of the lines."""
    before, after = ([f"{number}{end * (number % 2)}" for number in range(200_000)] for end in "ab")
    started = time.monotonic()
    lines, cut = diff(before, after, context=3)
    assert time.monotonic() - started < 30
    assert cut
    assert len(lines) <= 2 * COMPARED_LINES + 10
