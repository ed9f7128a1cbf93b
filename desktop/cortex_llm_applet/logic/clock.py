"""Whether the computer's clock can be right, and whether another day has begun."""

from __future__ import annotations

from datetime import date, datetime, timedelta


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
