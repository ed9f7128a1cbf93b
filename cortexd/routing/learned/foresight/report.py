"""An honest estimate before anybody turns learning on, or off again: what the next requests would give either way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf

from cortexd.domain.targets import Target
from cortexd.routing.learned.foresight.estimate import Estimate, Outlook
from cortexd.routing.learned.foresight.evidence import Evidence
from cortexd.routing.learned.foresight.forward import Standpoint, applied, requests_like, unlearned
from cortexd.routing.learned.foresight.judging import Judged, drawn_prices, gain, judged, outlook, ratios
from cortexd.routing.learned.foresight.records import OTHERS, Record
from cortexd.routing.learned.foresight.worlds import Worlds

MOST_REQUESTS = 2000  # that are looked ahead
LEAST_RECORDS, LEAST_OUTCOMES = 100, 30  # before there is an estimate
_TASK_RECORDS, _TASK_OUTCOMES = 50, 20  # before there is one of a task
_MOST_WORLDS, _LEAST_WORLDS = 32, 8
_MOST_LOOKS = 240_000  # at arms, over all worlds: about a second
_NEAR = 0.02  # a gain that is none


@dataclass(frozen=True, slots=True)
class Figures:
    """What really happened: `outcomes` reported on, their mean score, the cost in nano-USD of all."""

    requests: int
    outcomes: int
    score: float | None
    cost: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """Per request. `gain`: of apply over the baseline."""

    apply: Outlook
    baseline: Outlook
    gain: Outlook


@dataclass(frozen=True, slots=True)
class TaskRow:
    """`task` "": all the rarer ones together; `ahead` None: too little is known."""

    task: str
    ran: Figures
    ahead: Ahead | None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """`applied`: the part of the next requests that it would get; None: too little is known."""

    target: Target
    ran: Figures
    applied: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """`agreed`: decisions in which the learner's choice ran; `explored`: that asked another than the best known;
    `exploring`: the part of the next requests that would; `horizon`: how many requests are looked ahead; `untried`:
    models that could be asked and never were; `verdict`: gains, loses, equal, open or too_little."""

    ran: Figures
    applied: int
    agreed: int
    would_explore: int
    explored: int
    untried: int
    horizon: int
    worlds: int
    exploring: float | None
    ahead: Ahead | None
    savings: Estimate | None
    tasks: tuple[TaskRow, ...]
    models: tuple[ModelRow, ...]
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """The runs in each world."""

    shown: Evidence
    apply: list[Judged]
    baseline: list[Judged]
    exploring: float
    horizon: int

    def ahead(self, group: str | None = None) -> Ahead | None:
        one = [row.total(group) for row in self.apply]
        other = [row.total(group) for row in self.baseline]
        if not all(row.requests for row in one):
            return None
        return Ahead(
            outlook(one, self.shown), outlook(other, self.shown), gain(self.apply, self.baseline, self.shown, group)
        )

    def share(self, target: Target) -> float:
        asked = sum(given.requests for row in self.apply for (_, name), given in row.cells.items() if name == target)
        return asked / (self.horizon * len(self.apply))

    def savings(self) -> Estimate:
        """The part of the baseline's cost that apply does without."""
        parts = [
            1 - one.cost / other.cost if other.cost else 0.0
            for one, other in ((a.total(), b.total()) for a, b in zip(self.apply, self.baseline, strict=True))
        ]
        return Estimate.of_costs(parts, bounds=(-inf, 1.0))


def report(
    records: Sequence[Record],
    standpoint: Standpoint,
    seed: int,
    *,
    deadline: float = inf,
    rest: Callable[[], None] = lambda: None,
) -> Report:
    """Of these in the order of their time. Equal arguments make equal reports unless `deadline` (time.monotonic) comes;
    `rest` is called often on the way, for who shares this thread's processor."""
    enough = _too_little(records)
    seen = None if enough else _looked_ahead(records, standpoint, seed, deadline, rest)
    ahead = seen.ahead() if seen else None
    untried = _untried(records)
    verdict, reason = ("too_little", enough) if ahead is None else _verdict(ahead, untried)
    return Report(
        ran=_figures(records),
        applied=sum(item.applied for item in records),
        agreed=sum(item.ran == item.chosen for item in records),
        would_explore=sum(item.explored and not item.applied for item in records),
        explored=sum(item.explored and item.applied for item in records),
        untried=untried,
        horizon=seen.horizon if seen else 0,
        worlds=len(seen.apply) if seen else 0,
        exploring=seen.exploring if seen else None,
        ahead=ahead,
        savings=seen.savings() if seen else None,
        tasks=_tasks(records, seen),
        models=_models(records, seen),
        verdict=verdict,
        reason=reason,
    )


def _too_little(records: Sequence[Record]) -> str:
    """Of what; "" where it is enough."""
    if len(records) < LEAST_RECORDS:
        return "few_requests"
    return "few_outcomes" if sum(item.score is not None for item in records) < LEAST_OUTCOMES else ""


def _looked_ahead(
    records: Sequence[Record], standpoint: Standpoint, seed: int, deadline: float, rest: Callable[[], None]
) -> _Seen:
    shown = Evidence.of(records, seed)
    likes, prices = requests_like(records, shown, standpoint.qualities), ratios(records, shown)
    models = sorted(set().union(*(item.models() for item in records)), key=str)
    chance, horizon = random.Random(seed), min(len(records), MOST_REQUESTS)  # noqa: S311 - no secret
    seen, explored = _Seen(shown, [], [], 0.0, horizon), 0
    worlds = Worlds(shown, sorted(set(shown.groups.values())), models, seed)
    for number, world in enumerate(islice(worlds, _worlds(records, horizon))):
        if number >= _LEAST_WORLDS and time.monotonic() > deadline:
            break
        drawn = chance.choices(likes, k=horizon)
        asked = drawn_prices(world, shown, prices, chance)
        run = applied(world, drawn, standpoint, shown, seed + number, rest)
        explored += run.explored
        seen.apply.append(judged(run, world, shown, asked))
        seen.baseline.append(judged(unlearned(drawn), world, shown, asked))
    return _Seen(shown, seen.apply, seen.baseline, explored / (horizon * len(seen.apply)), horizon)


def _worlds(records: Sequence[Record], horizon: int) -> int:
    arms = sum(len(item.arms) for item in records) / len(records)
    return min(max(int(_MOST_LOOKS / (horizon * max(arms, 1.0))), _LEAST_WORLDS), _MOST_WORLDS)


def _figures(records: Sequence[Record]) -> Figures:
    scores = [item.score for item in records if item.score is not None]
    mean = sum(scores) / len(scores) if scores else None
    return Figures(len(records), len(scores), mean, sum(item.cost or 0 for item in records))


def _untried(records: Sequence[Record]) -> int:
    asked = {item.ran for item in records if item.score is not None}
    return len({arm.target for item in records for arm in item.arms} - asked)


def _verdict(ahead: Ahead, untried: int) -> tuple[str, str]:
    value = ahead.gain.value
    if value.low > 0:
        return "gains", "surely_better"
    if value.high < 0:
        return "loses", "surely_worse"
    if max(-value.low, value.high) <= _NEAR:
        return "equal", "no_difference"
    return "open", "untried_models" if untried else "wide_interval"


def _tasks(records: Sequence[Record], seen: _Seen | None) -> tuple[TaskRow, ...]:
    rows: dict[str, list[Record]] = {}
    for item in records:
        rows.setdefault(seen.shown.group(item.task) if seen else item.task, []).append(item)
    found = []
    for group, items in sorted(rows.items(), key=lambda row: (-len(row[1]), row[0])):
        ran = _figures(items)
        known = seen is not None and ran.requests >= _TASK_RECORDS and ran.outcomes >= _TASK_OUTCOMES
        found.append(TaskRow("" if group == OTHERS else group, ran, seen.ahead(group) if seen and known else None))
    return tuple(found)


def _models(records: Sequence[Record], seen: _Seen | None) -> tuple[ModelRow, ...]:
    rows: dict[Target, list[Record]] = {target: [] for item in records for target in item.models()}
    for item in records:
        rows[item.ran].append(item)
    ordered = sorted(rows.items(), key=lambda row: (-len(row[1]), str(row[0])))
    return tuple(ModelRow(target, _figures(items), seen.share(target) if seen else None) for target, items in ordered)
