"""Whether the computer's clock can be right, and whether another day has begun."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from cortex_llm_applet.logic.amounts import MISSING


def is_wrong(now: datetime, made_at: datetime, spent_later: bool) -> bool:
    """`made_at`: when this software was made. `spent_later`: the ledger holds costs of days that are yet to come."""
    return now < made_at or spent_later


def later_days(today: date) -> tuple[str, str]:
    """The first and last day to look for costs that no right clock has written yet."""
    return (today + timedelta(days=2)).isoformat(), (today + timedelta(days=366)).isoformat()


def seconds_to_midnight(now: datetime) -> float:
    """Until the next local day begins; at least one second, so that a timer never spins."""
    tomorrow = datetime.combine(now.date() + timedelta(days=1), datetime.min.time()).astimezone()
    return max(1.0, (tomorrow - now.astimezone()).total_seconds())


def month_changed(before: date, after: date) -> bool:
    return (before.year, before.month) != (after.year, after.month)


def seconds_until(moment: str, now: datetime) -> float | None:
    """`moment` is ISO 8601 with its zone; at least one second, None where it is no moment."""
    parsed = _moment(moment)
    return None if parsed is None else max(1.0, (parsed - now).total_seconds())


def time_of_day(moment: str, today: date | None = None) -> str:
    """`moment` as local time, with its day where that is not `today`; a dash where it is no moment."""
    parsed = _moment(moment)
    if parsed is None:
        return MISSING
    return parsed.strftime("%H:%M" if today in (None, parsed.date()) else "%Y-%m-%d %H:%M")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        return None
