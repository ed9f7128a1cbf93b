"""Providers: the only room that imports the vendors' SDKs, and it does so late and off the event loop.

One attempt per call, deadlines ours, nothing from the environment, and nothing that a provider sends is trusted.
"""

from cortexd.providers.failures import malformed
from cortexd.providers.finishing import EmptyAnswer
from cortexd.providers.listening import Delta, Listener
from cortexd.providers.loading import preload
from cortexd.providers.provider import Provider, make_provider
from cortexd.providers.starting import Starting, is_loading, pauses

__all__ = [
    "Delta",
    "EmptyAnswer",
    "Listener",
    "Provider",
    "Starting",
    "is_loading",
    "make_provider",
    "malformed",
    "pauses",
    "preload",
]
