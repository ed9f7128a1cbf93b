"""What a receiver makes of values that were written to be sent."""

from __future__ import annotations

from typing import Any

from dbus_next import Message

from cortexd.connection import Written
from cortexd.connection.decode import MAX_VALUES, read_header
from cortexd.connection.encode import encode


def carried(value: Written | list[Written], *, unwrapped: bool = True) -> Any:
    """`value` after its way over a bus; `unwrapped`: without the variants."""
    signature = "aa{sv}" if isinstance(value, list) else "a{sv}"
    message = Message(destination="org.example", path="/", member="Take", signature=signature, body=[value])
    frame = read_header(encode(message, 1))
    frame.read_body(MAX_VALUES, unwrapped=unwrapped)
    [arrived] = frame.message.body
    return arrived
