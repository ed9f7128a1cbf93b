"""Time zones in which it is now any time of day that a test wants: a daemon's day ends when its zone's does."""

from __future__ import annotations

from datetime import UTC, datetime, time

_DAY_S = 24 * 60 * 60


def zone_where_it_is(wanted: time) -> str:
    """A TZ value, with a whole second's precision."""
    now = datetime.now(UTC)
    behind_s = round(_seconds(now.time()) - _seconds(wanted))
    if behind_s > _DAY_S // 2:
        behind_s -= _DAY_S
    if behind_s <= -_DAY_S // 2:
        behind_s += _DAY_S
    minutes, seconds = divmod(abs(behind_s), 60)
    return f"TST{'-' if behind_s < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def noon() -> dict[str, str]:
    """The environment of a daemon whose day does not end during a test."""
    return {"TZ": zone_where_it_is(time(12))}


def _seconds(moment: time) -> float:
    return moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
