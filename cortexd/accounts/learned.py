"""What was learned from outcomes, for those who look at it, keep it, carry it elsewhere, or want it forgotten."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cortexd.authority import Caller
from cortexd.domain.learned import Learned
from cortexd.domain.messages import LearnedMode
from cortexd.domain.steps import step_of
from cortexd.ledger import Ledger
from cortexd.routing import Learner
from cortexd.routing.learned.changes import merged, replaced, without
from cortexd.routing.learned.document import parsed, written
from cortexd.validation.learned import parse_import_options, parse_part

log = logging.getLogger("cortexd.learned")

FEWEST = 5  # outcomes of which a mean is shown: fewer would tell what single ones were
_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Shown:
    """A model in a task, "" for all of them, as everybody may see it: `outcomes` in steps, `mean` where they are enough
    (0 to 1)."""

    task: str
    provider: str
    model: str
    outcomes: int
    mean: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """`decisions` in steps; `explored`: the part of them that did; None where there were none. By mode."""

    cells: tuple[Shown, ...]
    decisions: dict[LearnedMode, int]
    explored: dict[LearnedMode, float | None]


class LearnedKeeping:
    """What is changed is changed in the ledger first, and then known by `learner`."""

    def __init__(self, ledger: Ledger, learner: Learner) -> None:
        self._ledger = ledger
        self._learner = learner

    def overview(self) -> Overview:
        """By task and model, the best first."""
        counts = self._learner.counts_by_mode
        return Overview(
            tuple(sorted(self._shown(), key=lambda one: (one.task, -(one.mean or 0.0), one.provider, one.model))),
            {mode: step_of(known.decisions) for mode, known in counts.items()},
            {
                mode: round(known.explored / known.decisions, _DIGITS) if known.decisions >= FEWEST else None
                for mode, known in counts.items()
            },
        )

    def document(self) -> str:
        """All that `take_in` needs to know the same elsewhere."""
        return written(self._learner.learned)

    async def take_in(self, caller: Caller, document: str, options: object) -> None:
        """Know what a document says, in place of all or beside it. Raises InvalidArgument and changes nothing where it
        is wrong."""
        merge, given = parse_import_options(options), parsed(document)
        change = merged if merge else replaced
        await self._change(lambda known: change(known, given))
        how = "beside" if merge else "in place of"
        self._log(caller, f"{len(given.cells)} cells are known from a document, {how} what was learned here")

    async def forget(self, caller: Caller, part: object) -> None:
        """Forget what outcomes have taught, of a task type or model alone where `part` names one."""
        wish = parse_part(part)
        before = len(self._learner.cells)
        await self._change(lambda known: without(known, wish))
        self._log(caller, f"{before - len(self._learner.cells)} cells of what was learned are forgotten")

    async def _change(self, change: Callable[[Learned], Learned]) -> None:
        self._learner.adopt(await self._ledger.change_learned(change))

    def _shown(self) -> Iterator[Shown]:
        for (task, target), cell in self._learner.cells:
            evidence = cell.good + cell.bad
            told = cell.count >= FEWEST and evidence > 0
            mean = round(cell.good / evidence, _DIGITS) if told else None
            yield Shown(task, target.provider, target.model or "", step_of(cell.count), mean)

    @staticmethod
    def _log(caller: Caller, words: str) -> None:
        log.warning("%s, by uid %d (%s)", words, caller.uid, caller.user)
