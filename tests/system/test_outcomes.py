"""Outcomes on the bus: whose word counts for what, what teaches nothing, and what the daemon sees for itself."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from simulated import Behaviour
from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.program import NAME, Json, Program, Reply, dictionary, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream

pytestmark = pytest.mark.usefixtures("shared")
PLAIN = "[daemon]\npreload_sdks = true\n[cache]\nenabled = true\n"
AUTOMATIC = """[routing.learned.automatic]
schema_valid = true
tool_call_parsed = 0.5
cut_off = true
cancelled_half = true
repeated = true
"""
CONFIG = PLAIN + AUTOMATIC
AUTO = 0.25  # what the daemon's own sight weighs
SCHEMA = '{"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}'
TOOL = {"name": "look", "parameters": '{"type": "object", "required": ["path"]}'}


async def report(program: Program, request_id: str, score: float, **details: Any) -> None:
    assert await program.call(NAME, "ReportOutcome", "sda{sv}", request_id, score, dictionary(details)) == []


async def known(program: Program, request_id: str = "") -> Json:
    [request] = await program.call(NAME, "GetRequest", "s", request_id)
    assert isinstance(request, dict)
    return request


async def said(program: Program, request_id: str) -> dict[str, tuple[float, float]]:
    """Score and weight by source."""
    rows = (await known(program, request_id))["outcomes"]
    return {row["source"]: (row["score"], row["weight"]) for row in rows}


async def seen(program: Program, request_id: str) -> tuple[float, float]:
    """What the daemon notes of the request by itself, once it has."""
    async with asyncio.timeout(10):
        while "auto" not in (outcomes := await said(program, request_id)):
            pass
    return outcomes["auto"]


async def seen_now(program: Program, reply: Reply) -> dict[str, tuple[float, float]]:
    """What is said of an earlier request, once all that was to note until now is noted."""
    later = await program.complete("user_chat", "the last", provider="claude", response_schema=SCHEMA)
    await seen(program, later.metadata["request_id"])
    return await said(program, reply.metadata["request_id"])


async def standing(program: Program, task: str, provider: str) -> Json:
    decision = await program.route(task, "hello", strategy="learned")
    [row] = [row for row in decision["candidates"] if row["provider"] == provider]
    return dict(row)


class TestReports:
    async def test_sources_count_together(self, program: Program) -> None:
        """A test's word outweighs its user's; a later report replaces its source's, an equal one nothing at all."""
        reply = await program.complete("requirement_parsing", "hello", provider="claude")
        request_id = reply.metadata["request_id"]
        for _ in range(2):
            await report(program, request_id, 0.0)
        await report(program, request_id, 1.0, source="test", reason="passed", labels={"suite": "a"})
        await report(program, request_id, 0.5, source="program", weight=0.5)
        assert await said(program, request_id) == {"user": (0.0, 1.0), "test": (1.0, 2.0), "program": (0.5, 0.75)}
        row = await standing(program, "requirement_parsing", "claude")
        assert (row["outcomes"], row["outcome_mean"] > 0.5) == (1, True)
        await report(program, request_id, 0.0, source="test")
        await report(program, request_id, 0.0, source="program", weight=0.5)
        assert (await standing(program, "requirement_parsing", "claude"))["outcome_mean"] < 0.5

    @pytest.mark.parametrize(
        ("details", "path"),
        [
            ({"source": "auto"}, "details.source"),
            ({"source": "me"}, "details.source"),
            ({"weight": 1.5}, "details.weight"),
            ({"weight": -1.0}, "details.weight"),
            ({"wait": 1}, "details.wait"),
        ],
    )
    async def test_what_is_forged_is_refused(self, program: Program, details: Json, path: str) -> None:
        """The daemon's own sight is nobody's to report, and no weight raises what a source has."""
        reply = await program.complete("user_chat", "hello")
        with refused("InvalidArgument") as text:
            await report(program, reply.metadata["request_id"], 1.0, **details)
        assert text[0].startswith(path)
        assert (await known(program, reply.metadata["request_id"]))["outcomes"] == []

    async def test_not_before_its_end(self, shared: Shared, program: Program) -> None:
        """A request under way has no outcome yet, and takes one as soon as it is answered."""
        shared.behave("claude", Behaviour(times=1, delay_s=60))
        asking = asyncio.create_task(program.complete("user_chat", "slowly", request_id="slow", provider="claude"))
        async with asyncio.timeout(10):
            while not (await program.call(NAME, "ListRequests"))[0]:
                pass
        with refused("RequestNotFound"):
            await report(program, "slow", 1.0)
        await program.call(NAME, "Cancel", "s", "slow")
        await asyncio.gather(asking, return_exceptions=True)

    async def test_what_was_not_answered_anew_counts_once(self, program: Program) -> None:
        """An answer given again is the same request, one from the cache teaches nothing, and is not the last one."""
        before = (await standing(program, "configuration", "claude"))["outcomes"]
        wish = {"provider": "claude", "cache": True}
        first = await program.complete("configuration", "cached", request_id="once", **wish)
        again = await program.complete("configuration", "cached", request_id="once", **wish)
        assert first.metadata["request_id"] == again.metadata["request_id"]
        kept = await program.complete("configuration", "cached", **wish)
        assert kept.metadata["cache_hit"]
        assert (await known(program))["request_id"] == "once"
        for reply in (first, again, kept):
            await report(program, reply.metadata["request_id"], 1.0)
        assert (await standing(program, "configuration", "claude"))["outcomes"] == before + 1
        assert (await said(program, kept.metadata["request_id"]))["user"] == (1.0, 1.0)

    async def test_of_a_model_that_is_gone(self, shared: Shared, program: Program) -> None:
        """A late outcome is taken, and of use where the model comes back."""
        reply = await program.complete("error_debugging", "hello", provider="kimi_k2")
        shared.reload(f"{CONFIG}[providers.kimi_k2]\nenabled = false\n")
        await report(program, reply.metadata["request_id"], 1.0)
        shared.reload(CONFIG)
        assert (await standing(program, "error_debugging", "kimi_k2"))["outcomes"] == 1

    async def test_are_paced(self, shared: Shared, program: Program) -> None:
        """Ten minutes' worth of one user at once; then he is told when the next one is taken."""
        reply = await program.complete("user_chat", "hello")
        shared.reload(f"{CONFIG}[limits]\nmax_outcomes_per_minute_per_user = 1\n")
        with refused("RateLimited") as text:
            for number in range(20):
                await report(program, reply.metadata["request_id"], number / 20)
        shared.reload(CONFIG)
        assert "retry_after_ms=" in text[0]
        assert (await said(program, reply.metadata["request_id"]))["user"][0] < 0.6

    async def test_a_source_may_be_worth_nothing(self, shared: Shared, program: Program) -> None:
        """By the configuration: its word is kept, and teaches nothing."""
        shared.reload(f"{CONFIG}[routing.learned.sources]\nuser = 0\n")
        reply = await program.complete("tool_execution", "hello", provider="claude")
        await report(program, reply.metadata["request_id"], 1.0)
        shared.reload(CONFIG)
        assert await said(program, reply.metadata["request_id"]) == {"user": (1.0, 0.0)}
        assert (await standing(program, "tool_execution", "claude"))["outcomes"] == 0


class TestAutomatic:
    @pytest.mark.parametrize(
        ("answer", "score"), [('{"name": "x"}', 1.0), ('{"name": 1}', 0.0), ("{}", 0.0), ("Of course! {}", 0.0)]
    )
    async def test_schema(self, shared: Shared, program: Program, answer: str, score: float) -> None:
        """Whether the answer is JSON that keeps to the schema that was asked for."""
        shared.behave("claude", Behaviour(times=1, reply=answer))
        reply = await program.complete("user_chat", f"Name it: {answer}", provider="claude", response_schema=SCHEMA)
        assert await seen(program, reply.metadata["request_id"]) == (score, AUTO)

    @pytest.mark.parametrize(("call", "score"), [(("look", '{"path": "/"}'), 1.0), (("look", "{}"), 0.0)])
    async def test_tool_calls(self, shared: Shared, program: Program, call: tuple[str, str], score: float) -> None:
        """Whether they name a tool of the request, with arguments that keep to its parameters; at half the weight."""
        shared.behave("claude", Behaviour(times=1, tool_calls=(call,)))
        reply = await program.complete("user_chat", f"Look: {call[1]}", provider="claude", tools=[TOOL])
        assert await seen(program, reply.metadata["request_id"]) == (score, AUTO / 2)

    async def test_cut_off(self, shared: Shared, program: Program) -> None:
        """At a length that the caller did not choose; where he did, it is what he wanted."""
        shared.behave("claude", Behaviour(times=2, reply="once upon a", stop_reason="max_tokens"))
        chosen = await program.complete("user_chat", "A tale, briefly", provider="claude", max_tokens=3)
        reply = await program.complete("user_chat", "A tale", provider="claude")
        assert await seen(program, reply.metadata["request_id"]) == (0.25, AUTO)
        assert await seen_now(program, chosen) == {}

    async def test_repeated(self, program: Program) -> None:
        """The earlier answer to the same question hints at a poor one; one that was asked for beside it does not."""
        at_once = [program.complete("user_chat", "All at once?", provider="claude") for _ in range(2)]
        first, second = await asyncio.gather(*at_once)
        assert await seen_now(program, first) == await seen_now(program, second) == {}
        asked = [await program.complete("user_chat", "What now?", provider="claude") for _ in range(2)]
        assert await seen(program, asked[0].metadata["request_id"]) == (0.25, AUTO)
        assert await seen_now(program, asked[1]) == {}

    async def test_left_at_half(self, shared: Shared, program: Program) -> None:
        """A stream that its reader leaves after half of what such answers are long; one left at once tells nothing."""
        for number in range(3):
            shared.behave("claude", Behaviour(times=1, reply="word " * 40, output_tokens=50))
            await program.complete("dependency_resolution", f"Say {number}", provider="claude")
        shared.behave("claude", Behaviour(times=1, delay_s=60))
        early = await Stream.open(program, "dependency_resolution", "At once", provider="claude")
        early.close()
        shared.behave("claude", Behaviour(times=1, reply="word " * 2000, chunks=2000, chunk_delay_s=0.01))
        stream = await Stream.open(program, "dependency_resolution", "At length", provider="claude")
        read = b""
        while len(read) < 40_000:
            read += await stream.some()
        stream.close()
        assert await seen(program, stream.request_id) == (0.25, AUTO)
        assert await said(program, early.request_id) == {}

    async def test_nothing_of_what_is_privileged(self, shared: Shared, program: Program) -> None:
        """Whatever its answer is like."""
        shared.behave("kimi_k2", Behaviour(times=1, reply="once upon a", stop_reason="length"))
        reply = await program.complete("system_operation", "Wipe it", provider="kimi_k2", response_schema=SCHEMA)
        assert await seen_now(program, reply) == {}

    async def test_no_word_of_it_is_kept(self, shared: Shared, program: Program) -> None:
        """The reason names the rules that applied."""
        shared.behave("claude", Behaviour(times=1, reply="orchid"))
        asked = [
            await program.complete("user_chat", "orchids?", provider="claude", response_schema=SCHEMA) for _ in range(2)
        ]
        await seen_now(program, asked[1])
        with closing(sqlite3.connect(f"file:{shared.daemon.ledger_file}?mode=ro", uri=True)) as ledger:
            notes = ledger.execute("SELECT reason, labels FROM outcomes WHERE source = 'auto'").fetchall()
        assert ("schema_valid, repeated", "{}") in notes
        assert not any("orchid" in text for note in notes for text in note)

    async def test_off_by_default(self, shared: Shared, program: Program) -> None:
        """Nothing is noted that nobody asked for."""
        shared.reload(PLAIN)
        shared.behave("claude", Behaviour(times=1, reply="no JSON"))
        reply = await program.complete("user_chat", "Name that", provider="claude", response_schema=SCHEMA)
        shared.reload(CONFIG)
        assert await seen_now(program, reply) == {}
