"""Days and hours in words, of our own catalogue: a machine may have no locale of the person's language."""

from __future__ import annotations

from datetime import date

from cortex_llm_applet.texts import N_, _

_WEEKDAYS = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))
_MONTHS = (
    N_("January"), N_("February"), N_("March"), N_("April"), N_("May"), N_("June"), N_("July"), N_("August"),
    N_("September"), N_("October"), N_("November"), N_("December"),
)  # fmt: skip


def weekday(day: date) -> str:
    return _(_WEEKDAYS[day.weekday()])


def day_and_month(day: date) -> str:
    return _("{day} {month}").format(day=day.day, month=_(_MONTHS[day.month - 1]))


def day_in_full(day: date) -> str:
    return _("{weekday}, {day} {month}").format(weekday=weekday(day), day=day.day, month=_(_MONTHS[day.month - 1]))


def hour_in_words(hour: int) -> str:
    """The hour that begins then."""
    return _("{begin} to {end}").format(begin=f"{hour:02d}:00", end=f"{(hour + 1) % 24:02d}:00")
