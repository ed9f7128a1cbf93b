"""Secrets in what people ask: found by rules, counted by kind, replaced for models elsewhere, put back in the answer.

No I/O, and nothing here waits: long texts are looked through in steps, between which the caller lets others run.
"""

from cortexd.privacy.disguise import TooManySecrets, put_on
from cortexd.privacy.findings import Findings, look_through
from cortexd.privacy.guard import UNGUARDED, Disguise, Guard
from cortexd.privacy.restoring import Restorer

__all__ = [
    "UNGUARDED",
    "Disguise",
    "Findings",
    "Guard",
    "Restorer",
    "TooManySecrets",
    "look_through",
    "put_on",
]
