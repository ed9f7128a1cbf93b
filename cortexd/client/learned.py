"""What outcomes have taught, as GetLearned answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cortexd.client.results import Row, rows_of


@dataclass(frozen=True, slots=True)
class LearnedCell:
    """How a model has served a task type, "" for all together: `outcomes` is a step that is not above their number,
    `mean` (0 to 1) is None for few of them."""

    task_type: str = ""
    provider: str = ""
    model: str = ""
    outcomes: int = 0
    mean: float | None = None
    raw: Row = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Learned:
    """`decisions`, in steps, and the share of them that explored, by mode."""

    cells: tuple[LearnedCell, ...] = ()
    decisions: Mapping[str, int] = field(default_factory=dict)
    explored_share: Mapping[str, float] = field(default_factory=dict)
    raw: Row = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        cells = tuple(rows_of(LearnedCell, values.get("cells", ())))
        return cls(cells, dict(values.get("decisions", {})), dict(values.get("explored_share", {})), values)
