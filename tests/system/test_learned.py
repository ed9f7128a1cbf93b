"""What outcomes teach, through the daemon on the bus and over its restart."""

from __future__ import annotations

import asyncio

from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.program import NAME, Json, Program, program_fixture  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = "[daemon]\npreload_sdks = true\n"
TASK, OUTCOMES = "configuration", 6


async def standing(program: Program) -> dict[str, Json]:
    """Each candidate of the strategy by its provider, the first first."""
    decision = await program.route(TASK, "hello", strategy="learned")
    return {row["provider"]: row for row in decision["candidates"]}


async def learned(program: Program) -> bool:
    return bool(sum(row["outcomes"] for row in (await standing(program)).values()) == 2 * OUTCOMES)


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
        async with asyncio.timeout(10):
            while not await learned(program):
                pass
        after = await standing(program)
        assert list(after) == list(before)
        for name, row in after.items():
            assert abs(row["outcome_mean"] - before[name]["outcome_mean"]) < 0.02
