"""Modes of learning, through the daemon on the bus: what outcomes decide, what is only noted, and what is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.program import MANAGER, NAME, Json, Program, dictionary, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = "[daemon]\npreload_sdks = true\n"
TASK, OUTCOMES = "dependency_resolution", 6


class TestModes:
    """What outcomes decide, on the bus: nothing, nothing yet, or who is asked."""

    async def test_watched_then_applied(self, shared: Shared, program: Program) -> None:
        """The same one answers as without while outcomes are watched, whom they would have asked is kept beside it, and
        applied they have him asked."""
        for provider, score in (("claude", 1.0), ("kimi_k2", 0.0)) * OUTCOMES:
            reply = await program.complete(TASK, "hello", provider=provider)
            await program.call(NAME, "ReportOutcome", "sda{sv}", reply.metadata["request_id"], score, {})
        plain = await program.route(TASK, "hello")
        watched = await program.route(TASK, "hello", learned="observe")
        learned = watched.pop("learned")
        assert "learned" not in plain
        assert [row["reason"] for row in watched["candidates"]] == [row["reason"] for row in plain["candidates"]]
        assert (plain["provider"], watched["provider"]) == ("kimi_k2", "kimi_k2")
        assert (learned["mode"], learned["why"]) == ("observe", "dry_run")
        assert learned["baseline"].startswith("kimi_k2/")
        assert learned["greedy"] == learned["chosen"]
        assert learned["chosen"].startswith("claude/")
        before = len(decisions(shared))
        for mode, provider in (("off", "kimi_k2"), ("observe", "kimi_k2"), ("apply", "claude")):
            # two messages in a conversation: nothing is tried, so that who answers is no matter of chance
            said = (("user", "hello"), ("assistant", "yes"), ("user", "and now?"))
            messages: list[Json] = [{"role": role, "content": text} for role, text in said]
            reply = await program.complete(TASK, messages, learned=mode)
            assert reply.metadata["provider"] == provider
        kept = decisions(shared)[before:]
        assert [(row["mode"], row["why"]) for row in kept] == [("observe", "session"), ("apply", "session")]
        assert {row["baseline"].partition("/")[0] for row in kept} == {"kimi_k2"}
        assert {row["chosen"].partition("/")[0] for row in kept} == {"claude"}

    async def test_others_reports_cannot_be_read(self, program: Program) -> None:
        """Means have two digits, and counts go in steps."""
        decision = await program.route(TASK, "hello", learned="apply")
        for row in (*decision["candidates"], *decision["learned"]["judged"]):
            assert row["outcomes"] in {0, 1, 2, 5, 10, 20}
            for name in ("outcome_mean", "outcome_sigma"):
                assert row[name] == round(row[name], 2)

    async def test_contradictions_are_refused(self, program: Program) -> None:
        """In a call, and in preferences."""
        with refused("InvalidArgument"):
            await program.route(TASK, "hello", learned="apply", strategy="cost")
        with refused("InvalidArgument"):
            await prefer(program, learned="observe", strategy="learned")

    async def test_configuration_by_task(self, shared: Shared, program: Program) -> None:
        """The machine's mode, or that of the task type; above both the user's, and the call's above all."""
        text = (
            '[routing.learned]\nmode = "observe"\n[routing.learned.modes]\nuser_chat = "apply"\nconfiguration = "off"\n'
        )
        shared.reload(CONFIG + text)
        try:
            assert await modes(program) == ["observe", "apply", ""]
            await prefer(program, learned="off")
            assert await modes(program) == ["", "", ""]
            assert await modes(program, learned="observe") == ["observe"] * 3
        finally:
            await prefer(program)
            shared.reload(CONFIG)


async def prefer(program: Program, **wishes: str) -> None:
    await program.call(MANAGER, "SetPreferences", "a{sv}", dictionary(wishes))


async def modes(program: Program, **options: str) -> list[str]:
    tasks = ("error_debugging", "user_chat", "configuration")
    made = [await program.route(task, "hello", **options) for task in tasks]
    return [row.get("learned", {}).get("mode", "") for row in made]


def decisions(shared: Shared) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(f"file:{shared.daemon.ledger_file}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute("SELECT * FROM decisions ORDER BY request").fetchall()
