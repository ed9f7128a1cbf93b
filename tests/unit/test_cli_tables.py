"""Tables as a terminal of some width shows them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import redirect_stdout

import pytest

from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.usage_report import print_report
from cortexd.client import UsageRow

COLUMNS = (Column("model"), Column("likely cost", right=True), Column("tokens in", right=True), Column("why"))
ROWS = [("claude-sonnet-5-5", "$0.000302", "1_000_000", "the cheapest that there is"), ("qwen3", "—", "6", "none")]


def show_rows() -> None:
    print_table(COLUMNS, ROWS)


def drawn(width: int, monkeypatch: pytest.MonkeyPatch, show: Callable[[], None] = show_rows) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = os.openpty()
    with open(theirs, "w", encoding="utf-8") as terminal, redirect_stdout(terminal):
        show()
    with open(ours, "rb", buffering=0) as screen:
        return re.sub(r"\x1b\[[\d;]*m", "", screen.read(65_536).decode("utf-8")).splitlines()


class TestOnATerminal:
    @pytest.mark.parametrize("width", [45, 60, 80, 200])
    def test_numbers_are_whole(self, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Texts are broken where there is no room for them, numbers and lines never."""
        lines = drawn(width, monkeypatch)
        assert sum("$0.000302" in line and "1_000_000" in line for line in lines) == 1
        assert max(map(len, lines)) <= width

    def test_headings_are_broken_only_in_need(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """At a blank."""
        assert any("likely cost" in line for line in drawn(200, monkeypatch))
        assert not any("likely cost" in line for line in drawn(60, monkeypatch))

    def test_bars_give_way_to_many_groups(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where words and figures take the terminal's width, they have it alone."""
        row = UsageRow(
            day="2026-11-30", host="desk2", model="kimi-k2.6", user="alice", requests=4, cost_nano_usd=214_000
        )
        few, many = ["day"], ["day", "host", "model", "user"]
        assert any("█" in line for line in drawn(80, monkeypatch, lambda: print_report([row], few)))
        assert not any("█" in line for line in drawn(80, monkeypatch, lambda: print_report([row], many)))
