"""Bytes to a Message. dbus-next's Unmarshaller with its slow parts replaced, reading from one whole frame.

The bus has checked every frame's form, so nothing is validated twice. What it does not bound is the
number of values in a message: 32 MiB can hold eight million variants, more than a gigabyte here.
What the D-Bus specification says to ignore is ignored: unknown message types, header fields and flags.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dbus_next import Message, MessageFlag, MessageType, Variant
from dbus_next._private.unmarshaller import Unmarshaller
from dbus_next.signature import SignatureTree

from cortexd.connection.errors import Malformed, TooManyValues
from cortexd.connection.making import received

FIXED_BYTES = 16  # the header up to and including the length of its array of fields
MAX_FRAME_BYTES = 128 * 2**20  # the specification's own limit
MAX_VALUES = 100_000
_LONG_TEXT = 64 * 1024
_TYPES = {kind.value: kind for kind in MessageType}
_FLAGS = tuple(MessageFlag(bits) for bits in range(8))
_FIELDS = {
    1: "path",
    2: "interface",
    3: "member",
    4: "error_name",
    5: "reply_serial",
    6: "destination",
    7: "sender",
    8: "signature",
}
_UNIX_FDS = 9
_ANSWERS = b"\5\1u\0"  # before the serial of the call that a reply answers; it differs each time, and stands first
_LONGEST_KEPT = 512  # bytes of a header's fields
_MOST_KEPT = 256  # headers
_U32 = {"l": struct.Struct("<I").unpack_from, "B": struct.Struct(">I").unpack_from}
_FORMS = {"n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I", "b": "I"}
_NUMBERS = {
    order: {token: struct.Struct(prefix + form) for token, form in _FORMS.items()}
    for order, prefix in (("l", "<"), ("B", ">"))
}


@dataclass(frozen=True, slots=True)
class Frame:
    """A message whose body is still bytes. `message.message_type` is None where the type is unknown."""

    message: Message
    fd_count: int
    data: bytes | bytearray
    body_at: int

    def read_body(self, max_values: int, *, unwrapped: bool = False) -> None:
        """Unpack the body into `message.body`; `unwrapped`: with what a variant holds in its place.

        Raises TooManyValues or Malformed.
        """
        if not self.message.signature:
            return
        try:
            reader = _Decoder(self.data, self.body_at, max_values, chr(self.data[0]), unwrapped=unwrapped)
            tree = reader.tree(self.message.signature)
            body = [reader.read_argument(type_) for type_ in tree.types]
        except (ValueError, LookupError, TypeError, RecursionError, struct.error) as error:
            raise Malformed(f"unreadable body: {type(error).__name__}") from None
        if reader.offset != len(self.data):
            raise Malformed("the body's length does not fit its signature")
        self.message.signature_tree, self.message.body = tree, body


def frame_length(buffer: bytearray, start: int) -> int | None:
    """The length of the frame that begins at `start`; None while too little of it is there. Raises Malformed."""
    if len(buffer) - start < FIXED_BYTES:
        return None
    order = chr(buffer[start])
    if order not in _U32 or buffer[start + 3] != 1:
        raise Malformed("not a D-Bus message")
    fields = _U32[order](buffer, start + 12)[0]
    length: int = FIXED_BYTES + fields + (-fields & 7) + _U32[order](buffer, start + 4)[0]
    if length > MAX_FRAME_BYTES:
        raise Malformed(f"a message of {length:,} bytes")
    return length


def read_header(data: bytes | bytearray) -> Frame:
    """Everything but the body. Raises Malformed."""
    try:
        return _read_header(data)
    except (ValueError, LookupError, TypeError, RecursionError, struct.error) as error:
        raise Malformed(f"unreadable header: {type(error).__name__}") from None


def _read_header(data: bytes | bytearray) -> Frame:
    order = chr(data[0])
    end = FIXED_BYTES + _U32[order](data, 12)[0]
    if len(data) < end:
        raise ValueError
    kind = _TYPES.get(data[1])
    fields = bytes(memoryview(data)[FIXED_BYTES:end])
    answers = None
    if fields.startswith(_ANSWERS):
        answers, fields = _U32[order](fields, 4)[0], fields[8:]
    # what is left is the same, byte for byte, in all calls of one method by a caller, and in all answers to them
    alike = (answers or kind in (MessageType.METHOD_CALL, MessageType.SIGNAL)) and len(fields) <= _LONGEST_KEPT
    known, fd_count = (_kept_fields if alike else _fields)(fields, order)
    message = received(kind, _FLAGS[data[2] & 7], _U32[order](data, 8)[0], known)
    if answers is not None:
        message.reply_serial = answers
    return Frame(message, fd_count, data, end + (-end & 7))


def _fields(fields: bytes, order: str) -> tuple[dict[str, Any], int]:
    """The fields of a header by their names in a Message, and how many descriptors come along."""
    reader = _Decoder(fields, 0, MAX_VALUES, order)
    known: dict[str, Any] = {}
    fd_count = 0
    while reader.offset < len(fields):
        reader.offset += -reader.offset & 7
        code = reader.read_byte()
        value = reader.read_value()
        if code in _FIELDS:
            known[_FIELDS[code]] = value
        elif code == _UNIX_FDS:
            fd_count = value
    if reader.offset != len(fields):
        raise ValueError
    return known, fd_count


_kept_fields = lru_cache(_MOST_KEPT)(_fields)


class _Decoder(Unmarshaller):  # type: ignore[misc]  # dbus-next has no types
    def __init__(
        self, data: bytes | bytearray, offset: int, max_values: int, order: str = "l", *, unwrapped: bool = False
    ) -> None:
        self.buf = data
        self.offset = offset
        self.values_left = max_values
        self.unpack_u32 = _U32[order]
        self.numbers = _NUMBERS[order]
        self.readers = _UNWRAPPED if unwrapped else _READERS

    def charge(self, values: int) -> None:
        self.values_left -= values
        if self.values_left < 0:
            raise TooManyValues("the message holds too many values")

    def tree(self, signature: str) -> SignatureTree:
        """The parsed signature. A new one is charged by its length: parsed, it weighs as much as its values."""
        if signature not in SignatureTree._cache:
            self.charge(len(signature))
        return SignatureTree._get(signature)

    def read(self, size: int) -> int:
        start = self.offset
        self.offset += size
        return start

    def read_argument(self, type_: Any) -> Any:
        return self.readers[type_.token](self, type_)

    def read_byte(self, _type: Any = None) -> int:
        self.offset += 1
        return self.buf[self.offset - 1]

    def read_uint32(self, _type: Any = None) -> int:
        start = (self.offset + 3) & -4
        self.offset = start + 4
        value: int = self.unpack_u32(self.buf, start)[0]
        return value

    def read_number(self, type_: Any) -> Any:
        number = self.numbers[type_.token]
        start = self.offset + (-self.offset & (number.size - 1))
        self.offset = start + number.size
        return number.unpack_from(self.buf, start)[0]

    def read_string(self, _type: Any = None) -> str:
        at = (self.offset + 3) & -4
        start = at + 4
        end = start + self.unpack_u32(self.buf, at)[0]
        self.offset = end + 1
        if end - start > _LONG_TEXT:
            return str(memoryview(self.buf)[start:end], "utf-8")  # without a copy of the bytes
        text: str = self.buf[start:end].decode()
        return text

    def read_signature(self, _type: Any = None) -> str:
        start = self.offset + 1
        end = start + self.buf[start - 1]
        self.offset = end + 1
        return self.buf[start:end].decode("ascii")

    def read_type(self) -> Any:
        """The one type that a variant's signature names."""
        buf, at = self.buf, self.offset
        if buf[at] == 1 and (type_ := _BASIC.get(buf[at + 1])):
            self.offset = at + 3
            return type_
        return self.tree(self.read_signature()).types[0]

    def read_variant(self, _type: Any = None) -> Variant:
        self.charge(1)
        type_ = self.read_type()
        variant = Variant.__new__(Variant)  # the constructor would verify what the bus has verified
        variant.type = type_
        variant.signature = type_.signature
        variant.value = self.readers[type_.token](self, type_)
        return variant

    def read_value(self, _type: Any = None) -> Any:
        """What a variant holds."""
        self.charge(1)
        type_ = self.read_type()
        return self.readers[type_.token](self, type_)

    def read_struct(self, type_: Any) -> list[Any]:
        self.charge(len(type_.children))
        self.offset += -self.offset & 7
        return [self.readers[child.token](self, child) for child in type_.children]

    def read_array(self, type_: Any) -> Any:
        length = self.read_uint32()
        child = type_.children[0]
        kind = child.token
        if kind in "xtd({":
            self.offset += -self.offset & 7
        end = self.offset + length
        if kind == "{":
            return self.read_entries(child, end)
        if kind == "y":
            return bytes(memoryview(self.buf)[self.read(length) : end])
        if kind in self.numbers:
            return self.read_numbers(kind, length)
        items = []
        read = self.readers[kind]
        while self.offset < end:
            self.charge(1)
            items.append(read(self, child))
        return items

    def read_numbers(self, kind: str, length: int) -> list[Any]:
        number = self.numbers[kind]
        count = length // number.size
        self.charge(count)
        values = struct.unpack_from(f"{number.format[0]}{count}{number.format[1]}", self.buf, self.read(length))
        return [bool(value) for value in values] if kind == "b" else list(values)

    def read_entries(self, type_: Any, end: int) -> dict[Any, Any]:
        key_type, value_type = type_.children
        read_key, read_value = self.readers[key_type.token], self.readers[value_type.token]
        entries = {}
        while self.offset < end:
            self.charge(1)
            self.offset += -self.offset & 7
            key = read_key(self, key_type)
            entries[key] = read_value(self, value_type)
        return entries


_READERS: dict[str, Callable[[_Decoder, Any], Any]] = {
    **dict.fromkeys(_FORMS, _Decoder.read_number),
    "y": _Decoder.read_byte,
    "b": lambda reader, _type: bool(reader.read_uint32()),
    "u": _Decoder.read_uint32,
    "h": _Decoder.read_uint32,
    "s": _Decoder.read_string,
    "o": _Decoder.read_string,
    "g": _Decoder.read_signature,
    "v": _Decoder.read_variant,
    "a": _Decoder.read_array,
    "(": _Decoder.read_struct,
}
_UNWRAPPED = {**_READERS, "v": _Decoder.read_value}
_BASIC = {ord(code): SignatureTree(code).types[0] for code in "ybnqiuxtdsogh"}
