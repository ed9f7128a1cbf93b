"""Messages made without dbus-next's constructor, which checks the names one by one: those of a message that comes have
been checked by the bus, those of a message that goes are checked when it is encoded, once for all that are alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbus_next import Message, MessageFlag, MessageType
from dbus_next.signature import SignatureTree

_NO_TREE = SignatureTree("")
_BLANK: Mapping[str, Any] = {
    "destination": None,
    "path": None,
    "interface": None,
    "member": None,
    "flags": MessageFlag.NONE,
    "error_name": None,
    "reply_serial": None,
    "sender": None,
    "signature": "",
    "signature_tree": _NO_TREE,
    "serial": 0,
}


def received(kind: MessageType | None, flags: MessageFlag, serial: int, fields: Mapping[str, Any]) -> Message:
    """A message that has come, without its body. `fields`: by the names of a Message's attributes."""
    message = Message.__new__(Message)
    vars(message).update(_BLANK, message_type=kind, flags=flags, body=[], unix_fds=[])
    vars(message).update(fields)
    message.serial = serial
    return message


def method_call(destination: str, path: str, interface: str, member: str, signature: str, body: list[Any]) -> Message:
    return _sent(
        MessageType.METHOD_CALL,
        signature,
        body,
        destination=destination,
        path=path,
        interface=interface,
        member=member,
    )


def method_return(call: Message, signature: str = "", body: Sequence[Any] = (), fds: Sequence[int] = ()) -> Message:
    """The reply to `call`. Descriptors are copied when it is sent."""
    made = _sent(MessageType.METHOD_RETURN, signature, list(body), destination=call.sender, reply_serial=call.serial)
    made.unix_fds = list(fds)
    return made


def signal(
    path: str, interface: str, member: str, signature: str, body: list[Any], destination: str | None = None
) -> Message:
    """`destination`: the one connection that shall hear it; None for all."""
    return _sent(
        MessageType.SIGNAL, signature, body, destination=destination, path=path, interface=interface, member=member
    )


def _sent(kind: MessageType, signature: str, body: list[Any], **fields: Any) -> Message:
    message = Message.__new__(Message)
    tree = SignatureTree._get(signature)
    vars(message).update(_BLANK, message_type=kind, body=body, unix_fds=[], signature=signature, signature_tree=tree)
    vars(message).update(fields)
    return message
