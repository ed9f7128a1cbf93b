"""Values that came from a provider or a caller, made safe before they go on.

dbus-daemon disconnects a *service* that sends U+0000, lone surrogates cannot be encoded, and sd-bus
refuses noncharacters: each becomes U+FFFD. Numbers are clamped to what the bus and the ledger can hold.
"""

from __future__ import annotations

import json
import math
import re

REPLACEMENT = "\ufffd"
MAX_TOKENS = 2**40  # a token count beyond this is a lie
INT64_MAX = 2**63 - 1

_UNSAFE = re.compile(
    "[\x00\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
# in UTF-8: NUL, the two last bytes of each plane's noncharacters, the two first of U+FDD0 and its neighbours
_MARKS = (b"\0", b"\xbf\xbe", b"\xbf\xbf", b"\xef\xb7")


def safe_text(text: str) -> str:
    """`text` with everything that a bus or a database refuses replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSAFE.sub(REPLACEMENT, text) if _may_be_unsafe(text) else text


def _may_be_unsafe(text: str) -> bool:
    """A quick look: the pattern takes a second for ten megabytes."""
    try:
        told = text.encode()
    except UnicodeEncodeError:
        return True
    return any(mark in told for mark in _MARKS)


def escaped_unsafe(json_text: str) -> str:
    """JSON that means the same, without the characters that a bus refuses: they can only stand in its strings."""
    return json_text if json_text.isascii() else _UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], json_text)


def bounded_text(value: object, limit: int) -> str:
    """Any value as safe text of at most `limit` characters, marked where it was cut."""
    text = safe_text(value if isinstance(value, str) else str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def token_count(value: object) -> int:
    """A provider's token count as an integer in 0..2^40; anything that is no number counts as 0."""
    if type(value) is int:  # as nearly all are, and this is asked five times for each
        return min(max(value, 0), MAX_TOKENS)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    if isinstance(value, float):
        if not math.isfinite(value):
            return 0
        value = int(value)
    return min(max(value, 0), MAX_TOKENS)
