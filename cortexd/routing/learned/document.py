"""What was learned as a document that people keep and carry to other machines: JSON, a line for each cell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cortexd.domain.learned import Cell, CountKey, Key, Learned
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.errors import InvalidArgument
from cortexd.routing.learned.cells import MOST_CELLS, MOST_EVIDENCE
from cortexd.routing.learned.counting import NAMES, SEED
from cortexd.validation.checks import (
    MAX_ID,
    as_integer,
    as_mapping,
    as_number,
    as_sequence,
    as_text,
    known_keys,
    shown,
    shown_key,
)

VERSION = 1
_COUNTS = tuple(name for name in NAMES if name != SEED)  # two machines that drew alike would look at the same time
_WHERE = "document"
_MOST_COUNTS = 4 * MOST_CELLS
_MOST_DIGITS = 20
_MOST_OF = 2 * MAX_ID
_MOST = 2**53  # what JSON's readers all hold exactly
_TASKS = ("", *(task.value for task in TaskType))


def written(learned: Learned) -> str:
    """As `parsed` reads it; the cell that was changed last comes last."""
    cells = ",\n    ".join(json.dumps(_row(*item)) for item in learned.cells.items())
    counts = json.dumps(_nested(learned.counts), sort_keys=True)
    body = f"[\n    {cells}\n  ]" if cells else "[]"
    return f'{{\n  "version": {VERSION},\n  "counts": {counts},\n  "cells": {body}\n}}\n'


def parsed(text: str) -> Learned:
    """What such a document says. Raises InvalidArgument, which names the field, before anything of it is used."""
    row = as_mapping(_json(text), _WHERE)
    version = row.get("version")
    if isinstance(version, bool) or version != VERSION:
        raise InvalidArgument(f"{_WHERE}.version: expected {VERSION}, got {shown(version)}")
    _complete(row, ("version", "counts", "cells"), _WHERE)
    counts = _counts(row["counts"], f"{_WHERE}.counts")
    rows = as_sequence(row["cells"], f"{_WHERE}.cells")
    if len(rows) > MOST_CELLS:
        raise InvalidArgument(f"{_WHERE}.cells: expected at most {MOST_CELLS}, got {len(rows)}")
    cells: dict[Key, Cell] = {}
    for place, item in enumerate(rows):
        key, cell = _cell(item, f"{_WHERE}.cells[{place}]")
        if key in cells:
            raise InvalidArgument(f"{_WHERE}.cells[{place}]: expected each task and model once, {key[1]} came before")
        cells[key] = cell
    return Learned(cells, counts)


def _json(text: str) -> object:
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError:
        raise InvalidArgument(f"{_WHERE}: expected JSON, got too many levels of it") from None
    except ValueError as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "a number"
        raise InvalidArgument(f"{_WHERE}: expected JSON, got something else at {where}") from None


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(digits)
    return int(digits)


def _row(key: Key, cell: Cell) -> dict[str, Any]:
    task, target = key
    named = {"task": task, "provider": target.provider, "model": target.model or ""}
    return {**named, "good": cell.good, "bad": cell.bad, "outcomes": cell.count, "seen": cell.seen}


def _nested(counts: Mapping[CountKey, int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (name, of), value in counts.items():
        if name in _COUNTS and value:
            nested.setdefault(name, {})[of] = value
    return nested


def _counts(value: object, path: str) -> dict[CountKey, int]:
    whole = as_integer(0, _MOST)
    counts: dict[CountKey, int] = {}
    table = as_mapping(value, path)
    known_keys(table, _COUNTS, path)
    for name, given in table.items():
        for of, number in as_mapping(given, f"{path}.{name}").items():
            where = f"{path}.{name}.{shown_key(of)}"
            if len(of) > _MOST_OF:
                raise InvalidArgument(f"{where}: expected a key of at most {_MOST_OF} characters, got {len(of)}")
            counts[name, of] = whole(number, where)
    if len(counts) > _MOST_COUNTS:
        raise InvalidArgument(f"{path}: expected at most {_MOST_COUNTS}, got {len(counts)}")
    return counts


def _cell(value: object, path: str) -> tuple[Key, Cell]:
    row = as_mapping(value, path)
    _complete(row, ("task", "provider", "model", "good", "bad", "outcomes", "seen"), path)
    if row["task"] not in _TASKS:
        raise InvalidArgument(f'{path}.task: expected a task type or "" for all, got {shown(row["task"])}')
    amount, whole = as_number(0, MOST_EVIDENCE), as_integer(0, _MOST)
    good, bad = (amount(row[name], f"{path}.{name}") for name in ("good", "bad"))
    count, seen = (whole(row[name], f"{path}.{name}") for name in ("outcomes", "seen"))
    provider, model = (as_text(row[name], f"{path}.{name}", MAX_ID) for name in ("provider", "model"))
    target = Target(provider, model)
    return (row["task"], target), Cell(good, bad, count, seen)


def _complete(row: Mapping[str, Any], keys: tuple[str, ...], path: str) -> None:
    known_keys(row, keys, path)
    for key in keys:
        if key not in row:
            raise InvalidArgument(f"{path}.{key}: expected, but it is not there")
