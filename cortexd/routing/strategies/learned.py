"""First whoever has served such tasks best, by the outcomes that callers reported, less what its cost and
time take from that.

Now and then another one leads that may be better: within bounds, and never where something hangs on the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

from cortexd.config.settings import LearnedSettings
from cortexd.domain.steps import step_of
from cortexd.domain.targets import Target
from cortexd.routing.candidates import Candidate, Field
from cortexd.routing.forecast import NO_SWITCH, Switch
from cortexd.routing.health import State
from cortexd.routing.learned import Arm, Choice, Rules, Score, Standing

_NEXT = "next by outcomes"


class _Parts(NamedTuple):
    """What takes from the score of one: its price and its time but for what `switch` has of them."""

    price: float = 0.0
    time: float = 0.0
    switch: float = 0.0
    switch_nano: int | None = None

    @property
    def penalty(self) -> float:
        return self.price + self.time + self.switch


def rank(candidates: list[Candidate], field: Field, may_explore: bool) -> list[Candidate]:
    """Whom the learner chose among those that are well, then by what is likely left of the score after the penalty;
    equals in the order that they came in."""
    if not candidates:
        return []
    task, rules = field.question.task_type, rules_of(field.config.routing.learned)
    barred = field.barred or ("" if may_explore else "dry_run")
    candidates, switches = _in_conversation(candidates, field)
    parts = _parts(candidates, switches, rules)
    limit = field.question.options.max_cost_nano
    arms = [_arm(item, part.penalty, limit) for item, part in zip(candidates, parts, strict=True)]
    well = [item.state is State.OK and not item.full for item in candidates]
    asked = list(compress(arms, well)) or arms
    choice = field.taught.decide(task, asked, rules, field.seed, barred=barred, watching=field.watching)
    scores = choice.scores if len(asked) == len(arms) else _all_scores(arms, choice, field)
    led = next((arm.target for arm in asked if arm.target == field.leader), None) if field.leader else None
    chosen = led or choice.chosen
    rows = zip(candidates, scores, parts, strict=True)
    stood = [_stood(item, score, choice, chosen, part, told=not may_explore) for item, score, part in rows]
    return sorted(stood, key=lambda item: (item.standing is None or not item.standing.chosen, -(item.score or 0.0)))


def rules_of(wanted: LearnedSettings) -> Rules:
    return Rules(wanted.cost_weight, wanted.latency_weight, wanted.explore_share, wanted.explore_first)


def words_of(standing: Standing) -> str:
    """For people, in figures that tell nobody another's single report."""
    score = standing.score
    words = f"likely {score.mean:.2f} by {_outcomes(score.count)}, less {score.penalty:.2f}"
    if standing.explored:
        return f"asked to learn how well it serves: {words}"
    return f"best by outcomes: {words}" if standing.chosen else words


def _outcomes(count: int) -> str:
    """A step that is no exact count is the least that there were."""
    step = step_of(count)
    return f"{step} outcomes" if step < 2 else f"{step} outcomes or more"


def _in_conversation(candidates: list[Candidate], field: Field) -> tuple[list[Candidate], list[Switch]]:
    """Each with a forecast that knows with whom the conversation has been, and what it loses of its cache there."""
    if field.incumbent is None:
        return candidates, [NO_SWITCH] * len(candidates)
    pairs = [field.switched(item) for item in candidates]
    return [item for item, _ in pairs], [switch for _, switch in pairs]


def _parts(candidates: Sequence[Candidate], switches: Sequence[Switch], rules: Rules) -> list[_Parts]:
    costs = [item.forecast.cost_nano for item in candidates]
    times = [item.forecast.ms for item in candidates]
    price, slow = rules.cost_weight / _most(costs), rules.latency_weight / _most(times)
    dearest, slowest = _most(costs), _most(times)
    some_cost, some_take = any(costs), any(times)
    return [
        _Parts(
            price * ((dearest if cost is None else cost) - switch.nano) if some_cost else 0.0,
            slow * ((slowest if time is None else time) - switch.ms) if some_take else 0.0,
            price * switch.nano + slow * switch.ms,
            switch.nano if switch.known else None,
        )
        for cost, time, switch in zip(costs, times, switches, strict=True)
    ]


def _most(figures: Sequence[float | None]) -> float:
    """The greatest that is known; one that is not counts as much. 1 where nothing is, or costs."""
    return max((found for found in figures if found), default=1.0)


def _all_scores(arms: Sequence[Arm], choice: Choice, field: Field) -> list[Score]:
    """Of all arms, in their order; those that could not be chosen are scored alike."""
    known = {score.target: score for score in choice.scores}
    others = [arm for arm in arms if arm.target not in known]
    rules = rules_of(field.config.routing.learned)
    known |= {score.target: score for score in field.taught.scores(field.question.task_type, others, rules)}
    return [known[arm.target] for arm in arms]


def _arm(candidate: Candidate, penalty: float, limit: int | None) -> Arm:
    dear = limit is not None and candidate.worst_case_nano > limit
    return Arm(candidate.target, penalty, candidate.forecast.quality, "budget" if dear else "")


def _stood(
    candidate: Candidate, score: Score, choice: Choice, chosen: Target, parts: _Parts, *, told: bool
) -> Candidate:
    """A score's target is its arm's, as the choice's are. `told`: how each one stands is, not of the first one alone;
    words for all take a sixth of a decision."""
    standing = Standing(score, score.target is choice.greedy, score.target is chosen, choice.why, *parts)
    words = words_of(standing) if told or standing.chosen else _NEXT
    return candidate.stood(words, round(score.mean - score.penalty, 4), standing)
