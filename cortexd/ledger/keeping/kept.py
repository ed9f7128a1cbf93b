"""How long single requests are kept at the least."""

from __future__ import annotations

from datetime import date, timedelta


def clamped(before: date, today: date) -> date:
    """The first day to keep: `before`, but never past the first of the month before today's."""
    first = today.replace(day=1)
    return min(before, (first - timedelta(days=1)).replace(day=1))
