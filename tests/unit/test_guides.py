"""The guides quote what is there: texts of the source, examples as they are, tests and settings that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from cortexd.config.settings import Config

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples/bus"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HELD = "…"  # what varies in a text


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCED.findall(page.read_text("utf-8")) if kind == language]


@cache
def texts() -> tuple[str, ...]:
    """Every text of the daemon and its tools, with an ellipsis for each value in it."""
    return tuple(
        text for file in (ROOT / "cortexd").rglob("*.py") for text in _texts(ast.parse(file.read_text("utf-8")))
    )


def _texts(tree: ast.AST) -> Iterator[str]:
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and node not in docstrings and (text := _text(node)):
            yield squeezed(re.sub(r"%[-.\w]*?[sdgr]", HELD, text))


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else HELD for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def is_example(file: Path) -> bool:
    return file.is_file() and file.name != "package-lock.json"


def squeezed(text: str) -> str:
    return re.sub(rf"{HELD}(?:[.]?{HELD})+", HELD, text)


def in_source(quoted: str) -> bool:
    wanted = squeezed(quoted).strip(HELD).strip()
    return any(wanted in text for text in texts())


class TestTroubleshooting:
    @pytest.mark.parametrize(
        "quoted", [line for block in blocks(DOCS / "troubleshooting.md", "text") for line in block.splitlines()]
    )
    def test_quotes_the_source(self, quoted: str) -> None:
        """Each quoted text is one that the daemon, the client or cortexctl says."""
        assert len(quoted.strip(HELD)) > 10
        assert in_source(quoted)

    def test_exit_statuses(self) -> None:
        """The log line beside each status is what the daemon says when it leaves so."""
        rows = re.findall(r"^\| \d+ \| ([^(|]+) \|", (DOCS / "troubleshooting.md").read_text("utf-8"), re.MULTILINE)
        assert len(rows) == 6
        assert [row for row in rows if not in_source(row)] == []

    def test_notices_a_changed_text(self) -> None:
        """A text that nobody says any more does not pass."""
        assert not in_source("polkit has not answered within … s")


class TestDevelopersGuides:
    @pytest.mark.parametrize("file", [file for file in sorted(EXAMPLES.rglob("*")) if is_example(file)], ids=str)
    def test_print_each_example(self, file: Path) -> None:
        """As it is in its file, with a link to it, on one of the two pages."""
        pages = [(DOCS / name).read_text("utf-8") for name in ("developers.md", "clients.md")]
        [page] = [page for page in pages if f"]({file.relative_to(DOCS)})" in page]
        assert file.read_text("utf-8") in [text for _, text in FENCED.findall(page)]


class TestSettings:
    @pytest.mark.parametrize(
        "page", ["SECURITY.md", "docs/troubleshooting.md", "docs/developers.md", "docs/clients.md"]
    )
    def test_exist(self, page: str) -> None:
        """Each `section.key` of a guide is a setting."""
        sections = {item.name: item.default for item in fields(Config)}
        for section, key in re.findall(r"`\[?([a-z]+)(?:\.|\] )([a-z_]+)[`, ]", (ROOT / page).read_text("utf-8")):
            if section in sections and section != "providers":
                assert hasattr(sections[section], key), f"{page}: {section}.{key}"


class TestSecurity:
    def test_names_tests_that_exist(self) -> None:
        """The list of what each claim rests on, in the comment at the end, names files and classes that are there."""
        text = (ROOT / "SECURITY.md").read_text("utf-8")
        named = re.findall(r"(tests/[\w/]+\.py)((?: (?:Test\w+|test_\w+),?)*)", text)
        assert len(named) > 15
        for file, members in named:
            assert (ROOT / file).is_file(), file
            for member in re.findall(r"\w+", members):
                assert re.search(rf"(?:class|def) {member}\b", (ROOT / file).read_text("utf-8")), f"{file}: {member}"

    def test_limits_are_the_defaults(self) -> None:
        """The table of limits has each setting's default."""
        text = (ROOT / "SECURITY.md").read_text("utf-8")
        limits = next(item.default for item in fields(Config) if item.name == "limits")
        rows = re.findall(r"^\| [^|]+ \| ([\d,]+|none)[^|]* \| `limits\.(\w+)`", text, re.MULTILINE)
        assert len(rows) > 8
        for figure, key in rows:
            default = getattr(limits, key)
            assert (None if figure == "none" else float(figure.replace(",", ""))) == default, key

    def test_unit_says_the_same(self) -> None:
        """What is said of the unit's bounds, core files and swap."""
        unit = (ROOT / "systemd/cortex-llm-router.service").read_text("utf-8").splitlines()
        said = {"MemoryMax=1G", "TasksMax=128", "LimitNOFILE=8192", "LimitCORE=0", "MemorySwapMax=0"}
        assert said - set(unit) == set()
        assert "CapabilityBoundingSet=" in unit
