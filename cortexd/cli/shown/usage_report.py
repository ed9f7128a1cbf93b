"""What the ledger's sums look like: a table with bars at a terminal, plain columns in a pipe, or CSV."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from cortexd.cli.shown.bars import bar
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import is_terminal
from cortexd.domain.money import NANO_PER_USD, format_usd

if TYPE_CHECKING:
    from cortexd.client import UsageRow

# as a person says it -> as GetUsage groups
GROUPS = {
    "day": "day",
    "hour": "hour",
    "task": "task_type",
    "provider": "provider",
    "model": "model",
    "label": "label",
    "app": "app",
    "user": "uid",
    "host": "host",
}
_FIGURES = ("requests", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_OWN_WORD = "(unverified)"  # no word but its own
_BAR = 30
_LONGEST_GAP_DAYS = 400


def print_report(rows: Sequence[UsageRow], by: Sequence[str]) -> None:
    """A row for each, and a last one for all where there are several; at a terminal, and where there is room, with bars
    of their shares of the dearest."""
    drawn = bool(by) and is_terminal(sys.stdout)
    columns = [
        *(Column(name) for name in by),
        Column("requests", right=True),
        Column("input", right=True),
        Column("output", right=True),
        Column("cost", right=True),
        *([Column("")] if drawn else []),
    ]
    dearest = max(row.cost_nano_usd for row in rows) or 1
    shown = _with_quiet_days(rows) if drawn and list(by) == ["day"] else rows
    table = [
        [*_keys(row, by), *_cells(row), *([bar(row.cost_nano_usd / dearest, _BAR)] if drawn else [])] for row in shown
    ]
    if by and len(rows) > 1:
        table.append(_sum(rows, by, drawn))
    print_table(columns, table)


def as_csv(rows: Sequence[UsageRow], by: Sequence[str]) -> str:
    """A header and a line per row; costs as exact decimal dollars."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*by, *_FIGURES, "cost_usd", "cost_known"])
    for row in rows:
        cost = f"{row.cost_nano_usd // NANO_PER_USD}.{row.cost_nano_usd % NANO_PER_USD:09d}"
        figures = [getattr(row, name) for name in _FIGURES]
        writer.writerow([*_keys(row, by), *figures, cost, "yes" if row.cost_known else "no"])
    return text.getvalue()


def _keys(row: UsageRow, by: Sequence[str]) -> list[str]:
    return [_key(row, name, by) for name in by]


def _user(row: UsageRow, by: Sequence[str]) -> str:
    """Where each machine has users of its own, with the machine's name."""
    name = row.user or str(row.uid)
    return f"{name}@{row.host}" if row.host and "host" not in by else name


def _key(row: UsageRow, name: str, by: Sequence[str]) -> str:
    if name == "user":
        return _user(row, by)
    if name == "app" and row.app and not row.app_verified:
        return f"{row.app} {_OWN_WORD}"
    return str(getattr(row, GROUPS[name])) or "(none)"


def _cells(row: UsageRow) -> list[str]:
    cost = format_usd(row.cost_nano_usd)
    figures = [f"{value:,}" for value in (row.requests, row.input_tokens, row.output_tokens)]
    return [*figures, cost if row.cost_known else f"≤ {cost}"]


def _sum(rows: Sequence[UsageRow], by: Sequence[str], drawn: bool) -> list[str]:
    sums = [sum(getattr(row, name) for row in rows) for name in _FIGURES[:3]]
    cost = format_usd(sum(row.cost_nano_usd for row in rows))
    known = all(row.cost_known for row in rows)
    # a request that was tried with two providers counts at each, so its number must not be summed up here
    requests = "" if {"provider", "model"} & set(by) else f"{sums[0]:,}"
    cells = [requests, f"{sums[1]:,}", f"{sums[2]:,}", cost if known else f"≤ {cost}"]
    return ["all", *[""] * (len(by) - 1), *cells, *([""] if drawn else [])]


def _with_quiet_days(rows: Sequence[UsageRow]) -> Sequence[UsageRow]:
    """The days between the first and the last on which nothing happened too, or the chart would lie about time."""
    try:
        first, last = date.fromisoformat(rows[0].day), date.fromisoformat(rows[-1].day)
    except ValueError:
        return rows
    if not 0 <= (last - first).days <= _LONGEST_GAP_DAYS:
        return rows
    known = {row.day: row for row in rows}
    days = [(first + timedelta(days=count)).isoformat() for count in range((last - first).days + 1)]
    return [known.get(day) or type(rows[0])(day=day) for day in days]
