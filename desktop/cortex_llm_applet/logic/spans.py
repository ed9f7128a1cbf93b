"""The times that the spend page shows, what they are told apart by, and how GetUsage is asked for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from cortex_llm_applet.logic.dates import day_and_month, day_in_full, hour_in_words, weekday
from cortex_llm_applet.texts import N_

_HOURS = 24


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bar. `key` is GetUsage's value, `title` says it in full, `axis` stands below it where it is marked."""

    key: str
    title: str
    axis: str


@dataclass(frozen=True, slots=True)
class Span:
    """`spent` stands below the sum. `unit`: GetUsage's group of a bar. `marked`: every so many one is named below."""

    name: str
    title: str
    spent: str
    days: int
    unit: str
    marked: int
    buckets: Callable[[date], tuple[Bucket, ...]]

    def since(self, today: date) -> date:
        return today - timedelta(days=self.days - 1)


@dataclass(frozen=True, slots=True)
class Grouping:
    """`key`: GetUsage's group. `nameless`: what a request without a value of it is called. `vouched`: where the value
    may be a program's own word, the key of whether it is more than that."""

    name: str
    title: str
    key: str
    nameless: str
    vouched: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """As GetUsage takes it."""

    since: str
    until: str
    group_by: tuple[str, ...]


def query_of(span: Span, grouping: Grouping, today: date) -> Query:
    return Query(span.since(today).isoformat(), today.isoformat(), (span.unit, grouping.key))


def days_query(today: date, days: int) -> Query:
    """Sums of so many days up to today."""
    return Query((today - timedelta(days=days - 1)).isoformat(), today.isoformat(), ("day",))


def _hours(today: date) -> tuple[Bucket, ...]:
    """24 on each day: an hour that summer time skips stays empty, one that it repeats is added up."""
    return tuple(
        Bucket(f"{today.isoformat()}T{hour:02d}", hour_in_words(hour), f"{hour:02d}:00") for hour in range(_HOURS)
    )


def _days(count: int, axis: Callable[[date], str]) -> Callable[[date], tuple[Bucket, ...]]:
    def buckets(today: date) -> tuple[Bucket, ...]:
        days = (today - timedelta(days=back) for back in reversed(range(count)))
        return tuple(Bucket(day.isoformat(), day_in_full(day), axis(day)) for day in days)

    return buckets


SPANS = (
    Span("today", N_("Today"), N_("spent today"), 1, "hour", 6, _hours),
    Span("week", N_("7 days"), N_("spent in the last 7 days"), 7, "day", 1, _days(7, weekday)),
    Span("month", N_("30 days"), N_("spent in the last 30 days"), 30, "day", 6, _days(30, day_and_month)),
)
GROUPINGS = (
    Grouping("provider", N_("Provider"), "provider", N_("no provider")),
    Grouping("model", N_("Model"), "model", N_("no model")),
    Grouping("task", N_("Task"), "task_type", N_("no task")),
    Grouping("app", N_("App"), "app", N_("no app named"), "app_verified"),
)
