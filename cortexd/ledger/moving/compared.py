"""What was moved held against what it was: every sum, to the nano-dollar, by whatever tells rows apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import add
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, literal, select

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.keeping.schema import (
    attempts,
    carried,
    daily,
    decisions,
    entries,
    outcomes,
    prunings,
    requests,
    rollups,
)
from cortexd.ledger.reading.queries import exact, exact_sum

Chosen = Callable[[ColumnElement[Any]], ColumnElement[bool]]
Sums = dict[tuple[Any, ...], tuple[int, ...]]
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
# Of each table: what its rows are told apart by, whose exact sums are compared, and which column says whose they are.
_LOOKS: tuple[tuple[Table, Sequence[str], Sequence[str], str], ...] = (
    (requests, ("uid", "user", "day", "task_type", "state", "provider", "model", "cost_known"), ("cost_nano",), "id"),
    (
        attempts,
        ("provider", "model", "outcome", "cost_known"),
        ("cost_nano", *_TOKENS, "cache_write_tokens", "latency_ms"),
        "request",
    ),
    (entries, ("uid", "day", "kind"), ("nano",), "request"),
    (outcomes, ("source",), (), "request"),
    (decisions, ("mode",), (), "request"),
)
_OF_DAYS = (
    (
        daily,
        ("uid", "user", "day", "task_type", "provider", "model", "cost_known"),
        ("requests", "cost_nano", *_TOKENS),
    ),
    (prunings, ("before",), ("requests", "entries", "charged_nano")),
    (
        rollups,
        ("uid", "user", "day", "former", "task_type", "provider", "model"),
        ("requests", "at_provider", "at_model", "at_both", *_TOKENS, "unknown", "high", "low"),
    ),
    (carried, ("uid", "provider"), ("requests", "tokens", "cost_nano")),
)


def of_requests(connection: Connection, chosen: Chosen | None, person: Callable[[int], int]) -> dict[str, Sums]:
    """By table. `chosen`: of which keys, None for all; `person`: who a uid is."""
    return {
        table.name: _sums(connection, table, by, of, None if chosen is None else chosen(table.c[key]), person)
        for table, by, of, key in _LOOKS
    }


def of_days(
    connection: Connection, chosen: Mapping[str, ColumnElement[bool]] | None, person: Callable[[int], int]
) -> dict[str, Sums]:
    """By table. `chosen`: which tables, and which rows of each; None for all."""
    return {
        table.name: _sums(connection, table, by, of, chosen[table.name] if chosen else None, person)
        for table, by, of in _OF_DAYS
        if chosen is None or table.name in chosen
    }


def refuse_other(there: Mapping[str, Sums], here: Mapping[str, Sums]) -> None:
    """Raise LedgerUnavailable where sums differ, before anything is committed."""
    if differ := [name for name in there if there[name] != here[name]]:
        raise LedgerUnavailable(
            f"nothing was moved: the sums of {', '.join(differ)} would not be those that they were. Run cortexctl "
            "ledger check on the ledger"
        )


def added(one: Mapping[str, Sums], other: Mapping[str, Sums]) -> dict[str, Sums]:
    """Both together."""
    found: dict[str, Sums] = {}
    for name in one:
        keys = one[name].keys() | other[name].keys()
        zero = (0,) * max(map(len, (*one[name].values(), *other[name].values())), default=0)
        pairs = {key: (one[name].get(key, zero), other[name].get(key, zero)) for key in keys}
        found[name] = {key: tuple(map(sum, zip(*pair, strict=True))) for key, pair in pairs.items()}
    return found


def _sums(
    connection: Connection,
    table: Table,
    by: Sequence[str],
    of: Sequence[str],
    chosen: ColumnElement[bool] | None,
    person: Callable[[int], int],
) -> Sums:
    keys = [table.c[name] for name in by]
    halves = [half for name in of for half in exact_sum(table.c[name])]
    rows = literal(0) if table is rollups else func.count()  # its rows are added to rows
    report = select(*keys, rows, *halves).group_by(*keys)
    found: Sums = {}
    for row in connection.execute(report if chosen is None else report.where(chosen)):
        figures = row[len(by) + 1 :]
        key = tuple(person(value) if name == "uid" else value for name, value in zip(by, row, strict=False))
        more = (row[len(by)], *map(exact, figures[::2], figures[1::2]))
        found[key] = tuple(map(add, found[key], more)) if key in found else more
    return found
