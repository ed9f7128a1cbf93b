"""What users have spent and may spend: sums, limits, groups, preferences, outcomes."""

from cortexd.accounts.limits import Budgets, budget_exceeded, period_end, severity, thresholds_crossed

__all__ = ["Budgets", "budget_exceeded", "period_end", "severity", "thresholds_crossed"]
