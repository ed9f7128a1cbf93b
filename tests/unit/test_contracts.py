"""Parts of cortexd tell each other things in types, keys and details: no sentence of ours is taken apart again."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortexd.cli.shown import failures

ROOT = Path(__file__).resolve().parents[2]
# the attributes and the kinds of names whose text is written for people
WORDS = {"message", "reason", "reasoning", "hint", "last_failure", "problem", "problems"}
ERRORS = {"error", "refusal", "failure", "cause", "caught", "exception"}
STRING_METHODS = {
    "count", "endswith", "find", "index", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex",
    "rpartition", "rsplit", "split", "splitlines", "startswith",
}  # fmt: skip
PATTERN_METHODS = {"findall", "finditer", "fullmatch", "match", "search", "split", "sub"}


def modules() -> list[Path]:
    return [*sorted((ROOT / "cortexd").rglob("*.py")), ROOT / "llm_router.py"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


class Reader(ast.NodeVisitor):
    """Finds where a module takes words apart, also through names and through functions of its own."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[int] = []
        self._functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self._named: set[tuple[str, str]] = set()  # function and name: it holds words
        self._where = ""
        before = -1
        while before != len(self._named):
            before, self.found = len(self._named), []
            self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outer, self._where = self._where, node.name
        self.generic_visit(node)
        self._where = outer

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if self._is_words(node.value):
            self._named.update((self._where, target.id) for target in node.targets if isinstance(target, ast.Name))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            apart = node.func.attr in STRING_METHODS and self._is_words(node.func.value)
            if apart or (node.func.attr in PATTERN_METHODS and any(map(self._is_words, node.args))):
                self.found.append(node.lineno)
        if isinstance(node.func, ast.Name) and node.func.id in self._functions:
            parameters = self._functions[node.func.id].args.args
            given = zip(parameters, node.args, strict=False)
            self._named.update((node.func.id, parameter.arg) for parameter, value in given if self._is_words(value))
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn) and self._is_words(right):
                self.found.append(node.lineno)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._is_words(node.value) and not isinstance(node.slice, ast.Slice):
            self.found.append(node.lineno)
        self.generic_visit(node)

    def _is_words(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Attribute):
            return node.attr in WORDS or (node.attr == "text" and self._is_error(node.value))
        if isinstance(node, ast.Name):
            return (self._where, node.id) in self._named
        if isinstance(node, ast.Call):
            return self._call_is_words(node)
        return isinstance(node, ast.JoinedStr) and any(
            isinstance(part, ast.FormattedValue) and self._is_error(part.value) for part in node.values
        )

    def _call_is_words(self, node: ast.Call) -> bool:
        """str(error), and words that were made lower, shorter and the like."""
        if isinstance(node.func, ast.Name):
            return node.func.id in ("str", "repr") and any(map(self._is_error, node.args))
        return isinstance(node.func, ast.Attribute) and self._is_words(node.func.value)

    def _is_error(self, node: ast.expr) -> bool:
        named = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        return named.rpartition("_")[2] in ERRORS


def taken_apart(source: str) -> list[int]:
    return Reader(ast.parse(source)).found


# The message of a ProviderError is the endpoint's own text: this reads that a server still loads its model. And libpq
# says in words alone why it could not connect.
READS_OTHERS = {"cortexd/providers/starting.py", "cortexd/ledger/engines/postgresql/errors.py"}


@pytest.mark.parametrize("path", [path for path in modules() if name_of(path) not in READS_OTHERS], ids=name_of)
class TestNoSentenceIsTakenApart:
    def test_module_reads_keys(self, path: Path) -> None:
        """What a part needs to know of another is a type, a key or a detail."""
        lines = taken_apart(path.read_text("utf-8"))
        assert not lines, f"{name_of(path)} takes words apart in the lines {lines}"


class TestTheRuleItself:
    @pytest.mark.parametrize(
        "source",
        [
            'name = error.message.partition(":")[0]',
            'if decision.reason.startswith("fallback from "): pass',
            'action = refusal.message.split(" ", 1)[0] if refusal.message else ""',
            'words = error.message.lower()\nwords.removeprefix("no provider answered. ")',
            "def f(error): return g(1, error.message)\ndef g(key, sentence): return re.search(key, sentence)",
            'gone = "no such" in str(error)',
            'gone = "no such" not in f"{self.error}"',
            "PATTERN.finditer(item.last_failure)",
            "first = caught.text.split()",
        ],
    )
    def test_is_broken_by(self, source: str) -> None:
        """The shapes that it is there for are found."""
        assert taken_apart(source)

    @pytest.mark.parametrize(
        "source",
        [
            'error.details.get("action", "this")',
            "words = error.message[:500]",
            'names.split(",")',
            'if error.failure in (Failure.TIMEOUT,): log("%s", error.message)',
        ],
    )
    def test_is_kept_by(self, source: str) -> None:
        """Keys, and words that are shown or cut to length."""
        assert not taken_apart(source)


def details_raised() -> Iterator[tuple[str, str]]:
    """Module and key of each detail that is written into an error."""
    from cortexd import errors

    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
                yield from ((name_of(path), word.arg) for word in node.keywords if word.arg)


class TestDetails:
    DOCUMENTED = (ROOT / "docs/errors.md").read_text("utf-8")

    def test_each_is_documented(self) -> None:
        """A program can look up every key that stands in the brackets."""
        provider_error = {"status", "retry_after_ms", "may_have_billed", "again"}  # never leaves the service
        keys = {key for _, key in details_raised()} - provider_error | set(failures.DETAILS_IN_WORDS)
        assert {"action", "provider", "left_out"} <= keys
        assert {key for key in keys if f"`{key}`" not in self.DOCUMENTED} == set()

    def test_each_value_is_documented(self) -> None:
        """So are the words that `tried` and `cause` are made of."""
        from cortexd.errors import Denial, Failure

        assert {word for word in (*Denial, *Failure) if f"`{word}`" not in self.DOCUMENTED} == set()
