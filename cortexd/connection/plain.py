"""Plain values to a{sv}, in one pass: what replies and signals say is such a dictionary nearly always.

A dictionary is written once, wherever it stands and however often it is sent: entries begin at multiples of eight.
Text is made safe and numbers are clamped on the way, because one bad value costs the sender its connection.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dbus_next import Variant

from cortexd.connection.encode import PADDING, Written, write_variant
from cortexd.connection.signatures import checked_signature
from cortexd.domain.safe_values import INT64_MAX, safe_text

_LONGEST_KEPT = 64  # characters of a key
_MOST_KEPT = 512  # keys of one kind
_LEVELS = 3  # of containers in a{sv}, as encode counts them: array, entry, variant
_U32 = struct.Struct("<I").pack
_INTEGER = struct.Struct("<q").pack
_REAL = struct.Struct("<d").pack
_TRUTH = {False: _U32(0), True: _U32(1)}


class _Heads(dict[str, bytes]):
    """What stands in an entry before its value: key and signature, padded to where a value of that type begins."""

    def __init__(self, signature: str, alignment: int) -> None:
        self._signature = checked_signature(signature)
        self._alignment = alignment

    def __missing__(self, key: str) -> bytes:
        data = safe_text(key).encode()
        head = _U32(len(data)) + data + b"\0" + self._signature
        head += PADDING[-len(head) & (self._alignment - 1)]
        if len(key) <= _LONGEST_KEPT:
            if len(self) >= _MOST_KEPT:
                self.clear()
            self[key] = head
        return head


_TEXT_HEADS = _Heads("s", 4)
_TRUTH_HEADS = _Heads("b", 4)
_INTEGER_HEADS = _Heads("x", 8)
_REAL_HEADS = _Heads("d", 8)
_BYTES_HEADS = _Heads("ay", 4)
_TEXTS_HEADS = _Heads("as", 4)
_ROWS_HEADS = _Heads("aa{sv}", 4)
_DICTIONARY_HEADS = _Heads("a{sv}", 4)


class _Writer:
    __slots__ = ("buffer", "deepest", "depth")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.depth = self.deepest = 0

    def entries(self, values: Mapping[str, Any]) -> None:
        self.holds(_LEVELS)
        self.depth += _LEVELS
        buffer = self.buffer
        for key, value in values.items():
            if value is not None:
                buffer += PADDING[-len(buffer) & 7]
                _WRITERS[type(value)](self, buffer, key, value)
        self.depth -= _LEVELS

    def holds(self, levels: int) -> None:
        """So many containers more come here."""
        self.deepest = max(self.deepest, self.depth + levels)

    def text(self, buffer: bytearray, key: str, value: str) -> None:
        data = safe_text(value).encode()
        buffer += _TEXT_HEADS[key] + _U32(len(data))
        buffer += data
        buffer.append(0)

    def truth(self, buffer: bytearray, key: str, value: bool) -> None:
        buffer += _TRUTH_HEADS[key]
        buffer += _TRUTH[value]

    def integer(self, buffer: bytearray, key: str, value: int) -> None:
        buffer += _INTEGER_HEADS[key]
        buffer += _INTEGER(value if -INT64_MAX <= value <= INT64_MAX else INT64_MAX if value > 0 else -INT64_MAX)

    def real(self, buffer: bytearray, key: str, value: float) -> None:
        buffer += _REAL_HEADS[key]
        buffer += _REAL(finite(value))

    def octets(self, buffer: bytearray, key: str, value: bytes) -> None:
        self.holds(1)
        buffer += _BYTES_HEADS[key]
        buffer += _U32(len(value))
        buffer += value

    def texts(self, buffer: bytearray, key: str, value: tuple[str, ...]) -> None:
        self.holds(1)
        buffer += _TEXTS_HEADS[key]
        start = _begin(buffer)
        for item in value:
            data = safe_text(item).encode()
            buffer += PADDING[-len(buffer) & 3]
            buffer += _U32(len(data))
            buffer += data
            buffer.append(0)
        _end(buffer, start)

    def rows(self, buffer: bytearray, key: str, value: Sequence[Mapping[str, Any]]) -> None:
        buffer += _ROWS_HEADS[key]
        start = _begin(buffer)
        self.depth += 1
        for row in value:
            buffer += PADDING[-len(buffer) & 3]
            self.below(buffer, row)
        self.depth -= 1
        _end(buffer, start)

    def dictionary(self, buffer: bytearray, key: str, value: Mapping[str, Any]) -> None:
        buffer += _DICTIONARY_HEADS[key]
        self.below(buffer, value)

    def below(self, buffer: bytearray, values: Mapping[str, Any]) -> None:
        length_at = _begin(buffer)
        buffer += PADDING[-len(buffer) & 7]
        start = len(buffer)
        self.entries(values)
        struct.pack_into("<I", buffer, length_at - 4, len(buffer) - start)

    def variant(self, buffer: bytearray, key: str, value: Variant) -> None:
        self.holds(_LEVELS)
        data = safe_text(key).encode()
        buffer += _U32(len(data)) + data + b"\0"
        write_variant(buffer, value)


def _begin(buffer: bytearray) -> int:
    """Leave room for an array's length; where its items begin."""
    buffer += b"\0\0\0\0"
    return len(buffer)


def _end(buffer: bytearray, start: int) -> None:
    struct.pack_into("<I", buffer, start - 4, len(buffer) - start)


def finite(value: float) -> float:
    """NaN and infinities become 0, which no client chokes on."""
    return value if math.isfinite(value) else 0.0


def written(values: Mapping[str, Any]) -> Written:
    """`values` as a{sv}; None is left out. The types: str, bool, int, float, bytes, tuple (as), list (aa{sv}),
    dict (a{sv}), and a Variant of anything flat. Raises KeyError for any other."""
    writer = _Writer()
    writer.entries(values)
    return Written(bytes(writer.buffer), writer.deepest)


_WRITERS: dict[type, Callable[[_Writer, bytearray, str, Any], None]] = {
    str: _Writer.text,
    bool: _Writer.truth,
    int: _Writer.integer,
    float: _Writer.real,
    bytes: _Writer.octets,
    tuple: _Writer.texts,
    list: _Writer.rows,
    dict: _Writer.dictionary,
    Variant: _Writer.variant,
}
