"""One asyncio connection to a D-Bus message bus, for the daemon and for the Python client.

dbus-next 0.2.3 gives the types (Message, Variant) and the marshalling; reading, writing and bookkeeping are
done here, because its own transport ends the connection, leaks, or waits for ever under load
(docs/decisions tells which and how each was measured). Standard library and dbus-next only.
"""

from dbus_next import Message, MessageFlag, MessageType, Variant

from cortexd.connection.address import session_address, system_address
from cortexd.connection.core import Connection
from cortexd.connection.descriptors import close_fds, take_fd
from cortexd.connection.encode import MAX_MESSAGE_BYTES, Written
from cortexd.connection.errors import (
    BusError,
    BusException,
    BusTimeout,
    ConnectionLost,
    DescriptorMissing,
    Malformed,
    MessageTooLarge,
    NameTaken,
    TooManyValues,
    Unsendable,
)
from cortexd.connection.making import method_call, method_return, signal
from cortexd.connection.refusals import lets_ask, wants_reply

__all__ = [
    "MAX_MESSAGE_BYTES",
    "BusError",
    "BusException",
    "BusTimeout",
    "Connection",
    "ConnectionLost",
    "DescriptorMissing",
    "Malformed",
    "Message",
    "MessageFlag",
    "MessageTooLarge",
    "MessageType",
    "NameTaken",
    "TooManyValues",
    "Unsendable",
    "Variant",
    "Written",
    "close_fds",
    "lets_ask",
    "method_call",
    "method_return",
    "session_address",
    "signal",
    "system_address",
    "take_fd",
    "wants_reply",
]
