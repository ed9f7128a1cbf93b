"""What was decided and answered, as a report on it wants it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from cortexd.catalog import Catalog
from cortexd.domain.decided import DecidedArm
from cortexd.domain.messages import LearnedMode
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.ledger import Judged, RequestState
from cortexd.routing.learned import Learner, Rules
from cortexd.routing.learned.foresight import Contender, Record, Report, Standpoint, report

_PATIENCE_S = 2.0
_REST_S = 0.0001  # for the loop's thread, which waits for this one's otherwise
_EXPLORED = "explored"
_DRAWN = frozenset({"best", _EXPLORED})  # by chance
_FREE = _DRAWN | {"spent"}  # to explore, but for the share


def to_report(
    judged: Sequence[Judged], learner: Learner, rules: Rules, catalog: Catalog
) -> tuple[list[Record], Standpoint]:
    """What `reported` takes, of requests and of what the learner knows now."""
    records = [_record(item) for item in judged if item.state is RequestState.DONE and item.provider]
    tasks = {item.task for item in records}
    targets = {arm.target for item in records for arm in item.arms}
    aside = Standpoint(learner.cells, learner.counts, rules).aside(tasks)
    return records, Standpoint(aside.cells, aside.counts, aside.rules, _qualities(tasks, targets, catalog))


def reported(records: Sequence[Record], standpoint: Standpoint) -> Report:
    until = time.monotonic() + _PATIENCE_S
    return report(records, standpoint, seed=len(records), deadline=until, rest=lambda: time.sleep(_REST_S))


def _record(item: Judged) -> Record:
    """One that was bound to a model, by a pin or its session, had that one alone to choose."""
    decided, outcome = item.decided, item.outcome
    bound = decided.why != _EXPLORED and decided.chosen != decided.greedy
    arms = [arm for arm in decided.arms if arm.target == decided.chosen] if bound else decided.arms
    return Record(
        task=item.task_type,
        applied=decided.mode is LearnedMode.APPLY,
        ran=Target(item.provider, item.model),
        baseline=decided.baseline,
        greedy=decided.chosen if bound else decided.greedy,
        chosen=decided.chosen,
        arms=tuple(_contender(arm) for arm in arms),
        may_explore=decided.why in _FREE,
        drawn=decided.why in _DRAWN,
        cost=item.cost_nano if item.cost_known else None,
        score=outcome.score if outcome.weight else None,
        weight=outcome.weight or 1.0,
    )


def _contender(arm: DecidedArm) -> Contender:
    return Contender(arm.target, arm.mean, arm.sigma, arm.penalty, arm.cost_nano)


def _qualities(
    tasks: Collection[str], targets: Collection[Target], catalog: Catalog
) -> dict[tuple[str, Target], float]:
    found = {}
    for target in targets:
        model = catalog.model(target.provider, target.model or "")
        for task in tasks:
            quality = model.quality_for(TaskType(task)) if task in tuple(TaskType) else None
            if quality is not None:
                found[task, target] = quality
    return found
