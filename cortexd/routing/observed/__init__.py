"""What was observed of models that answered, and what it says of the next answer."""

from cortexd.routing.observed.observed import KNOWN_S, Observed
from cortexd.routing.observed.pace import Timing

__all__ = ["KNOWN_S", "Observed", "Timing"]
