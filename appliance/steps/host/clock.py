"""This host's clock, for what is signed or written down: its forms know the years 2000 to 2099.

An earlier year is that of a clock without a battery.
"""

from datetime import UTC, datetime, timedelta

from appliance.errors import BadInput
from appliance.model.times import Time, format_time

_FIRST_YEAR, _LAST_YEAR = 2000, 2099


def now() -> Time:
    """As logs and receipts write it.  Raises BadInput (``clock-impossible``)."""
    return format_time(span(0)[0])


def span(days: int) -> tuple[datetime, datetime]:
    """Now, and when something ends that is good for ``days``.  Raises BadInput (``clock-impossible``)."""
    begin = datetime.now(UTC)
    hint = "set the clock: date --set"
    return begin, end_of(begin, days, "clock-impossible", f"this host's clock says {begin:%Y-%m-%d}", hint)


def end_of(begin: datetime, days: int, reference: str, what: str, hint: str) -> datetime:
    """``days`` after ``begin``.  Raises BadInput that begins with ``what`` where documents cannot say one of both."""
    end = begin + timedelta(days=days)
    if begin.year < _FIRST_YEAR or end.year > _LAST_YEAR:
        problem = f"{what}: what is made and when it ends must lie between {_FIRST_YEAR} and {_LAST_YEAR}"
        raise BadInput(reference, problem, hint=hint)
    return end
