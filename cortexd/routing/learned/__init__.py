"""Which model serves which task, learned from the outcomes that callers report."""

from cortexd.routing.learned.cells import Cells
from cortexd.routing.learned.learner import NOT_COUNTED, Counted, Learner, Standing
from cortexd.routing.learned.policy import PINNED, Arm, Choice, Counts, Policy, Rules, Score

__all__ = [
    "NOT_COUNTED",
    "PINNED",
    "Arm",
    "Cells",
    "Choice",
    "Counted",
    "Counts",
    "Learner",
    "Policy",
    "Rules",
    "Score",
    "Standing",
]
