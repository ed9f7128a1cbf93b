"""The ledger printed for a person."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger
from cortexd.ledger.reading.report import report
from tests.unit.test_ledger_parts import KIMI, attempt, complete, request, settings


class TestReport:
    async def test_shows_rows_and_sums_beside_a_daemon(self, tmp_path: Path) -> None:
        """While the ledger is open, another process prints its rows, aligned, and sums that agree."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 1_234_567)
        key = await ledger.reserve(request(request_id="fallback", task_type="system_operation"), 10)
        failed = attempt(0, outcome="connection", usage=None)
        await ledger.settle(key, "done", [failed, attempt(2_000_000_000, KIMI)])
        await ledger.reserve(request(request_id="open"), 3_000_000_000)
        command = [sys.executable, "-m", "cortexd.ledger", str(settings(tmp_path).path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        await ledger.close()
        assert (done.returncode, done.stderr) == (0, "")
        title, first, second, third, blank, *sums = done.stdout.splitlines()
        assert first.endswith("  $0.0012")
        assert second.endswith("  $2.00")
        assert "claude connection, kimi_k2 ok" in second
        assert "pending" in third
        assert len(title) == len(first) == len(second)
        assert (title.index("tried"), blank) == (second.index("claude connection"), "")
        assert [line.split("  ")[0] for line in sums] == [
            "requests",
            "sum of charges",
            "open reservations",
            "rows and entries",
        ]
        assert "3 (1 pending)" in sums[0]
        assert "$2.00 (2001234567 nano-dollars)" in sums[1]
        assert sums[2].endswith("$3.00")
        assert sums[3].endswith("every row's cost equals its entries")

    async def test_tells_rows_that_do_not_add_up(self, tmp_path: Path) -> None:
        """A row whose cost was changed by hand is counted as wrong."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 500)
        await ledger.close()
        with closing(sqlite3.connect(settings(tmp_path).path)) as other:
            other.execute("UPDATE requests SET cost_nano = 499")
            other.commit()
        assert "1 ROWS DIFFER" in report(settings(tmp_path).path)

    async def test_does_not_obey_what_it_prints(self, tmp_path: Path) -> None:
        """Control characters in a model's name do not reach the terminal."""
        ledger = await Ledger.open(settings(tmp_path))
        key = await ledger.reserve(request(), 10)
        await ledger.settle(key, "done", [attempt(5, ("claude", "\x1b[31mred\n"))])
        await ledger.close()
        text = report(settings(tmp_path).path)
        assert "\x1b" not in text
        assert "�[31mred�" in text

    async def test_shows_the_latest_only(self, tmp_path: Path) -> None:
        """With a limit, the newest rows are shown and the sums still cover all."""
        ledger = await Ledger.open(settings(tmp_path))
        for number in range(5):
            await complete(ledger, 10, request_id=f"job-{number}")
        await ledger.close()
        text = report(settings(tmp_path).path, limit=2)
        assert [name for name in ("job-2", "job-3", "job-4") if name in text] == ["job-3", "job-4"]
        assert "50 nano-dollars" in text

    def test_says_where_there_is_no_ledger(self, tmp_path: Path) -> None:
        """A path without a ledger is said so, in one line, and none is made."""
        missing = tmp_path / "none.sqlite3"
        with pytest.raises(LedgerUnavailable, match="there is no ledger"):
            report(missing)
        command = [sys.executable, "-m", "cortexd.ledger", str(missing)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (1, "")
        assert str(missing) in done.stderr
        assert not missing.exists()
