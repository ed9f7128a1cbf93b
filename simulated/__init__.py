"""Simulated providers: the wire formats of Anthropic Messages, OpenAI chat completions and responses, without models.

`python -m simulated --port-file FILE` serves all in one process; `SimulatedProviders` does the
same inside a test; `ControlClient` steers and reads the process form over HTTP. An instance is the first
component of the path (`/claude/v1/messages`, `/kimi_k2/v1/chat/completions`): behaviour, counts and the bill
are kept per instance, and the end of the path decides the wire format.

Each rule says where it comes from: `anthropic_rules`, `openai_rules`, `responses_rules` and `kimi_rules` for what is
accepted, `anthropic`, `openai` and `responses` for answers and errors, `servers` for real servers other than the
vendors' own. Two of those are held against the real ones by tests/servers/test_twins.py.

Nothing here imports cortexd's own rooms: prices and rounding are typed in a second time, so that tests can
hold cortexd's costs against this count.
"""

from __future__ import annotations

from simulated.behaviour import Behaviour, Fault, RealServer, StreamUsage
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
    "RealServer",
    "Received",
    "SimulatedProviders",
    "StreamUsage",
    "Tokens",
    "cost_nano",
]
