"""What can go wrong between us and the bus.

BusException
├── BusError             the other side, or the bus itself, answered with an error
├── BusTimeout           no answer within the deadline
├── ConnectionLost       the bus is gone, was closed, or could not be reached
├── NameTaken            another connection owns the name
├── DescriptorMissing    a message names a file descriptor that did not come with it
├── Malformed            bytes from the bus are no D-Bus message
├── TooManyValues        a message from the bus holds more values than this side unpacks
└── Unsendable           the content cannot be put on the bus
    └── MessageTooLarge
"""

from __future__ import annotations


class BusException(Exception):
    """Base of everything this package raises."""


class BusError(BusException):
    """An error reply: `name` is the D-Bus error name, `text` its first argument where that is a string."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class BusTimeout(BusException):
    pass


class ConnectionLost(BusException):
    pass


class NameTaken(BusException):
    pass


class DescriptorMissing(BusException):
    pass


class Malformed(BusException):
    pass


class TooManyValues(BusException):
    pass


class Unsendable(BusException):
    """The text says what is wrong with the content, never the content itself."""


class MessageTooLarge(Unsendable):
    pass
