"""docs/api.md from the interface file, whose comments are the documentation. Standard library only.

A comment has a first line "Name:", then "@argument: text" entries, then paragraphs; lines that are indented deeper than
their paragraph are a table and stay as they are.
"""

from __future__ import annotations

import re
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
XML = ROOT / "dbus/org.cortexlinux.LLMRouter.xml"
REFERENCE = ROOT / "docs/api.md"

_ACTION = "org.cortexlinux.LLMRouter.Action"
_EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"
_ARGUMENT = re.compile(r"@(\w+): (.*)")
_ENTRY = re.compile(r"[a-z_]+(, [a-z_]+)* \([^)]*\): ")  # a key of a dictionary, at the start of a line
_NAME = re.compile(  # bus names; settings, and words with an underscore; keys with their type behind them
    r"""(?<!["\w.])(?:org\.[\w.-]*\w|(?:[A-Z_]+|[a-z]+)(?:[._][A-Za-z_]+)+"""
    r"""|[a-z_]+(?=(?:, [a-z_]+)* \([a-z{}]{1,6}[,):]))"""
)
_HEAD = """\
# API reference

Made by `script/api-reference` from [the interface file](../dbus/org.cortexlinux.LLMRouter.xml): change its comments,
not this page. How to use it: [bus.md](bus.md), with whole programs: [developers.md](developers.md). Errors:
[errors.md](errors.md).
"""


@dataclass(frozen=True, slots=True)
class Comment:
    """`arguments`: name to its lines; `text`: the paragraphs, dedented."""

    arguments: dict[str, list[str]]
    text: str


def reference(xml: str) -> str:
    """The whole page."""
    root = ET.fromstring(xml, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))  # noqa: S314 - our own file
    parts = [_HEAD, _paragraphs(_preamble(xml)), *_contents(root)]
    for comment, interface in _documented(root, "interface"):
        parts += _interface(interface, comment)
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _preamble(xml: str) -> str:
    """The comment before the root, which the parser drops."""
    before = xml.partition("\n<node")[0].partition("<!--\n")[2].partition("-->")[0]
    return textwrap.dedent(before).replace("This file", "The interface file")


def _documented(parent: ET.Element, tag: str) -> Iterator[tuple[Comment, ET.Element]]:
    """Each child of that kind, with the comment before it."""
    before = ""
    for child in parent:
        if callable(child.tag):  # a comment
            before = child.text or ""
        elif child.tag == tag:
            yield _read_comment(before), child


def _read_comment(comment: str) -> Comment:
    lines = _dedent(comment).splitlines()
    lines[0] = lines[0].partition(":")[2].strip()  # the name
    arguments: dict[str, list[str]] = {}
    while len(lines) > 1 and (found := _ARGUMENT.match(lines[1])):
        own = arguments[found[1]] = [found[2]]
        del lines[1]
        while len(lines) > 1 and lines[1].startswith(" "):
            own.append(lines.pop(1).strip())
    return Comment(arguments, "\n".join(lines).strip("\n"))


def _dedent(comment: str) -> str:
    """A comment of one line has its text beside the brackets."""
    first, _, rest = comment.strip("\n ").partition("\n")
    return f"{first}\n{textwrap.dedent(rest)}"


def _contents(root: ET.Element) -> Iterator[str]:
    for _, interface in _documented(root, "interface"):
        members = [child.attrib["name"] for child in interface if child.tag in ("method", "signal")]
        properties = ["Properties"] if interface.find("property") is not None else []
        links = " · ".join(f"[{name}](#{name.lower()})" for name in members + properties)
        yield f"**{interface.attrib['name']}**: {links}"


def _interface(interface: ET.Element, comment: Comment) -> Iterator[str]:
    yield f"## {interface.attrib['name']}"
    yield " ".join(comment.arguments.get("short_description", [])) + "."
    yield _paragraphs(comment.text)
    for own, method in _documented(interface, "method"):
        yield from _method(method, own)
    for own, signal in _documented(interface, "signal"):
        yield from _signal(signal, own)
    if rows := [_property(item, own) for own, item in _documented(interface, "property")]:
        yield "### Properties"
        yield "\n".join(["| property | type | changes are signalled | |", "|---|---|---|---|", *rows])


def _method(method: ET.Element, comment: Comment) -> Iterator[str]:
    name, arguments = method.attrib["name"], method.findall("arg")
    taken = [arg for arg in arguments if arg.attrib["direction"] == "in"]
    given = [arg for arg in arguments if arg.attrib["direction"] == "out"]
    action = next(note.attrib["value"] for note in method.findall("annotation") if note.attrib["name"] == _ACTION)
    returns = f" → ({_signature(given)})" if given else ""
    yield f"### {name}"
    yield f"`{name}({_signature(taken)}){returns}`"
    yield "polkit action: " + (f"`{action}`" if action != "none" else "none needed")
    yield "\n".join(_argument(arg, comment, arg.attrib["direction"]) for arg in taken + given)
    yield _paragraphs(comment.text)


def _signal(signal: ET.Element, comment: Comment) -> Iterator[str]:
    name, arguments = signal.attrib["name"], signal.findall("arg")
    yield f"### {name}"
    yield f"signal `{name}({_signature(arguments)})`"
    yield "\n".join(_argument(arg, comment, "") for arg in arguments)
    yield _paragraphs(comment.text)


def _property(item: ET.Element, comment: Comment) -> str:
    notes = {note.attrib["name"]: note.attrib["value"] for note in item.findall("annotation")}
    changes = "constant" if notes.get(_EMITS) == "const" else "yes"
    return f"| `{item.attrib['name']}` | `{item.attrib['type']}` | {changes} | {_marked(_flowing(comment.text))} |"


def _signature(arguments: list[ET.Element]) -> str:
    return ", ".join(f"{arg.attrib['type']} {arg.attrib['name']}" for arg in arguments)


def _argument(arg: ET.Element, comment: Comment, direction: str) -> str:
    """A list item; the keys of a dictionary are items of their own below it."""
    name = arg.attrib["name"]
    entries: list[str] = []
    for number, line in enumerate(comment.arguments[name]):
        if number and not _ENTRY.match(line):
            entries[-1] += f" {line}"
        else:
            entries.append(line)
    head = " ".join(part for part in (direction, f"`{name}` (`{arg.attrib['type']}`)") if part)
    if len(entries) == 1:
        return f"- {head}: {_marked(entries[0])}"
    return "\n".join([f"- {head}:", *(f"  - {_marked(entry)}" for entry in entries)])


def _paragraphs(text: str) -> str:
    """Paragraphs, and the tables in them as blocks of their own."""
    blocks: list[tuple[bool, list[str]]] = []
    for line in text.splitlines():
        table = line.startswith(" ")
        if not line.strip() or not blocks or blocks[-1][0] != table:
            blocks.append((table, []))
        if line.strip():
            blocks[-1][1].append(line)
    return "\n\n".join(_block(table, lines) for table, lines in blocks if lines)


def _block(table: bool, lines: list[str]) -> str:
    if table:
        return "```text\n" + textwrap.dedent("\n".join(lines)) + "\n```"
    return _marked("\n".join(lines))


def _flowing(text: str) -> str:
    return " ".join(text.split())


def _marked(text: str) -> str:
    """Names of keys, settings and actions in the type of code; documents as links."""
    text = re.sub(r"docs/(\w+\.md)", r"[\1](\1)", text)
    return _NAME.sub(lambda found: found[0] if found[0].endswith(".md") else f"`{found[0]}`", text)


def main() -> int:
    made = reference(XML.read_text("utf-8"))
    if "--check" in sys.argv[1:]:
        return 0 if REFERENCE.read_text("utf-8") == made else 1
    REFERENCE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
