"""Who asks, what that needs, how much of the daemon one user may hold and spend. Pure rules; polkit is in bus/."""

from cortexd.access.admission import Admission, Place
from cortexd.access.authorization import Action, Authorizer, Caller, action_for
from cortexd.access.budgets import Budgets, budget_exceeded, period_end, severity, thresholds_crossed
from cortexd.access.turns import Turns

__all__ = [
    "Action",
    "Admission",
    "Authorizer",
    "Budgets",
    "Caller",
    "Place",
    "Turns",
    "action_for",
    "budget_exceeded",
    "period_end",
    "severity",
    "thresholds_crossed",
]
