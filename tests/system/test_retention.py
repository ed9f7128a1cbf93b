"""A ledger of more than a year: the daemon prunes it while it runs, and every sum stays what it was."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.domain.messages import Usage
from cortexd.ledger import AttemptRecord, Ledger, NewRequest
from tests.eventually import assert_eventually_async
from tests.system.books import read_books
from tests.system.daemon import Daemon
from tests.system.program import Program, program_fixture, refused  # noqa: F401
from tests.system.test_usage import usage

MakeDaemon = Callable[..., Daemon]
OLD_DAYS = (400, 400, 200, 100, 99, 70, 70, 1, 0)


async def make_old_ledger(directory: Path) -> Path:
    """Root's requests of so many days ago, as an earlier run would have left them."""
    file = directory / "old" / "ledger.sqlite3"
    ledger = await Ledger.open(LedgerSettings(path=file))
    for number, days in enumerate(OLD_DAYS):
        started = datetime.now(UTC) - timedelta(days=days)
        request = NewRequest(0, "root", f"old-{number}", True, b"", "user_chat", started, {"job": "old"})
        key = await ledger.reserve(request, 10**9)
        tokens = Usage(1_000 + number, 100 + number)
        attempts = [AttemptRecord("claude", "claude-sonnet-5-5", "ok", 3_000 + number, True, tokens, 700)]
        if number % 2:
            attempts.insert(0, AttemptRecord("kimi_k2", "kimi-k2.6", "server_error", 50, False, None, 90, "HTTP 500"))
        await ledger.settle(key, "done", attempts)
    await ledger.close()
    return file


async def reports(program: Program) -> list[Any]:
    """All that an old request counts in."""
    stats = await program.stats()
    since = str(date.today() - timedelta(days=500))
    groupings: list[list[str]] = [[], ["day"], ["task_type"], ["provider"], ["model"], ["day", "provider", "model"]]
    return [
        {key: stats[key] for key in ("total_requests", "total_cost_nano_usd", "providers")},
        await program.property("TotalCostUsd"),
        await program.property("TotalRequests"),
        await usage(program, ["uid"], all_users=True, since=since),
        *[await usage(program, group_by, since=since) for group_by in groupings],
    ]


class TestRetention:
    @pytest.mark.slow
    async def test_sums_stay(self, daemon: MakeDaemon, program: Program) -> None:
        """A daemon with a year's ledger keeps the days that it is told to and daily sums of the others; each figure
        stays what it was, and what is new is added."""
        running = daemon("[ledger]\nkeep_days = 90\n", start=False)
        shutil.copy(await make_old_ledger(running.directory), running.ledger_file)
        os.chown(running.ledger_file, pwd.getpwnam("cortexd").pw_uid, -1)
        running.ledger_file.chmod(0o600)
        running.start()
        before = await reports(program)
        assert before[0]["total_requests"] == len(OLD_DAYS)
        kept = sum(days < 90 for days in OLD_DAYS)
        said = f"{len(OLD_DAYS) - kept} requests from before"
        await assert_eventually_async(lambda: said in running.log(), 60, said)
        assert len(read_books(running.ledger_file).rows) == kept
        assert await reports(program) == before
        running.restart()
        assert await reports(program) == before
        with refused("RequestIdReused"):
            await program.complete("user_chat", "hello", request_id=f"old-{len(OLD_DAYS) - 1}")
        reply = await program.complete("user_chat", "hello", request_id="old-0")
        assert (await program.stats())["total_cost_nano_usd"] == before[0]["total_cost_nano_usd"] + reply.cost_nano
