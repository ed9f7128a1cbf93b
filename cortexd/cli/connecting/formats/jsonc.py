"""JSON as people write it into settings: with comments and commas at the end, which some programs allow."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from cortexd.cli.connecting.formats.text import indent_at, line_end, line_number, line_start, spliced
from cortexd.cli.connecting.places import CannotEdit, Entry, Place, Step, Unreadable, named, nested

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+|//[^\r\n]*|/\*.*?\*/)|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<mark>[{}\[\]:,])"""
    r"""|(?P<word>[^\s{}\[\]:,"/]+)""",
    re.DOTALL,
)
_REST_OF_LINE = re.compile(r"[ \t]*(?:/\*[^\n]*?\*/[ \t]*)*(?://[^\r\n]*)?(?=\r?\n|\Z)")
_CLOSING = {"{": "}", "[": "]"}
_STEP = "  "


@dataclass(slots=True)
class _Node:
    """A value from `start` to `end`. `parts`: an object's by key, a list's by number; `commas`: what follows each."""

    start: int
    end: int = 0
    parts: list[tuple[str, int, _Node]] = field(default_factory=list)
    commas: list[int] = field(default_factory=list)  # -1 for none

    @property
    def after(self) -> list[int]:
        """Where each part ends, its comma with it."""
        return [comma + 1 or part.end for (_, _, part), comma in zip(self.parts, self.commas, strict=True)]


def parse(text: str) -> Any:
    """None for a text that says nothing. Raises Unreadable."""
    plain = _plain(text)
    if not plain.strip():
        return None
    try:
        return json.loads(plain)
    except json.JSONDecodeError as error:
        raise Unreadable(error.lineno, error.msg) from None
    except RecursionError:
        raise Unreadable(0, "it is nested too deeply") from None


def put(text: str, place: Place, value: Any) -> str:
    """`text` with `value` there. Raises CannotEdit."""
    if not _plain(text).strip():
        shown = json.dumps(nested(place, value), indent=_STEP, ensure_ascii=False).replace("\n", line_end(text))
        return f"{text}{shown}{line_end(text)}"
    node, depth = _find(text, place)
    if depth == len(place):
        return spliced(text, node.start, node.end, _shown(text, value, node.start))
    return _inserted(text, node, place[depth], nested(place[depth + 1 :], value))


def take(text: str, place: Place) -> str:
    """`text` without what is there. Raises CannotEdit."""
    parent, depth = _find(text, place[:-1])
    index = next((number for number in range(len(parent.parts)) if _is(text, parent, number, place[-1])), -1)
    if depth < len(place) - 1 or index < 0:
        raise CannotEdit(named(place))
    before = parent.after[index - 1] if index else parent.start + 1
    start = max(before, _gap_before(text, parent.parts[index][1]))
    shorter = spliced(text, start, parent.after[index], "")
    if 0 < index == len(parent.parts) - 1 and parent.commas[index] < 0:
        comma = parent.commas[index - 1]
        return spliced(shorter, comma, comma + 1, "")
    return shorter


def _find(text: str, place: Place) -> tuple[_Node, int]:
    """The innermost value on the way to `place`, and how many steps lead to it."""
    node, depth = _tree(text), 0
    for step in place:
        below = [part for number, (_, _, part) in enumerate(node.parts) if _is(text, node, number, step)]
        if not below:
            break
        node, depth = below[-1], depth + 1
    return node, depth


def _is(text: str, node: _Node, number: int, step: Step) -> bool:
    key, _, part = node.parts[number]
    if isinstance(step, Entry):
        return text[node.start] == "[" and step.is_in(parse(text[part.start : part.end]))
    return text[node.start] == "{" and key == step


def _inserted(text: str, node: _Node, step: Step, value: Any) -> str:
    """`value` as the last part of `node`, in the way the others stand."""
    opening = "[" if isinstance(step, Entry) else "{"
    if text[node.start] != opening:
        raise CannotEdit(str(step))
    end = line_end(text)
    if not node.parts:
        outer = indent_at(text, node.start)
        inner = outer + _unit(text)
        closing = "" if "\n" in text[node.start : node.end] else f"{end}{outer}"
        return spliced(text, node.start + 1, node.start + 1, f"{end}{inner}{_part(text, step, value, inner)}{closing}")
    first = node.parts[0][1]
    own_line = not text[line_start(text, first) : first].strip()
    inner = indent_at(text, first) if own_line else ""
    gap = f"{end}{inner}" if own_line else " "
    part = f"{gap}{_part(text, step, value, inner if own_line else None)}"
    trailing = node.commas[-1] >= 0
    position = _end_of_line(text, node.after[-1]) if own_line else node.after[-1]
    longer = spliced(text, position, position, f"{part}," if trailing else part)
    last = node.parts[-1][2].end
    return longer if trailing else spliced(longer, last, last, ",")


def _part(text: str, step: Step, value: Any, indent: str | None) -> str:
    shown = json.dumps(value, indent=None if indent is None else _unit(text), ensure_ascii=False)
    shown = shown.replace("\n", f"{line_end(text)}{indent}")
    return shown if isinstance(step, Entry) else f"{json.dumps(step)}: {shown}"


def _shown(text: str, value: Any, position: int) -> str:
    shown = json.dumps(value, indent=_unit(text), ensure_ascii=False)
    return shown.replace("\n", f"{line_end(text)}{indent_at(text, position)}")


def _unit(text: str) -> str:
    """What one level is indented by: as the first part of the whole."""
    root = _tree(text)
    if not root.parts:
        return _STEP
    first = root.parts[0][1]
    begun = text[line_start(text, first) : first]
    return begun if begun and not begun.strip() else _STEP


def _gap_before(text: str, position: int) -> int:
    """Where the blanks before `position` begin, with the end of the line before where they are all of this one."""
    start = line_start(text, position)
    if text[start:position].strip():
        return len(text[:position].rstrip(" \t"))
    return start - len(line_end(text)) if start else start


def _end_of_line(text: str, position: int) -> int:
    """Behind a comment that ends the line; `position` where something else follows."""
    found = _REST_OF_LINE.match(text, position)
    return found.end() if found else position


def _plain(text: str) -> str:
    """As JSON has it, with every character where it was. Raises Unreadable."""
    out, comma = list(text), -1
    for kind, start, end in _tokens(text):
        if kind == "blank":
            if text[start] == "/":
                out[start:end] = [character if character == "\n" else " " for character in text[start:end]]
            continue
        if comma >= 0 and text[start] in "}]":
            out[comma] = " "
        comma = start if text[start] == "," else -1
    return "".join(out)


def _tokens(text: str) -> list[tuple[str, int, int]]:
    tokens, position = [], 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise Unreadable(line_number(text, position), "a string or a comment has no end")
        tokens.append((str(found.lastgroup), position, found.end()))
        position = found.end()
    return tokens


def _tree(text: str) -> _Node:
    """Of a text that `parse` has read."""
    root = _Node(0)
    open_nodes, key, key_start = [root], "", -1
    for kind, start, end in _tokens(text):
        mark, parent = text[start], open_nodes[-1]
        if kind == "blank" or mark == ":":
            continue
        if mark == ",":
            parent.commas[-1] = start
        elif mark in "}]":
            open_nodes.pop().end = end
        elif kind == "string" and parent is not root and text[parent.start] == "{" and key_start < 0:
            key, key_start = json.loads(text[start:end]), start
        else:
            node = _Node(start, end)
            parent.parts.append((key, start if key_start < 0 else key_start, node))
            parent.commas.append(-1)
            key, key_start = "", -1
            if mark in _CLOSING:
                open_nodes.append(node)
    return root.parts[0][2] if root.parts else root
