"""Bars of block characters, for a terminal that has them."""

from __future__ import annotations

import sys

_EIGHTHS = "▏▎▍▌▋▊▉█"


def bar(fraction: float, width: int) -> str:
    """`fraction` of `width` characters, to an eighth; something of it shows unless it is nothing."""
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    if fraction > 0:
        eighths = max(eighths, 1)
    if not _has_blocks():
        return "#" * -(-eighths // 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest - 1] if rest else "")


def gauge(fraction: float, width: int) -> str:
    """A bar in its frame, of always the same width."""
    empty = "░" if _has_blocks() else "."
    return bar(fraction, width).ljust(width, empty)


def _has_blocks() -> bool:
    try:
        f"{_EIGHTHS}░".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
