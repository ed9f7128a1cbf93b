"""Outcomes of several models on the same prompts, as a file has them.

A file is CSV in UTF-8 with the columns `id, task, prompt_chars[, prompt], score:MODEL…, cost:MODEL…` in any order, and
others that nobody reads: scores from 0 to 1, costs in any one unit. Every model was asked every prompt.
"""

from __future__ import annotations

import csv
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

MOST_PROMPTS = 50_000  # of a longer file a sample is replayed: memory is bounded, and so is the time
_DEAREST = 1e15
_NO_TASK = "none"  # where the file has a blank
_SCORE, _COST = "score:", "cost:"

csv.field_size_limit(16 * 1024 * 1024)  # prompts are longer than the module's own limit


class BadFile(Exception):
    """It is no such file; the text says why, and in which line."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One row: scores and costs in the order of the models, costs in parts of the dearest model's mean. `seed`: the
    request's, another one for each row."""

    id: str
    task: str
    scores: tuple[float, ...]
    costs: tuple[float, ...]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """`prices`: each model's mean cost, in parts of the dearest's. `rows`: of the file, where `prompts` is a sample."""

    models: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    prices: tuple[float, ...]
    rows: int

    @classmethod
    def read(cls, path: Path) -> World:
        """Raises BadFile, OSError, UnicodeDecodeError or csv.Error."""
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            columns = _Columns.of(path, next(lines, []))
            rows, prompts = _sample(_prompts(path, lines, columns))
        if not prompts:
            raise BadFile(f"{path}: it has no rows. Write one for each prompt")
        return cls._of(columns.models, prompts, rows)

    @classmethod
    def _of(cls, models: tuple[str, ...], prompts: list[Prompt], rows: int) -> World:
        means = [fsum(prompt.costs[index] for prompt in prompts) / len(prompts) for index in range(len(models))]
        dearest = max(means) or 1.0
        seen: set[str] = set()
        scaled = []
        for number, item in enumerate(prompts):
            name = f"{item.id}#{number}" if item.id in seen else item.id  # equal ids are drawn for one by one
            seen.add(item.id)
            costs = tuple(cost / dearest for cost in item.costs)
            scaled.append(Prompt(item.id, item.task, item.scores, costs, zlib.crc32(name.encode())))
        return cls(models, tuple(scaled), tuple(cost / dearest for cost in means), rows)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where each is in a row."""

    models: tuple[str, ...]
    id: int
    task: int
    scores: tuple[int, ...]
    costs: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, names: Sequence[str]) -> _Columns:
        models = tuple(name.removeprefix(_SCORE) for name in names if name.startswith(_SCORE))
        wanted = ("id", "task", *(f"{_COST}{model}" for model in models))
        if missing := [name for name in wanted if name not in names]:
            raise BadFile(f"{path}: no column {', '.join(missing)}")
        if not models:
            raise BadFile(f"{path}: no column {_SCORE}MODEL")
        read = (*wanted, *(f"{_SCORE}{model}" for model in models))
        if twice := sorted({name for name in read if list(names).count(name) > 1}):
            raise BadFile(f"{path}: more than one column {', '.join(twice)}")
        at = {name: index for index, name in enumerate(names)}
        scores, costs = (tuple(at[f"{kind}{model}"] for model in models) for kind in (_SCORE, _COST))
        return cls(models, at["id"], at["task"], scores, costs, tuple(names))


def _prompts(path: Path, lines: Iterator[list[str]], columns: _Columns) -> Iterator[Prompt]:
    """Of each row that is not blank; errors name the line in which the row begins."""
    line = _lines_read(lines) + 1
    for row in lines:
        if row:
            try:
                yield _prompt(row, columns)
            except ValueError as error:
                raise BadFile(f"{path}, line {line}: {error}") from None
        line = _lines_read(lines) + 1


def _lines_read(lines: Iterator[list[str]]) -> int:
    return int(lines.line_num)  # type: ignore[attr-defined]


def _prompt(row: Sequence[str], columns: _Columns) -> Prompt:
    if len(row) != len(columns.names):
        raise ValueError(f"it has {len(row)} fields, the first line has {len(columns.names)}")
    scores = tuple(_number(row, index, columns, 1.0) for index in columns.scores)
    costs = tuple(_number(row, index, columns, _DEAREST) for index in columns.costs)
    return Prompt(row[columns.id], row[columns.task] or _NO_TASK, scores, costs)


def _number(row: Sequence[str], index: int, columns: _Columns, most: float) -> float:
    text, name = row[index].strip(), columns.names[index]
    if not text:
        raise ValueError(f"{name} is blank. Every model is to be asked every prompt: leave this row out")
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name} is no number") from None
    if not 0 <= number <= most:
        raise ValueError(f"{name} is not from 0 to {most:g}")
    return number


def _sample(prompts: Iterator[Prompt]) -> tuple[int, list[Prompt]]:
    """How many there are, and all of them or as many by chance, each with the same."""
    chance, kept, number = random.Random(0), list[Prompt](), 0
    for number, prompt in enumerate(prompts, 1):
        if len(kept) < MOST_PROMPTS:
            kept.append(prompt)
        elif (place := chance.randrange(number)) < MOST_PROMPTS:
            kept[place] = prompt
    return number, kept
