"""The single requests with all that is theirs, group by group, under new keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from cortexd.ledger.keeping.schema import attempts, decisions, entries, outcomes, requests
from cortexd.ledger.moving.keys import NewKeys
from cortexd.ledger.moving.people import People
from cortexd.ledger.reading import queries

BESIDE = (attempts, entries, outcomes, decisions)
_AT_ONCE = 1_000
Row = dict[str, Any]


def move(source: Connection, target: Connection, people: People, keys: NewKeys, told: Callable[[int], None]) -> None:
    """All settled requests, in the open transaction. `told`: how many are there by now."""
    last, moved = 0, 0
    while found := _requests(source, last):
        new = dict(zip((row["id"] for row in found), keys.take(len(found)), strict=True))
        _put(target, requests, _renamed(target, [_request(row, people, new) for row in found]))
        for table in BESIDE:
            _put(target, table, _beside(source, table, people, new))
        last, moved = found[-1]["id"], moved + len(found)
        told(moved)


def _requests(source: Connection, after: int) -> list[Row]:
    some = select(requests).where(requests.c.id > after).order_by(requests.c.id).limit(_AT_ONCE)
    return [dict(row) for row in source.execute(some).mappings()]


def _request(row: Row, people: People, new: Mapping[int, int]) -> Row:
    return row | {"id": new[row["id"]], "uid": people.person(row["uid"]), "host": people.host(row["host"])}


def _renamed(target: Connection, rows: list[Row]) -> list[Row]:
    """An id that its user has used on another machine as well is given up, as one of a request in vain is."""
    names = [(row["uid"], row["request_id"]) for row in rows]
    used = queries.find(target, names).keys()
    return [
        row | {"request_id": f"{row['request_id']}#{row['id']}"} if name in used else row
        for name, row in zip(names, rows, strict=True)
    ]


def _beside(source: Connection, table: Table, people: People, new: Mapping[int, int]) -> list[Row]:
    """Those of a group of requests whose keys follow each other; entries in their order, to be numbered anew."""
    own = select(table).where(table.c.request.between(min(new), max(new))).order_by(*table.primary_key)
    rows = []
    for found in source.execute(own).mappings():
        row = dict(found) | {"request": new[found["request"]]}
        row.pop("seq", None)
        if "uid" in row:
            row["uid"] = people.person(row["uid"])
        rows.append(row)
    return rows


def _put(target: Connection, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        target.execute(insert(table), rows)
