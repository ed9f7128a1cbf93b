"""First whoever has served such tasks best, by the outcomes that callers reported, less what its cost and
time take from that.

Now and then another one leads that may be better: within bounds, and never where something hangs on the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cortexd.domain.steps import step_of
from cortexd.routing.candidates import Candidate, Field
from cortexd.routing.forecast import NO_SWITCH, Switch
from cortexd.routing.health import State
from cortexd.routing.learned import Arm, Choice, Rules, Score, Standing


@dataclass(frozen=True, slots=True)
class _Parts:
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
    task, rules = field.question.task_type, rules_of(field)
    barred = field.barred or ("" if may_explore else "dry_run")
    candidates, switches = _in_conversation(candidates, field)
    parts = _parts(candidates, switches, rules)
    arms = [_arm(item, part.penalty, field) for item, part in zip(candidates, parts, strict=True)]
    well = [arm for arm, item in zip(arms, candidates, strict=True) if item.state is State.OK and not item.full]
    choice = field.learner.decide(task, well or arms, rules, field.seed, barred=barred, watching=field.watching)
    decided = {score.target for score in choice.scores}
    others = field.learner.scores(task, [arm for arm in arms if arm.target not in decided], rules)
    scores = {score.target: score for score in (*choice.scores, *others)}
    if field.leader in decided:
        choice = replace(choice, chosen=field.leader)
    stood = [_stood(item, scores[item.target], choice, part) for item, part in zip(candidates, parts, strict=True)]
    return sorted(stood, key=lambda item: (item.target != choice.chosen, -(item.score or 0.0)))


def rules_of(field: Field) -> Rules:
    wanted = field.config.routing.learned
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
    return [
        _Parts(
            price * ((dearest if cost is None else cost) - switch.nano) if any(costs) else 0.0,
            slow * ((slowest if time is None else time) - switch.ms) if any(times) else 0.0,
            price * switch.nano + slow * switch.ms,
            switch.nano if switch.known else None,
        )
        for cost, time, switch in zip(costs, times, switches, strict=True)
    ]


def _most(figures: Sequence[float | None]) -> float:
    """The greatest that is known; one that is not counts as much. 1 where nothing is, or costs."""
    return max((found for found in figures if found), default=1.0)


def _arm(candidate: Candidate, penalty: float, field: Field) -> Arm:
    limit = field.question.options.max_cost_nano
    dear = limit is not None and candidate.worst_case_nano > limit
    return Arm(candidate.target, penalty, candidate.forecast.quality, "budget" if dear else "")


def _stood(candidate: Candidate, score: Score, choice: Choice, parts: _Parts) -> Candidate:
    greedy, chosen = score.target == choice.greedy, score.target == choice.chosen
    figures = (parts.price, parts.time, parts.switch, parts.switch_nano)
    standing = Standing(score, greedy, chosen, choice.why, *figures)
    return replace(candidate, reason=words_of(standing), score=round(score.value, 4), standing=standing)
