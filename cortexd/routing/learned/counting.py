"""How many decisions there were, and what is left to explore, as it is kept: figures by name and what they are of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cortexd.domain.learned import TASK, CountKey, Learned
from cortexd.domain.messages import LearnedMode
from cortexd.domain.targets import Target
from cortexd.routing.learned.cells import Cells
from cortexd.routing.learned.policy import Counts

# `of` is a task ("" for all), a mode, PROVIDER/MODEL, or nothing
DECIDED, EXPLORED, RECALLED, SEED = "decided", "explored", "recalled", "seed"
CHOSEN_AMONG = {mode: f"models_{mode}" for mode in (LearnedMode.OBSERVE, LearnedMode.APPLY)}
NAMES = (TASK, DECIDED, EXPLORED, RECALLED, SEED, *CHOSEN_AMONG.values())


def of_decision(task: str, mode: LearnedMode, new: Iterable[Target], *, explored: bool) -> dict[CountKey, int]:
    """By how much one raises them; `new`: whom there was to choose among and who is not kept yet."""
    more = {(TASK, ""): 1, (TASK, task): 1, (DECIDED, mode.value): 1}
    if explored:
        more[EXPLORED, mode.value] = 1
    return more | {(CHOSEN_AMONG[mode], str(target)): 1 for target in new}


def of_cells(cells: Cells) -> dict[CountKey, int]:
    return {(TASK, task): number for task, number in cells.decisions.items()}


def of_counts(counts: Counts, mode: LearnedMode) -> dict[CountKey, int]:
    """As `counts_of` reads them."""
    figures = {(DECIDED, mode.value): counts.decisions, (EXPLORED, mode.value): counts.explored}
    models = {(CHOSEN_AMONG[mode], str(model)): 1 for model in counts.models}
    return figures | models | {(RECALLED, str(model)): number for model, number in counts.recalled.items()}


def cells_of(learned: Learned) -> Cells:
    """Its own copy of the cells."""
    decisions = {of: value for (name, of), value in learned.counts.items() if name == TASK}
    return Cells({key: replace(cell) for key, cell in learned.cells.items()}, decisions)


def counts_of(learned: Learned, mode: LearnedMode) -> Counts:
    """Those of one mode; what was recalled counts in both."""
    return Counts(
        learned.counts.get((DECIDED, mode.value), 0),
        learned.counts.get((EXPLORED, mode.value), 0),
        set(_by_model(learned.counts, CHOSEN_AMONG[mode])),
        _by_model(learned.counts, RECALLED),
    )


def model_of(of: str) -> Target:
    """As `str` has written it, whatever its name."""
    provider, _, model = of.partition("/")
    return Target(provider, model)


def _by_model(counts: Mapping[CountKey, int], wanted: str) -> dict[Target, int]:
    return {model_of(of): value for (name, of), value in counts.items() if name == wanted}
