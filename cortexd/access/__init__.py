"""How much of the daemon one user may hold: admission, rates, turns, bytes."""

from cortexd.access.admission import Admission, Place
from cortexd.access.held_bytes import HeldBytes, Load
from cortexd.access.rate import OutcomeRate
from cortexd.access.turns import Turns

__all__ = ["Admission", "HeldBytes", "Load", "OutcomeRate", "Place", "Turns"]
