"""Who asks, what that needs, and how much of the daemon one user may hold. Pure rules; polkit itself is in bus/."""

from cortexd.access.admission import Admission
from cortexd.access.authorization import Action, Authorizer, Caller, action_for
from cortexd.access.turns import Turns

__all__ = ["Action", "Admission", "Authorizer", "Caller", "Turns", "action_for"]
