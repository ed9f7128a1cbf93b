"""Between the domain and the bus: plain values to what travels, errors <-> names. The one gate, for both ends.

Outgoing text is made safe and numbers are clamped here, because one bad string costs the sender its connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import getsizeof
from typing import Any

from cortexd import errors
from cortexd.connection.encode import Written
from cortexd.connection.plain import written
from cortexd.domain.safe_values import safe_text
from cortexd.errors import CortexError

BUS_NAME = "org.cortexlinux.LLMRouter"
OBJECT_PATH = "/org/cortexlinux/LLMRouter"
INTERFACE = BUS_NAME
USAGE_INTERFACE = f"{BUS_NAME}.Usage"
MANAGER_INTERFACE = f"{BUS_NAME}.Manager"

_OURS = f"{BUS_NAME}.Error."
_STANDARD = "org.freedesktop.DBus.Error."
_MAX_ERROR_TEXT = 8192
_UINT64_MAX = 2**64 - 1

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


def weight(body: list[Any]) -> int:
    """Bytes of memory that the values of a message take, roughly: text with one character beyond U+FFFF takes four
    for each."""
    total, level = 0, body
    while level:
        total += sum(map(getsizeof, level))
        inner: list[Any] = []
        for value in level:
            if isinstance(value, list):
                inner += value
            elif isinstance(value, dict):
                inner += value
                inner += value.values()
        level = inner
    return total


def dictionary(values: Mapping[str, Any]) -> Written:
    """`values` as a{sv}; None values are left out. A list is aa{sv}, a tuple is as, a dictionary is a{sv}."""
    return written(values)


def dictionaries(rows: Iterable[Mapping[str, Any]]) -> list[Written]:
    """`rows` as aa{sv}."""
    return [written(row) for row in rows]


def string(value: str) -> str:
    """A string argument, safe for the bus."""
    return safe_text(value)


def unsigned(value: int) -> int:
    """An integer argument of type t, clamped."""
    return min(max(value, 0), _UINT64_MAX)
