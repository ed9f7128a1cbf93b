"""Between the bus and the domain: variants <-> plain values, errors <-> names. The one gate, for both ends.

Outgoing text is made safe and numbers are clamped here, because one bad string costs the sender its connection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from sys import getsizeof
from typing import Any

from dbus_next import Variant
from dbus_next.signature import SignatureTree, SignatureType

from cortexd import errors
from cortexd.domain.safe_values import INT64_MAX, safe_text
from cortexd.errors import CortexError

BUS_NAME = "org.cortexlinux.LLMRouter"
OBJECT_PATH = "/org/cortexlinux/LLMRouter"
INTERFACE = BUS_NAME
USAGE_INTERFACE = f"{BUS_NAME}.Usage"
MANAGER_INTERFACE = f"{BUS_NAME}.Manager"

_OURS = f"{BUS_NAME}.Error."
_STANDARD = "org.freedesktop.DBus.Error."
_MAX_DEPTH = 64
_MAX_ERROR_TEXT = 8192
_UINT64_MAX = 2**64 - 1
_VARIANT_BYTES = 160  # the object and its dictionary

# both directions; AccessDenied and its kin go by the names that every D-Bus program knows
_STANDARD_NAMES: dict[type[CortexError], str] = {
    errors.AccessDenied: f"{_STANDARD}AccessDenied",
    errors.InteractiveAuthorizationRequired: f"{_STANDARD}InteractiveAuthorizationRequired",
    errors.ServiceUnavailable: f"{_STANDARD}ServiceUnknown",
}
_NAMES: dict[type[CortexError], str] = {
    kind: _STANDARD_NAMES.get(kind, f"{_OURS}{kind.__name__}")
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, CortexError) and kind is not CortexError
}
_KINDS = {name: kind for kind, name in _NAMES.items()}
_KINDS[f"{_STANDARD}NotSupported"] = errors.InvalidArgument  # a connection that takes no file descriptors
# what the bus itself says when nobody answers
_KINDS.update(
    dict.fromkeys(
        (f"{_STANDARD}NameHasNoOwner", f"{_STANDARD}NoReply", f"{_STANDARD}Disconnected"), errors.ServiceUnavailable
    )
)


def error_name(error: CortexError) -> str:
    """The D-Bus name of an error."""
    return _NAMES[type(error)]


def error_text(error: CortexError) -> str:
    """The one string of an error reply, bounded and safe for the bus. Its details are kept whole."""
    room = max(0, _MAX_ERROR_TEXT - len(error.brackets))
    return safe_text(f"{error.message[:room]}{error.brackets}")[:_MAX_ERROR_TEXT]


def error_from(name: str, text: str) -> CortexError:
    """The error that a reply stands for; a name that we do not know becomes ServiceUnavailable or Internal."""
    kind = _KINDS.get(name)
    if kind is not None:
        return kind.from_text(text)
    if name.startswith(f"{_STANDARD}Spawn."):
        return errors.ServiceUnavailable(text)
    return errors.Internal(f"{name}: {text}")


def decode(value: Any, depth: int = 0) -> Any:
    """A D-Bus value with every variant unwrapped. Raises InvalidArgument where it is nested too deeply."""
    if depth > _MAX_DEPTH:
        raise errors.InvalidArgument(f"expected values nested at most {_MAX_DEPTH} deep")
    if isinstance(value, Variant):
        return decode(value.value, depth + 1)
    if isinstance(value, dict):
        return {key: decode(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item, depth + 1) for item in value]
    return value


def weight(body: list[Any]) -> int:
    """Bytes of memory that the values of a message take, roughly: text with one character beyond U+FFFF takes four
    for each."""
    total, left = 0, list(body)
    while left:
        value = left.pop()
        if isinstance(value, Variant):
            value, total = value.value, total + _VARIANT_BYTES
        total += getsizeof(value)
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value
            left += value.values()
    return total


def dictionary(values: Mapping[str, Any]) -> dict[str, Variant]:
    """`values` as a{sv}; None values are left out. A list is aa{sv}, a tuple is as, a dictionary is a{sv}."""
    return {safe_text(key): variant(value) for key, value in values.items() if value is not None}


def dictionaries(rows: list[Mapping[str, Any]]) -> list[dict[str, Variant]]:
    """`rows` as aa{sv}."""
    return [dictionary(row) for row in rows]


def variant(value: Any) -> Variant:
    """One plain value as a variant: s, b, x, d, ay, as (tuple), aa{sv} (list) or a{sv}."""
    signature, type_, convert = _ENCODERS[type(value)]
    made = Variant.__new__(Variant)  # its constructor would check once more, item by item, what has just been made
    made.signature, made.type, made.value = signature, type_, convert(value)
    return made


def string(value: str) -> str:
    """A string argument, safe for the bus."""
    return safe_text(value)


def unsigned(value: int) -> int:
    """An integer argument of type t, clamped."""
    return min(max(value, 0), _UINT64_MAX)


def real(value: float) -> float:
    """A double argument: NaN and infinities become 0, which no client chokes on."""
    return value if math.isfinite(value) else 0.0


def _integer(value: int) -> int:
    return min(max(value, -INT64_MAX), INT64_MAX)


_ENCODERS: dict[type, tuple[str, SignatureType, Callable[[Any], Any]]] = {
    kind: (signature, SignatureTree(signature).types[0], convert)
    for kind, signature, convert in (
        (str, "s", safe_text),
        (bool, "b", bool),
        (int, "x", _integer),
        (float, "d", real),
        (bytes, "ay", bytes),
        (tuple, "as", lambda value: [safe_text(item) for item in value]),
        (list, "aa{sv}", dictionaries),
        (dict, "a{sv}", dictionary),
    )
}
