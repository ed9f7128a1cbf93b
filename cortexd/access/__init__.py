"""How much of the daemon one user may hold: admission, rates, turns. Pure rules."""

from cortexd.access.admission import Admission, Place
from cortexd.access.turns import Turns

__all__ = ["Admission", "Place", "Turns"]
