"""What was spent as stacked bars, made of GetUsage's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from cortex_llm_applet.logic.amounts import usd
from cortex_llm_applet.logic.spans import Bucket, Grouping, Span
from cortex_llm_applet.texts import _

Row = Mapping[str, Any]
MOST_SERIES = 6
_STEPS = (10, 15, 20, 30, 40, 50, 60, 80)


@dataclass(frozen=True, slots=True)
class Series:
    """One colour and pattern. `number` None: those that have none of their own, together. `known` False: a worst case
    is in it."""

    number: int | None
    name: str
    nano: int
    requests: int
    known: bool

    @property
    def amount(self) -> str:
        return amount(self.nano, known=self.known)


@dataclass(frozen=True, slots=True)
class Bar:
    """`parts`: nano-dollars of each series, in their order."""

    bucket: Bucket
    parts: tuple[int, ...]
    known: bool

    @property
    def nano(self) -> int:
        return sum(self.parts)

    def words(self, series: Sequence[Series]) -> str:
        """All that the bar shows."""
        whole = _("{when}: {amount}").format(when=self.bucket.title, amount=amount(self.nano, known=self.known))
        named = [f"{item.name} {usd(part)}" for item, part in zip(series, self.parts, strict=True) if part]
        return f"{whole} ({', '.join(named)})" if named else whole


@dataclass(frozen=True, slots=True)
class Chart:
    """`series` the dearest first; `top_nano` is the value at the upper edge; `numbers` are the names' own."""

    series: tuple[Series, ...]
    bars: tuple[Bar, ...]
    top_nano: int
    numbers: Mapping[str, int]

    @property
    def nano(self) -> int:
        return sum(item.nano for item in self.series)

    @property
    def known(self) -> bool:
        return all(item.known for item in self.series)

    @property
    def amount(self) -> str:
        return amount(self.nano, known=self.known)

    @property
    def empty(self) -> bool:
        """Nothing was asked, which is not the same as answers that cost nothing."""
        return not self.series

    def share(self, series: Series) -> float:
        return series.nano / self.nano if self.nano else 0.0


@dataclass(slots=True)
class _Sum:
    nano: int = 0
    requests: int = 0
    known: bool = True

    def add(self, row: Row) -> None:
        self.nano += _whole(row, "cost_nano_usd")
        self.requests += _whole(row, "requests")
        self.known &= row.get("cost_known", True) is not False


def amount(nano: int, *, known: bool) -> str:
    shown = usd(nano)
    return shown if known else _("at most {amount}").format(amount=shown)


def chart_of(
    rows: Iterable[Row], span: Span, grouping: Grouping, today: date, known: Mapping[str, int] | None = None
) -> Chart:
    """`known`: numbers that names have had in charts before, which they keep."""
    buckets = span.buckets(today)
    by_name, cells = _added(rows, span, grouping, buckets)
    ordered = sorted(by_name, key=lambda name: (-by_name[name].nano, name))
    own, rest = ordered[:MOST_SERIES], ordered[MOST_SERIES:]
    if len(rest) == 1:  # the room that "others" takes is enough for it
        own, rest = ordered, []
    numbers = numbered(own, known or {})
    groups = [(numbers[name], name or _(grouping.nameless), [name]) for name in own]
    columns = [*groups, *([(None, _("{count} others").format(count=len(rest)), rest)] if rest else [])]
    series = tuple(_series(number, name, [by_name[each] for each in names]) for number, name, names in columns)
    bars = tuple(_bar(bucket, cells, [names for _number, _name, names in columns]) for bucket in buckets)
    return Chart(series, bars, top_of(max(bar.nano for bar in bars)), numbers)


def numbered(names: Sequence[str], known: Mapping[str, int]) -> dict[str, int]:
    """A number for each of them and no two the same: its own of before, or the lowest that is free."""
    kept: dict[str, int] = {}
    for name in names:
        if name in known and known[name] not in kept.values():
            kept[name] = known[name]
    free = (number for number in range(2 * len(names)) if number not in kept.values())
    return {name: kept[name] if name in kept else next(free) for name in names}


def by_day(rows: Iterable[Row]) -> dict[str, int]:
    """Nano-dollars of each day, of the rows of a days_query."""
    return {str(row.get("day", "")): _whole(row, "cost_nano_usd") for row in rows}


def top_of(nano: int) -> int:
    """The least round number that is not below, never less than 10."""
    unit = 1
    while True:
        for step in _STEPS:
            if nano <= step * unit:
                return step * unit
        unit *= 10


def _added(
    rows: Iterable[Row], span: Span, grouping: Grouping, buckets: Sequence[Bucket]
) -> tuple[dict[str, _Sum], dict[tuple[str, str], _Sum]]:
    """Sums by name, and by bucket and name. Pruned requests have lost their hour and count in their day's first."""
    keys = {bucket.key for bucket in buckets}
    by_name: dict[str, _Sum] = defaultdict(_Sum)
    cells: dict[tuple[str, str], _Sum] = defaultdict(_Sum)
    for row in rows:
        when, name = str(row.get(span.unit, "")), _name(row, grouping)
        by_name[name].add(row)
        cells[when if when in keys else buckets[0].key, name].add(row)
    return dict(by_name), dict(cells)


def _name(row: Row, grouping: Grouping) -> str:
    name = str(row.get(grouping.key, ""))
    own_word = grouping.vouched and row.get(grouping.vouched) is not True
    return _("{name} (unverified)").format(name=name) if name and own_word else name


def _series(number: int | None, name: str, sums: Sequence[_Sum]) -> Series:
    nano, requests = sum(item.nano for item in sums), sum(item.requests for item in sums)
    return Series(number, name, nano, requests, all(item.known for item in sums))


def _bar(bucket: Bucket, cells: Mapping[tuple[str, str], _Sum], columns: Sequence[Sequence[str]]) -> Bar:
    none = _Sum()
    found = [[cells.get((bucket.key, name), none) for name in names] for names in columns]
    parts = tuple(sum(item.nano for item in sums) for sums in found)
    return Bar(bucket, parts, all(item.known for sums in found for item in sums))


def _whole(row: Row, key: str) -> int:
    value = row.get(key, 0)
    return value if type(value) is int else 0
