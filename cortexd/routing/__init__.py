"""Which providers to try for a request, in which order and why; and how each of them is doing."""

from cortexd.routing.allowed import Allowed
from cortexd.routing.breaker import Asker
from cortexd.routing.candidates import Candidate, Learning, LeftOut, Plan, who_answers
from cortexd.routing.conversations import Conversations
from cortexd.routing.downgrade import downgrade
from cortexd.routing.fallback import Fallback
from cortexd.routing.forecast import Forecast, continued
from cortexd.routing.health import Health, State
from cortexd.routing.learned import NOT_COUNTED, Counted, Learner, Standing
from cortexd.routing.observed import Observed
from cortexd.routing.outline import Outlines
from cortexd.routing.plan import plan_route
from cortexd.routing.question import Question
from cortexd.routing.sessions import Sessions
from cortexd.routing.wishes import Wishes

__all__ = [
    "NOT_COUNTED",
    "Allowed",
    "Asker",
    "Candidate",
    "Conversations",
    "Counted",
    "Fallback",
    "Forecast",
    "Health",
    "Learner",
    "Learning",
    "LeftOut",
    "Observed",
    "Outlines",
    "Plan",
    "Question",
    "Sessions",
    "Standing",
    "State",
    "Wishes",
    "continued",
    "downgrade",
    "plan_route",
    "who_answers",
]
