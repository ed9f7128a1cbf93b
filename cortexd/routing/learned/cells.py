"""What outcomes have shown of each model, over all tasks and in each: Beta distributions at two levels.

A task's cell leans on its model's where it has seen little, and a model's on the catalogue's quality. Evidence fades
where newer comes, so that a model that has become worse is left again, and where none comes while the task goes on, so
that one that has become better is found again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from cortexd.domain.learned import Cell, Key, Reported, Teach
from cortexd.domain.newest import Newest
from cortexd.domain.outcomes import Outcome
from cortexd.domain.targets import Target, shared

MOST_CELLS = 4096  # who are kept: callers choose models' names
UNKNOWN_QUALITY = 0.5

_PRIOR_WEIGHT = 6.0
MODEL_WEIGHT = 4.0  # of a model's mean in its tasks' cells: tasks differ more than models do
_TASK_MEMORY = 200.0
_MODEL_MEMORY = 800.0
MOST_EVIDENCE = max(_TASK_MEMORY, _MODEL_MEMORY)  # of one cell
_HALF_LIFE = 400  # of evidence in a task, in its decisions since the last outcome


@dataclass(slots=True)  # not frozen: a dozen are made at each decision, in half the time
class Beta:
    """A distribution over how well a model serves, from 0 to 1; `count`: by how many outcomes of the task."""

    good: float
    bad: float
    count: int = 0

    @property
    def mean(self) -> float:
        return self.good / (self.good + self.bad)

    @property
    def sigma(self) -> float:
        good, bad = self.good, self.bad
        weight = good + bad
        return math.sqrt(good * bad / (weight + 1)) / weight


_NOTHING = Cell()
_LEAST = 1e-6  # of a Beta's two numbers


class Cells:
    """Every cell by its task and target, the longest unused go first when there are too many; and how many decisions
    each task has had, "" for all."""

    def __init__(self, rows: Mapping[Key, Cell] | None = None, decisions: Mapping[str, int] | None = None) -> None:
        self._cells: Newest[Key, Cell] = Newest(MOST_CELLS, Cell)
        self._cells.update(rows or {})
        self._decisions: dict[str, int] = dict(decisions or {})

    def __iter__(self) -> Iterator[tuple[Key, Cell]]:
        return iter(self._cells.items())

    def __len__(self) -> int:
        return len(self._cells)

    def copy(self, tasks: Collection[str] | None = None) -> Cells:
        """Its equal, which goes its own way from here; of these tasks alone where some are named."""
        rows = {
            key: replace(cell) for key, cell in self._cells.items() if tasks is None or not key[0] or key[0] in tasks
        }
        return Cells(rows, self._decisions)

    @property
    def decisions(self) -> Mapping[str, int]:
        return self._decisions

    def decided(self, task: str, by: int = 1) -> None:
        """So many decisions of that task were acted on."""
        for key in ("", task):
            self._decisions[key] = self._decisions.get(key, 0) + by

    def count(self, task: str, target: Target) -> int:
        """How many outcomes there were of that model in that task."""
        cell = self._cells.get((task, target))
        return 0 if cell is None else cell.count

    def posterior(self, task: str, target: Target, quality: float | None = None) -> Beta:
        """How well that model serves that task, as far as outcomes and its `quality` (0 to 1) say."""
        expected = UNKNOWN_QUALITY if quality is None else quality
        if (cell := self._cells.get(("", target))) is not None:
            expected = (cell.good + _PRIOR_WEIGHT * expected) / (cell.good + cell.bad + _PRIOR_WEIGHT)
        return self.in_task(task, target, expected)

    def model(self, target: Target, quality: float | None = None) -> Beta:
        """How well that model serves over all tasks."""
        expected = UNKNOWN_QUALITY if quality is None else quality
        cell = self._cells.get(("", target), _NOTHING)
        return Beta(
            max(cell.good + _PRIOR_WEIGHT * expected, _LEAST), max(cell.bad + _PRIOR_WEIGHT * (1 - expected), _LEAST)
        )

    def in_task(self, task: str, target: Target, expected: float, weight: float = MODEL_WEIGHT) -> Beta:
        """How well it serves that task where over all tasks `expected` (0 to 1) is its mean, which has `weight`."""
        good, bad = weight * expected, weight * (1 - expected)
        cell = self._cells.get((task, target))
        if cell is None:
            return Beta(good or _LEAST, bad or _LEAST)
        left = self._left(task, cell)
        return Beta(good + cell.good * left or _LEAST, bad + cell.bad * left or _LEAST, cell.count)

    def learn(self, task: str, target: Target, score: float, weight: float = 1.0) -> None:
        """Take in an outcome of 0 to 1."""
        target = shared(target.provider, target.model)
        keys: tuple[Key, Key] = (("", target), (task, target))
        for key, memory in zip(keys, (_MODEL_MEMORY, _TASK_MEMORY), strict=True):
            cell = self._cells.touch(key)
            if key[0]:
                cell.fade(self._left(task, cell))
            cell.seen = self._decisions.get(key[0], 0)
            cell.add(score, weight, memory)

    def correct(self, task: str, target: Target, before: Outcome, now: Outcome) -> None:
        """Another outcome in place of an earlier one."""
        keys: tuple[Key, Key] = (("", target), (task, target))
        for key in keys:
            self._cells.touch(key).replace(before, now)

    def adopt(self, changed: Mapping[Key, Cell]) -> None:
        """Have these in place of their like."""
        for (task, target), cell in changed.items():
            self._cells.put((task, shared(target.provider, target.model)), cell)

    def drop(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._cells.pop(key, None)

    def merge(self, other: Cells) -> None:
        """Add what another machine has learned, as much as is left of it there."""
        for key, given in other:
            task, cell = key[0], self._cells.touch(key)
            left = other._left(task, given) if task else 1.0
            if task:
                cell.fade(self._left(task, cell))
            cell.seen = self._decisions.get(task, 0)
            cell.take_in(given, left, _TASK_MEMORY if task else _MODEL_MEMORY)

    def forget(self, task: str, models: Callable[[Target], bool]) -> None:
        """Unlearn what these models have shown in a task, "" for all. A model's mean over all tasks loses what is
        left of it there."""
        for key, cell in list(self._cells.items()):
            if models(key[1]) and key[0] == task:
                del self._cells[key]
                over_all = self._cells.get(("", key[1]))
                if over_all is not None:
                    over_all.take_out(cell)
            elif models(key[1]) and not task:
                del self._cells[key]

    def teach(self) -> Teach:
        """What an outcome makes of its cells, by the decisions that there have been up to now."""
        own = dict(self._decisions)

        def taught(
            reported: Reported, known: Mapping[Key, Cell], decisions: Mapping[str, int] | None = None
        ) -> Mapping[Key, Cell]:
            cells = Cells({key: replace(cell) for key, cell in known.items()}, own if decisions is None else decisions)
            task, now, before = reported.task_type, reported.now, reported.before
            if before.weight:
                cells.correct(task, reported.target, before, now)
            elif now.weight:
                cells.learn(task, reported.target, now.score, now.weight)
            return dict(cells)

        return taught

    def _left(self, task: str, cell: Cell) -> float:
        """The part of a cell that has not faded since its last outcome."""
        since = self._decisions.get(task, cell.seen) - cell.seen
        return math.exp2(-since / _HALF_LIFE) if since > 0 else 1.0
