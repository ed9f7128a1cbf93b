"""First whoever has served such tasks best, by the outcomes that callers reported, less what its cost and
time take from that.

Now and then another one leads that may be better: within bounds, and never where something hangs on the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from cortexd.domain.messages import Role
from cortexd.routing.candidates import Candidate, Field
from cortexd.routing.forecast import Forecast
from cortexd.routing.health import State
from cortexd.routing.learned import Arm, Choice, Rules, Score, Standing


def rank(candidates: list[Candidate], field: Field, may_explore: bool) -> list[Candidate]:
    """Whom the learner chose among those that are well, then by what is likely left of the score after the penalty;
    equals in the order that they came in."""
    if not candidates:
        return []
    task, rules = field.question.task_type, _rules(field)
    arms = _arms(candidates, rules)
    well = [arm for arm, item in zip(arms, candidates, strict=True) if item.state is State.OK and not item.full]
    may = may_explore and _harmless(field)
    choice = field.learner.decide(task, well or arms, rules, field.seed, may_explore=may)
    decided = {score.target for score in choice.scores}
    others = field.learner.scores(task, [arm for arm in arms if arm.target not in decided], rules)
    scores = {score.target: score for score in (*choice.scores, *others)}
    stood = [_standing(item, scores[item.target], choice) for item in candidates]
    return sorted(stood, key=lambda item: (item.target != choice.chosen, -(item.score or 0.0)))


def _rules(field: Field) -> Rules:
    wanted = field.config.routing.learned
    return Rules(wanted.cost_weight, wanted.latency_weight, wanted.explore_share, wanted.explore_first)


def _arms(candidates: Sequence[Candidate], rules: Rules) -> list[Arm]:
    costs = _parts(candidates, lambda known: known.cost_nano)
    times = _parts(candidates, lambda known: known.ms)
    return [
        Arm(item.target, rules.penalty(cost, time), item.forecast.quality)
        for item, cost, time in zip(candidates, costs, times, strict=True)
    ]


def _parts(candidates: Sequence[Candidate], figure: Callable[[Forecast], float | None]) -> list[float]:
    """Each one's figure as a part of the greatest; one that is not known counts as the greatest that is."""
    figures = [figure(item.forecast) for item in candidates]
    most = max((found for found in figures if found is not None), default=0.0)
    return [(most if found is None else found) / most if most else 0.0 for found in figures]


def _harmless(field: Field) -> bool:
    """Nothing binds the request to who would answer it best: it may stay nowhere but here, nor goes it on with a
    conversation or a tool's result, the cache of which another one lacks."""
    kept_here = field.question.local_only or field.wishes.local_only
    return not kept_here and all(message.role in (Role.SYSTEM, Role.USER) for message in field.question.messages)


def _standing(candidate: Candidate, score: Score, choice: Choice) -> Candidate:
    greedy, chosen = score.target == choice.greedy, score.target == choice.chosen
    standing = Standing(score, greedy, chosen, choice.why)
    words = f"likely {score.mean:.2f} by {score.count} outcomes, less {score.penalty:.2f}"
    if standing.explored:
        words = f"asked to learn how well it serves: {words}"
    elif chosen:
        words = f"best by outcomes: {words}"
    return replace(candidate, reason=words, score=round(score.value, 4), standing=standing)
