"""Moments: exactly those of the calendar from 2000 to 2099, in one form."""

import calendar
import re
from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from appliance.model.times import TIME_PATTERN, Lasting, Time, format_time, is_ahead

TIME = TypeAdapter(Time)


def test_every_day_of_the_calendar_and_no_other() -> None:
    pattern = re.compile(TIME_PATTERN)
    for year in range(2000, 2100):
        days = [(month, day) for month in range(1, 13) for day in range(1, calendar.monthrange(year, month)[1] + 1)]
        found = [
            (month, day)
            for month in range(100)
            for day in range(100)
            if pattern.fullmatch(f"{year}-{month:02}-{day:02}T00:00:00Z")
        ]
        assert found == days


@pytest.mark.parametrize("clock", ["24:00:00", "29:00:00", "00:60:00", "00:00:60", "0:00:00", "00:00:00.0"])
def test_no_other_clock_time(clock: str) -> None:
    assert TIME.validate_python("2026-01-01T23:59:59Z")
    with pytest.raises(ValidationError):
        TIME.validate_python(f"2026-01-01T{clock}Z")


def test_what_is_written_is_read() -> None:
    assert TIME.validate_python(format_time(datetime(2096, 2, 29, 23, 59, 59, 999, tzinfo=UTC)))


def test_what_ends_has_begun_before() -> None:
    first, second = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"
    assert Lasting(created=first, expires=second)
    for created in (second, "2026-01-01T00:00:02Z"):
        with pytest.raises(ValidationError, match="is not later than created"):
            Lasting(created=created, expires=second)


def test_a_day_ahead_is_a_clock_that_drifts_and_more_is_wrong() -> None:
    now = "2026-02-27T12:00:00Z"
    assert [is_ahead(f"2026-02-{day}", now) for day in ("28T12:00:00Z", "28T12:00:01Z")] == [False, True]
    assert is_ahead("2100-01-01T00:00:00Z", "2099-12-31T00:00:00Z") is False
