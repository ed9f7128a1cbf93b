"""What outcomes teach, through the daemon on the bus and over its restart."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from cortexd.connection import BusError
from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.program import NAME, Json, Program, program_fixture  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = "[daemon]\npreload_sdks = true\n"
TASK, OUTCOMES = "configuration", 5
KILLED, HEARD = "dependency_resolution", 12
FIGURES = ("outcomes", "outcome_mean", "outcome_sigma")
OUTCOMES_OF = """
SELECT r.request_id FROM outcomes o JOIN requests r ON r.id = o.request
WHERE r.task_type = ? AND r.state = 'done' AND r.provider <> ''
"""


async def standing(program: Program, task: str = TASK) -> dict[str, Json]:
    """What is known of each candidate of the strategy by its provider, the first first."""
    decision = await program.route(task, "hello", strategy="learned")
    return {row["provider"]: {name: row[name] for name in FIGURES} for row in decision["candidates"]}


def rows(file: Path, sql: str, *values: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, values).fetchall()


class TestRestart:
    async def test_outcomes_decide_and_survive(self, shared: Shared, program: Program) -> None:
        """Whom callers report to serve well is asked, before and after a restart, by the same figures."""
        for provider, score in (("claude", 1.0), ("kimi_k2", 0.0)) * OUTCOMES:
            reply = await program.complete(TASK, "hello", provider=provider)
            await program.call(NAME, "ReportOutcome", "sda{sv}", reply.metadata["request_id"], score, {})
        before = await standing(program)
        assert next(iter(before)) == "claude"
        assert [before[name]["outcomes"] for name in ("claude", "kimi_k2")] == [OUTCOMES, OUTCOMES]
        shared.daemon.restart()
        after = await standing(program)
        assert list(after) == list(before)
        for name, row in after.items():
            assert row == before[name]

    async def test_a_kill_in_the_middle_splits_nothing(self, shared: Shared, program: Program) -> None:
        """Every outcome that was acknowledged is learned, none is kept and not learned; every reserved request counts
        as one decision; and the daemon after it knows just that."""
        heard: list[str] = []
        killed = asyncio.Event()

        async def ask_and_tell(number: int) -> None:
            reply = await program.complete(KILLED, f"hello {number}", strategy="learned")
            await program.call(NAME, "ReportOutcome", "sda{sv}", reply.metadata["request_id"], number % 3 / 2, {})
            heard.append(reply.metadata["request_id"])
            if len(heard) == HEARD:
                killed.set()

        crowd = [asyncio.create_task(ask_and_tell(number)) for number in range(3 * HEARD)]
        await killed.wait()
        shared.daemon.kill()
        endings = await asyncio.gather(*crowd, return_exceptions=True)
        assert all(ending is None or isinstance(ending, BusError) for ending in endings)
        shared.daemon.start()
        known = await standing(program, KILLED)
        file = shared.daemon.ledger_file
        told = rows(file, OUTCOMES_OF, KILLED)
        assert {row[0] for row in told} >= set(heard)
        assert rows(file, "SELECT sum(count) FROM learned_cells WHERE task_type = ?", KILLED) == [(len(told),)]
        decisions = rows(file, "SELECT value FROM learned_counts WHERE name = 'task' AND of = ?", KILLED)
        assert decisions == rows(file, "SELECT count(*) FROM requests WHERE task_type = ?", KILLED)
        shared.daemon.restart()
        assert await standing(program, KILLED) == known
