"""Which providers to try for a request, in which order and why; and how each of them is doing."""

from cortexd.routing.health import Health, State
from cortexd.routing.plan import Candidate, LeftOut, Plan, Question, plan_route

__all__ = ["Candidate", "Health", "LeftOut", "Plan", "Question", "State", "plan_route"]
