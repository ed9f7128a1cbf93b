"""The error replies that the connection gives by itself."""

from __future__ import annotations

import secrets

from dbus_next import Message, MessageFlag, MessageType

ERROR_INTERNAL = "org.cortexlinux.LLMRouter.Error.Internal"
ERROR_TOO_LARGE = "org.cortexlinux.LLMRouter.Error.TooLarge"
ERROR_UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
# as numbers: dbus-next's flags make an object for each question
_NO_REPLY = MessageFlag.NO_REPLY_EXPECTED.value
_INTERACTIVE = MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION.value
REPLIES = frozenset({MessageType.METHOD_RETURN, MessageType.ERROR})


def wants_reply(message: Message) -> bool:
    """True for a method call whose sender waits for the answer."""
    return message.message_type is MessageType.METHOD_CALL and not message.flags._value_ & _NO_REPLY


def lets_ask(message: Message) -> bool:
    """True for a method call whose sender lets polkit ask a person."""
    return bool(message.flags._value_ & _INTERACTIVE)


def in_place_of(reply: Message, name: str, text: str) -> Message:
    """An error that answers the same call as `reply`."""
    return Message(
        message_type=MessageType.ERROR,
        destination=reply.destination,
        reply_serial=reply.reply_serial,
        error_name=name,
        signature="s",
        body=[text],
    )


def internal_text() -> str:
    """All that a caller learns of our own mistakes; the same id stands in the log."""
    return f"internal error {secrets.token_hex(4)}, see the service's log"
