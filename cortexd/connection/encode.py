"""A Message to bytes. dbus-next's Marshaller with the checks that dbus-daemon makes: it disconnects a sender,
service or not, whose message holds U+0000, an invalid object path or signature, or nests too deeply.

Values are checked while they are written, so there is no second pass over the body.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dbus_next import Message, MessageType, Variant
from dbus_next._private.marshaller import Marshaller

from cortexd.connection.errors import MessageTooLarge, Unsendable
from cortexd.connection.signatures import checked_signature

MAX_MESSAGE_BYTES = 31 * 2**20  # dbus-daemon's limit is 32 MiB, and it adds the sender's name
MAX_DEPTH = 64  # containers within containers, variants included
_LONGEST_CACHED = 64  # characters of a key
PADDING = tuple(bytes(n) for n in range(8))
_CONTENT_ERRORS = (AttributeError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError, struct.error)

_LITTLE = ord("l")
_MOST_FIELDS = 512  # callers and methods whose header is kept
_U32 = struct.Struct("<I").pack
_FIXED = struct.Struct("<BBBBIII").pack
_NUMBERS = {token: struct.Struct("<" + form) for token, form in zip("nqiuxtd", "hHiIqQd", strict=True)}

_PATH = re.compile(r"/|(?:/[A-Za-z0-9_]+)+")
_ELEMENT = r"[A-Za-z_][A-Za-z0-9_]*"
_INTERFACE = re.compile(rf"{_ELEMENT}(?:\.{_ELEMENT})+")
_BUS_ELEMENT = r"[A-Za-z_-][A-Za-z0-9_-]*"
_NAMES = {
    1: _PATH,
    2: _INTERFACE,
    3: re.compile(_ELEMENT),
    4: _INTERFACE,
    6: re.compile(rf":[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+|{_BUS_ELEMENT}(?:\.{_BUS_ELEMENT})+"),
}


@dataclass(frozen=True, slots=True)
class Written:
    """An a{sv} whose entries are bytes already; it stands in a body like any other. `depth`: its containers, nested."""

    entries: bytes
    depth: int


def encode(message: Message, serial: int, fd_count: int = 0) -> bytearray:
    """The message on the wire, little-endian. `message.serial` and `message.unix_fds` are not looked at.

    Raises Unsendable or MessageTooLarge; their texts hold none of the content.
    """
    try:
        return _encode(message, serial, fd_count)
    except _CONTENT_ERRORS as error:
        raise Unsendable(f"the message does not fit its signature: {type(error).__name__}") from None


def _encode(message: Message, serial: int, fd_count: int) -> bytearray:
    encoder = _Encoder(fd_count)
    buffer = encoder.buffer = _header(message, serial, fd_count)
    start = len(buffer)
    for type_, value in zip(message.signature_tree.types, message.body, strict=True):
        encoder.write_single(type_, value)
    if len(buffer) > MAX_MESSAGE_BYTES:
        raise too_large(len(buffer))
    struct.pack_into("<I", buffer, 4, len(buffer) - start)
    return buffer


def too_large(size: int) -> MessageTooLarge:
    return MessageTooLarge(f"the message has {size:,} bytes; the bus takes {MAX_MESSAGE_BYTES:,}")


def _header(message: Message, serial: int, fd_count: int) -> bytearray:
    """What differs from message to message comes first: the rest is the same for each call of a caller."""
    first = b""
    kind = message.message_type
    if kind is MessageType.METHOD_RETURN or kind is MessageType.ERROR:
        first = b"\5\1u\0" + _U32(message.reply_serial)
    if fd_count:
        first += b"\x09\1u\0" + _U32(fd_count)
    rest = _fields(
        message.path, message.interface, message.member, message.error_name, message.destination, message.signature
    )
    size = len(first) + len(rest)
    header = bytearray(_FIXED(_LITTLE, kind._value_, message.flags._value_ & 0xFF, 1, 0, serial, size))
    header += first
    header += rest
    header += PADDING[-size & 7]
    return header


@lru_cache(_MOST_FIELDS)
def _fields(
    path: str | None,
    interface: str | None,
    member: str | None,
    error_name: str | None,
    destination: str | None,
    signature: str,
) -> bytes:
    array = bytearray()
    for code, text in ((1, path), (2, interface), (3, member), (4, error_name), (6, destination)):
        if text:
            array += PADDING[-len(array) & 7]
            array += _name_field(code, text)
    if signature:
        array += PADDING[-len(array) & 7]
        array += b"\x08\1g\0" + checked_signature(signature)
    return bytes(array)


@lru_cache(1024)
def _name_field(code: int, text: str) -> bytes:
    if (len(text) > 255 and code != 1) or not _NAMES[code].fullmatch(text):
        raise Unsendable("a name or path in the message's header is not valid")
    encoded = text.encode("ascii")
    return bytes((code, 1, ord("o" if code == 1 else "s"), 0)) + _U32(len(encoded)) + encoded + b"\0"


class _Encoder(Marshaller):  # type: ignore[misc]  # dbus-next has no types
    def __init__(self, fd_count: int) -> None:
        self.buffer = bytearray()
        self.fd_count = fd_count
        self.depth = 0

    def write_single(self, type_: Any, value: Any) -> None:
        _WRITERS[type_.token](self, value, type_)

    def align(self, size: int) -> None:
        self.buffer += PADDING[-len(self.buffer) & (size - 1)]

    def enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unsendable("the message nests too deeply")

    def write_number(self, value: Any, type_: Any) -> None:
        number = _NUMBERS[type_.token]
        self.align(number.size)
        self.buffer += number.pack(value)

    def write_boolean(self, value: Any, _type: Any) -> None:
        if not isinstance(value, bool):
            raise TypeError
        self.align(4)
        self.buffer += _U32(value)

    def write_string(self, value: Any, _type: Any) -> None:
        data = value.encode()
        buffer = self.buffer
        if b"\0" in data:
            raise Unsendable("the message holds U+0000")
        if len(buffer) + len(data) > MAX_MESSAGE_BYTES:
            raise too_large(len(buffer) + len(data))
        buffer += PADDING[-len(buffer) & 3]
        buffer += _U32(len(data))
        buffer += data
        buffer.append(0)

    def write_path(self, value: Any, _type: Any) -> None:
        if not _PATH.fullmatch(value):
            raise Unsendable("the message holds an invalid object path")
        self.write_string(value, _type)

    def write_signature(self, value: Any, _type: Any = None) -> None:
        self.buffer += checked_signature(value)

    def write_descriptor(self, value: Any, type_: Any) -> None:
        if not 0 <= value < self.fd_count:
            raise Unsendable("the message names a file descriptor that it does not carry")
        self.write_number(value, type_)

    def write_variant(self, value: Any, _type: Any = None) -> None:
        if not isinstance(value, Variant):
            raise TypeError
        self.enter()
        self.buffer += checked_signature(value.signature)
        _WRITERS[value.type.token](self, value.value, value.type)
        self.depth -= 1

    def write_struct(self, value: Any, type_: Any) -> None:
        if not isinstance(value, list | tuple):
            raise TypeError
        self.enter()
        self.align(8)
        for child, item in zip(type_.children, value, strict=True):
            self.write_single(child, item)
        self.depth -= 1

    def write_array(self, value: Any, type_: Any) -> None:
        self.enter()
        self.align(4)
        buffer = self.buffer
        length_at = len(buffer)
        buffer += b"\0\0\0\0"
        child = type_.children[0]
        kind = child.token
        if kind in "xtd({":
            self.align(8)
        start = len(buffer)
        self.write_items(value, child)
        struct.pack_into("<I", buffer, length_at, len(buffer) - start)
        self.depth -= 1

    def write_items(self, value: Any, child: Any) -> None:
        kind = child.token
        if kind == "{":
            self.write_entries(value, child)
        elif kind == "y":
            self.write_bytes(value)
        elif isinstance(value, list | tuple):
            write = _WRITERS[kind]
            for item in value:
                write(self, item, child)
        else:
            raise TypeError

    def write_bytes(self, value: Any) -> None:
        if not isinstance(value, bytes | bytearray):
            raise TypeError
        if len(self.buffer) + len(value) > MAX_MESSAGE_BYTES:
            raise too_large(len(self.buffer) + len(value))
        self.buffer += value

    def write_entries(self, value: Any, child: Any) -> None:
        self.enter()
        if child.signature == "{sv}":
            self.write_named(value)
        else:
            self.write_pairs(value, *child.children)
        self.depth -= 1

    def write_pairs(self, value: Any, key_type: Any, value_type: Any) -> None:
        write_key, write_value = _WRITERS[key_type.token], _WRITERS[value_type.token]
        buffer = self.buffer
        for key, item in value.items():
            buffer += PADDING[-len(buffer) & 7]
            write_key(self, key, key_type)
            write_value(self, item, value_type)

    def write_named(self, value: dict[str, Any] | Written) -> None:
        """The entries of a{sv}, which nearly everything is: key and signature come written from the cache."""
        if isinstance(value, Written):
            self.write_written(value)
            return
        self.enter()
        buffer = self.buffer
        for key, item in value.items():
            if not isinstance(item, Variant):
                raise TypeError
            buffer += PADDING[-len(buffer) & 7]
            if len(key) <= _LONGEST_CACHED:
                buffer += _entry_head(key, item.signature)
            else:
                self.write_string(key, None)
                buffer += checked_signature(item.signature)
            type_ = item.type
            _WRITERS[type_.token](self, item.value, type_)
        self.depth -= 1

    def write_written(self, value: Written) -> None:
        outside = 2  # of its levels are entered already: the array and the entry
        if self.depth - outside + value.depth > MAX_DEPTH:
            raise Unsendable("the message nests too deeply")
        if len(self.buffer) + len(value.entries) > MAX_MESSAGE_BYTES:
            raise too_large(len(self.buffer) + len(value.entries))
        self.buffer += value.entries


def write_variant(buffer: bytearray, value: Variant) -> None:
    """At the end of `buffer`. Raises as encode does, or one of the errors of the content."""
    encoder = _Encoder(0)
    encoder.buffer = buffer
    encoder.write_variant(value)


@lru_cache(1024)
def _entry_head(key: str, signature: str) -> bytes:
    data = key.encode()
    if b"\0" in data:
        raise Unsendable("the message holds U+0000")
    return _U32(len(data)) + data + b"\0" + checked_signature(signature)


_WRITERS: dict[str, Callable[[_Encoder, Any, Any], None]] = {
    "y": lambda encoder, value, _type: encoder.buffer.append(value),
    "b": _Encoder.write_boolean,
    "s": _Encoder.write_string,
    "o": _Encoder.write_path,
    "g": _Encoder.write_signature,
    "h": _Encoder.write_descriptor,
    "v": _Encoder.write_variant,
    "a": _Encoder.write_array,
    "(": _Encoder.write_struct,
    **dict.fromkeys(_NUMBERS, _Encoder.write_number),
}
_NUMBERS["h"] = _NUMBERS["u"]
