"""YAML: new keys and entries go to the end of what they belong to, in block style."""

from __future__ import annotations

from typing import Any

from cortexd.cli.connecting.formats.text import appended, line_end, line_number, line_start, next_line, spliced
from cortexd.cli.connecting.places import CannotEdit, Entry, Place, Step, Unreadable, named, nested

_WIDE = 1_000_000  # no value is broken over lines


def parse(text: str) -> Any:
    """None for a text that says nothing. Raises Unreadable."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 0, error.problem or error.context or "it is no YAML") from None
    except yaml.reader.ReaderError as error:
        raise Unreadable(line_number(text, error.position), error.reason) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Unreadable(0, "a value in it has no meaning") from None


def put(text: str, place: Place, value: Any) -> str:
    """`text` with `value` there. Raises CannotEdit."""
    root = _tree(text)
    if root is None:
        return appended(text, _dumped(nested(place, value)))
    node, depth = _find(root, place)
    if depth == len(place):
        return _replaced(text, node, value)
    return _inserted(text, root, node, nested(place[depth:], value))


def take(text: str, place: Place) -> str:
    """`text` without what is there. Raises CannotEdit."""
    root = _tree(text)
    parent, depth = (None, 0) if root is None else _find(root, place[:-1])
    found = None if depth < len(place) - 1 else _part(parent, place[-1])
    if parent is None or found is None or parent.flow_style:
        raise CannotEdit(named(place))
    first, last = found
    start, end = line_start(text, first.start_mark.index), next_line(text, _end(last))
    if end == len(text) and not text.endswith("\n"):
        start -= len(line_end(text))
    shorter = spliced(text, max(start, 0), end, "")
    if len(parent.value) > 1 or parent is root:
        return shorter
    behind = len(text[: parent.start_mark.index].rstrip())
    return spliced(shorter, behind, behind, " []" if isinstance(place[-1], Entry) else " {}")


def _tree(text: str) -> Any:
    import yaml

    return yaml.compose(text, Loader=yaml.SafeLoader)


def _find(node: Any, place: Place) -> tuple[Any, int]:
    """The innermost node on the way to `place`, and how many steps lead to it."""
    for depth, step in enumerate(place):
        found = _part(node, step)
        if found is None:
            return node, depth
        node = found[1]
    return node, len(place)


def _part(node: Any, step: Step) -> tuple[Any, Any] | None:
    """A key and its value, or an entry twice."""
    if isinstance(step, Entry):
        entries = node.value if node.id == "sequence" else ()
        return next(((item, item) for item in entries if _says(item, step)), None)
    pairs = node.value if node.id == "mapping" else ()
    return next(((key, value) for key, value in reversed(pairs) if key.value == step), None)


def _says(node: Any, step: Entry) -> bool:
    found = _part(node, step.key)
    return found is not None and found[1].value == step.value


def _end(node: Any) -> int:
    """Where its last character is: the mark of a block is where the next one begins."""
    if node.id == "scalar" or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if node.id == "mapping" else last)


def _replaced(text: str, node: Any, value: Any) -> str:
    if node.id != "scalar" or node.style in ("|", ">") or isinstance(value, dict | list):
        raise CannotEdit("a value that is no single word")
    return spliced(text, node.start_mark.index, node.end_mark.index, _scalar(value))


def _inserted(text: str, root: Any, node: Any, addition: Any) -> str:
    """`addition`, a map of one key or a list of one entry, behind the last of `node`."""
    wanted = "sequence" if isinstance(addition, list) else "mapping"
    if node is root and node.id == "scalar" and not node.value:
        return appended(text, _dumped(addition))
    if node.id == wanted and node.value and not node.flow_style:
        column = node.value[0][0].start_mark.column if wanted == "mapping" else node.start_mark.column
        return _behind(text, _end(node), _dumped(addition), column)
    empty = not node.value if node.id != "scalar" else node.value in ("", "~", "null")
    if node is root or not empty:
        raise CannotEdit("a list or a map in another style")
    start, end = node.start_mark.index, node.end_mark.index
    start = len(text[:start].rstrip())
    shorter = spliced(text, start, max(start, end), "")
    return _behind(shorter, start, _dumped(addition), _column_of_parent(text, start) + 2)


def _column_of_parent(text: str, position: int) -> int:
    line = text[line_start(text, position) : position]
    return len(line) - len(line.lstrip())


def _behind(text: str, position: int, block: str, column: int) -> str:
    """The lines of `block`, indented, after the line of `position`."""
    lines = "\n".join(" " * column + line for line in block.split("\n"))
    cut = next_line(text, position)
    if cut == len(text):
        return appended(text, lines)
    return f"{appended(text[:cut], lines)}{text[cut:]}"


def _dumped(value: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=_WIDE, default_flow_style=False)
    return text.removesuffix("\n")


def _scalar(value: Any) -> str:
    import yaml

    text: str = yaml.safe_dump([value], allow_unicode=True, width=_WIDE, default_flow_style=True)
    return text.strip()[1:-1]
