"""What the formats share: line ends, indentation, and cutting a text."""

from __future__ import annotations

import re

_INDENT = re.compile(r"[ \t]*")


def line_end(text: str) -> str:
    """That of the first line."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def spliced(text: str, start: int, end: int, instead: str) -> str:
    return f"{text[:start]}{instead}{text[end:]}"


def line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def next_line(text: str, position: int) -> int:
    """Where the line after that of `position` begins, or the text's end."""
    found = text.find("\n", position)
    return len(text) if found < 0 else found + 1


def indent_at(text: str, position: int) -> str:
    """The blanks that the line of `position` begins with."""
    found = _INDENT.match(text, line_start(text, position))
    return found[0] if found else ""


def line_number(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def appended(text: str, block: str) -> str:
    """`text` with the lines of `block` at its end, which stays as it was: with or without an end of line."""
    end = line_end(text)
    lines = block.replace("\n", end)
    if not text or text.endswith("\n"):
        return f"{text}{lines}{end}"
    return f"{text}{end}{lines}"
