"""What a month will have cost at its end, and on which day its budget will be used up.

The pace is the mean of the last seven whole days with requests that cost something, times the share of such days among
the last thirty (or since the first of them). Today counts as what it has cost, or as the pace where that is more.
Everything is counted in days, so that neither summer time nor the length of a month matters.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

METHOD_DAYS = 30  # whole days that the pace looks back at
_LAST_ACTIVE = 7


@dataclass(frozen=True, slots=True)
class Projection:
    """`end_nano`: at the month's end. `used_up`: the day on which nothing is left, None where it lasts the month."""

    end_nano: int
    used_up: date | None


def pace_of(days: Mapping[str, int], today: date) -> int | None:
    """Nano-dollars a day; `days`: "2026-11-29" -> nano-dollars. None where no whole day has been seen yet."""
    past = [days.get((today - timedelta(days=back)).isoformat(), 0) for back in range(1, METHOD_DAYS + 1)]
    active = [(back, nano) for back, nano in enumerate(past, 1) if nano > 0]
    if not active:
        return None
    last = [nano for _back, nano in active[:_LAST_ACTIVE]]
    first_back, _nano = active[-1]
    return round(sum(last) * len(active) / (len(last) * first_back))


def projection_of(days: Mapping[str, int], today: date, spent_nano: int, left_nano: int | None) -> Projection | None:
    """`spent_nano`: of this month. `left_nano`: of its budget, None where there is none."""
    pace = pace_of(days, today)
    if left_nano is not None and left_nano <= 0:
        return Projection(_end(spent_nano, pace or 0, _rest_of_today(days, today, pace or 0), today), today)
    if pace is None:
        return None
    rest = _rest_of_today(days, today, pace)
    return Projection(_end(spent_nano, pace, rest, today), _used_up(left_nano, pace, rest, today))


def last_day(today: date) -> date:
    """Of the month."""
    return today.replace(day=monthrange(today.year, today.month)[1])


def _rest_of_today(days: Mapping[str, int], today: date, pace: int) -> int:
    return max(0, pace - days.get(today.isoformat(), 0))


def _end(spent_nano: int, pace: int, rest_of_today: int, today: date) -> int:
    return spent_nano + rest_of_today + pace * (last_day(today) - today).days


def _used_up(left_nano: int | None, pace: int, rest_of_today: int, today: date) -> date | None:
    if left_nano is None:
        return None
    tomorrow_nano = left_nano - rest_of_today
    if tomorrow_nano <= 0:
        return today
    if pace <= 0:
        return None
    day = today + timedelta(days=min(-(-tomorrow_nano // pace), METHOD_DAYS + 1))
    return day if day <= last_day(today) else None
