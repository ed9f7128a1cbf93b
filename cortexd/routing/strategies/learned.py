"""First whoever has served such tasks best, by the outcomes that callers reported, less what its cost and
time take from that.

Now and then another one leads that may be better: within bounds, and never where something hangs on the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from cortexd.domain.messages import Role
from cortexd.routing.candidates import Candidate, Field
from cortexd.routing.health import State
from cortexd.routing.learned import Arm, Choice, Rules, Score, Standing


def rank(candidates: list[Candidate], field: Field, may_explore: bool) -> list[Candidate]:
    """Whom the learner chose among those that are well, then by what is likely left of the score after the penalty;
    equals in the order that they came in."""
    if not candidates:
        return []
    task, rules = field.question.task_type, _rules(field)
    arms = _arms(candidates, rules)
    well = [index for index, item in enumerate(candidates) if item.state is State.OK and not item.full]
    among = well or range(len(arms))
    may = may_explore and _harmless(field)
    choice = field.learner.decide(task, [arms[index] for index in among], rules, field.seed, may_explore=may)
    scores = dict(zip(among, choice.scores, strict=True))
    if others := [index for index in range(len(arms)) if index not in scores]:
        known = field.learner.scores(task, [arms[index] for index in others], rules)
        scores.update(zip(others, known, strict=True))
    stood = [_standing(item, scores[index], choice) for index, item in enumerate(candidates)]
    return sorted(stood, key=_rank)


def _rank(candidate: Candidate) -> tuple[bool, float]:
    chosen = candidate.standing is not None and candidate.standing.chosen
    return not chosen, -(candidate.score or 0.0)


def _rules(field: Field) -> Rules:
    wanted = field.config.routing.learned
    return Rules(wanted.cost_weight, wanted.latency_weight, wanted.explore_share, wanted.explore_first)


def _arms(candidates: Sequence[Candidate], rules: Rules) -> list[Arm]:
    known = [item.forecast for item in candidates]
    costs = _parts([item.cost_nano for item in known], rules.cost_weight)
    times = _parts([item.ms for item in known], rules.latency_weight)
    return [
        Arm(item.target, cost + time, item.forecast.quality)
        for item, cost, time in zip(candidates, costs, times, strict=True)
    ]


def _parts(figures: Sequence[float | None], weight: float) -> list[float]:
    """What each one's figure takes from its score, as a part of the greatest; one that is not known counts as the
    greatest that is."""
    most = max((found for found in figures if found is not None), default=0.0) if weight else 0.0
    if not most:
        return [0.0] * len(figures)
    return [weight if found is None else weight * found / most for found in figures]


def _harmless(field: Field) -> bool:
    """Nothing binds the request to who would answer it best: it may stay nowhere but here, nor goes it on with a
    conversation or a tool's result, the cache of which another one lacks."""
    kept_here = field.question.local_only or field.wishes.local_only
    return not kept_here and all(message.role in (Role.SYSTEM, Role.USER) for message in field.question.messages)


def _standing(candidate: Candidate, score: Score, choice: Choice) -> Candidate:
    greedy, chosen = score.target is choice.greedy, score.target is choice.chosen  # both are of these scores
    words = f"likely {score.mean:.2f} by {score.count} outcomes, less {score.penalty:.2f}"
    if chosen:
        words = f"{'best by outcomes' if greedy else 'asked to learn how well it serves'}: {words}"
    return candidate.stood(words, round(score.value, 4), Standing(score, greedy, chosen, choice.why))
