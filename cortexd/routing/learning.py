"""What the learner makes of a question: who is asked by it, or would be, beside what leads without it."""

from __future__ import annotations

from collections.abc import Sequence

from cortexd.domain.decided import Decided, DecidedArm
from cortexd.domain.messages import LearnedMode
from cortexd.domain.modes import Way
from cortexd.domain.targets import Target
from cortexd.routing.candidates import Candidate, Field, Learning, Plan
from cortexd.routing.learned import PINNED
from cortexd.routing.strategies.learned import rules_of


def learning_of(plan: Plan, judged: Sequence[Candidate], baseline: Target, way: Way, field: Field) -> Learning:
    """Of a plan that is ready. `judged`: all whom the learner had to choose among, with their standings; `baseline`:
    who leads without it."""
    standings = [item.standing for item in judged if item.standing is not None]
    greedy = next(item.score.target for item in standings if item.greedy)
    chosen = next((item.score.target for item in standings if item.chosen), greedy)
    if way.mode is LearnedMode.APPLY or field.barred == PINNED:
        chosen = plan.candidates[0].target  # who fails of late, or is too dear, is not asked
    arms = tuple(_arm(item) for item in judged)
    decided = Decided(way.mode, baseline, greedy, chosen, standings[0].why, arms)
    left = field.taught.looks_left(rules_of(field.config.routing.learned), watching=field.watching)
    return Learning(decided, tuple(judged), left)


def _arm(candidate: Candidate) -> DecidedArm:
    assert candidate.standing is not None
    score = candidate.standing.score
    return DecidedArm(score.target, score.mean, score.sigma, score.count, score.penalty, candidate.forecast.cost_nano)
