"""Simulated providers: the wire formats of Anthropic Messages and OpenAI chat completions, without the models.

`python -m simulated --port-file FILE` serves both in one process; `SimulatedProviders` does the
same inside a test; `ControlClient` steers and reads the process form over HTTP. An instance is the first
component of the path (`/claude/v1/messages`, `/kimi_k2/v1/chat/completions`): behaviour, counts and the bill
are kept per instance, and the end of the path decides the wire format.

Nothing here imports cortexd's own rooms: prices and rounding are typed in a second time, so that tests can
hold cortexd's costs against this count.
"""

from __future__ import annotations

from simulated.behaviour import Behaviour, Fault, StreamUsage
from simulated.billing import Bill, Tokens, cost_nano
from simulated.control import ControlClient
from simulated.handle import SimulatedProviders
from simulated.instance import Counts, Received

__all__ = [
    "Behaviour",
    "Bill",
    "ControlClient",
    "Counts",
    "Fault",
    "Received",
    "SimulatedProviders",
    "StreamUsage",
    "Tokens",
    "cost_nano",
]
