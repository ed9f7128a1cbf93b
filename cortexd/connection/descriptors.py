"""File descriptors that travel with messages. Each has exactly one owner at any time."""

from __future__ import annotations

import os
from collections.abc import Iterable

from dbus_next import Message

from cortexd.connection.errors import DescriptorMissing, Unsendable

# dbus-daemon's default per message; it disconnects a sender that goes beyond.
MAX_FDS_SENT = 16
# The kernel's limit for one sendmsg, hence for one incoming message on any bus.
MAX_FDS_RECEIVED = 253
TAKEN = -1


def take_fd(message: Message, index: int) -> int:
    """Make descriptor `index` of a received message the caller's own, to be closed by the caller.

    `index` is the value of an argument of type `h`. Raises DescriptorMissing where the message brought
    no such descriptor, or it was taken before. Descriptors not taken during on_call or on_signal are closed.
    """
    if not 0 <= index < len(message.unix_fds) or message.unix_fds[index] == TAKEN:
        raise DescriptorMissing(f"the message brought no file descriptor {index}")
    fd: int = message.unix_fds[index]
    message.unix_fds[index] = TAKEN
    return fd


def close_fds(message: Message) -> None:
    """Close what nobody took."""
    close_all(fd for fd in message.unix_fds if fd != TAKEN)
    message.unix_fds = []


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def duplicate(fds: Iterable[int]) -> list[int]:
    """Our own copies, all or none; raises Unsendable where one is closed or the process has no room for more."""
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(os.dup(fd))
        if len(copies) > MAX_FDS_SENT:
            raise Unsendable(f"{len(copies)} file descriptors in one message; the bus takes {MAX_FDS_SENT}")
    except (OSError, OverflowError, TypeError) as error:
        close_all(copies)
        raise Unsendable(f"a file descriptor cannot be sent: {type(error).__name__}") from None
    except Unsendable:
        close_all(copies)
        raise
    return copies
