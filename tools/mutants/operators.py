"""The mutants of a module: mutmut's operators on everything inside its functions.

Left out: annotations, decorators, logging, texts for people (their wording is nobody's promise), what mutmut leaves out
too (`len`, `isinstance`). Not reached: tables and constants at the top of a module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

_UNTOUCHED_CALLS = frozenset({"len", "isinstance", "cast", "_log"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """`function`: its qualified name. `first`, `last`: lines of what is changed; `body`: of the whole function."""

    module: str
    function: str
    first: int
    last: int
    body: tuple[int, int]
    in_signature: bool
    before: cst.CSTNode
    after: cst.CSTNode


class Source:
    """A module's file and its mutants."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.text = Path(path).read_text("utf-8")
        wrapper = MetadataWrapper(cst.parse_module(self.text))
        self._tree = wrapper.module
        walk = _Walk(path, wrapper.resolve(PositionProvider))
        self._tree.visit(walk)
        self.mutants = walk.found

    def mutated(self, mutant: Mutant) -> str:
        """The whole module's text with that change."""
        text: str = self._tree.deep_replace(mutant.before, mutant.after).code
        return text

    def diff(self, mutant: Mutant) -> str:
        """The changed lines, with no context."""
        lines = unified_diff(self.text.splitlines(), self.mutated(mutant).splitlines(), lineterm="", n=0)
        return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))

    def key(self, mutant: Mutant, diff: str, number: int) -> str:
        """Stays the same while the function does; `number` tells equal changes of one function apart."""
        first, last = mutant.body
        body = "\n".join(self.text.splitlines()[first - 1 : last])
        return hashlib.sha256(repr((self.path, mutant.function, body, diff, number)).encode()).hexdigest()[:16]


class _Walk(cst.CSTVisitor):  # type: ignore[misc]  # libcst stands in no environment of ours
    def __init__(self, path: str, positions: object) -> None:
        self._path = path
        self._positions: dict[cst.CSTNode, CodeRange] = dict(positions)  # type: ignore[call-overload]
        self._names: list[str] = []
        self._functions: list[cst.FunctionDef] = []
        self._in_signature = False
        self.found: list[Mutant] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator) or _is_untouched_call(node) or _is_text(node):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.append(node.name.value)
        if isinstance(node, cst.FunctionDef):
            self._functions.append(node)
        if self._functions:
            self._in_signature |= node is self._functions[0].params
            self._note(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._functions and original_node is self._functions[0].params:
            self._in_signature = False
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._names.pop()
        if isinstance(original_node, cst.FunctionDef):
            self._functions.pop()

    def _note(self, node: cst.CSTNode) -> None:
        outer = self._functions[0]
        name = ".".join(self._names[: len(self._names) - len(self._functions) + 1])
        at, body = self._positions.get(node), self._positions[outer]
        first, last = (at.start.line, at.end.line) if at else (body.start.line, body.end.line)
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for after in operator(node):
                    if not _is_prose_change(node, after):
                        place = (body.start.line, body.end.line)
                        self.found.append(Mutant(self._path, name, first, last, place, self._in_signature, node, after))


def _is_untouched_call(node: cst.CSTNode) -> bool:
    if not isinstance(node, cst.Call):
        return False
    called = node.func.value if isinstance(node.func, cst.Attribute) else node.func
    return isinstance(called, cst.Name) and called.value in _UNTOUCHED_CALLS


def _is_text(node: cst.CSTNode | None) -> bool:
    """Whether it is a text for people: it has a blank between words. Docstrings are such texts."""
    if isinstance(node, cst.SimpleString):
        return " " in node.raw_value.strip()
    if isinstance(node, cst.FormattedString):
        return any(isinstance(part, cst.FormattedStringText) and " " in part.value.strip() for part in node.parts)
    return isinstance(node, cst.ConcatenatedString)


def _is_prose_change(before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Whether an argument that was taken away is such a text."""
    if not (isinstance(before, cst.Call) and isinstance(after, cst.Call)):
        return False
    kept = {id(argument) for argument in after.args}
    return any(id(argument) not in kept and _is_text(argument.value) for argument in before.args)


def numbered(source: Source) -> Iterator[tuple[str, Mutant, str]]:
    """Key, mutant and diff of each, without those that change nothing."""
    seen: dict[tuple[str, str], int] = {}
    for mutant in source.mutants:
        diff = source.diff(mutant)
        if diff:
            number = seen[mutant.function, diff] = seen.get((mutant.function, diff), -1) + 1
            yield source.key(mutant, diff, number), mutant, diff
