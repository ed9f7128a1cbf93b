"""A uid that belongs to another name now: who has it gets nothing of what the former one left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dbus_next import Variant

from simulated import Behaviour
from tests.eventually import assert_eventually, assert_eventually_async
from tests.system.people import as_user
from tests.system.program import MANAGER, NAME, USAGE, Json, Program, dictionary, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.users import MAY, programs_of

CONFIG = '[cache]\nenabled = true\n[budgets.each_user]\nday_usd = "5"\n'
FILES = (Path("/etc/passwd"), Path("/etc/group"))  # of the namespace
QUESTION = {"cache": True, "request_id": "monday", "labels": {"job": "secret"}}


@contextmanager
def called(before: str, after: str) -> Iterator[None]:
    """The user `before` is `after` meanwhile, with its uid and groups."""
    texts = [(file, file.read_text()) for file in FILES]
    try:
        for file, text in texts:
            file.write_text(text.replace(f"{before}:", f"{after}:", 1).replace(f":{before}\n", f":{after}\n"))
        assert_eventually(lambda: as_user(after, MAY).returncode == 0, message=f"polkit to know {after}")
        yield
    finally:
        for file, text in texts:
            file.write_text(text)
        assert_eventually(lambda: as_user(before, MAY).returncode == 0, message=f"polkit to know {before} again")


async def usage(program: Program, **query: object) -> list[Json]:
    [rows] = await program.call(USAGE, "GetUsage", "a{sv}", dictionary(query))
    return list(rows)


async def spent(program: Program) -> float:
    """Of the day, by the user's own budget."""
    [budgets] = await program.call(USAGE, "GetBudget")
    [own] = [budget for budget in budgets if budget["scope"] == "user"]
    return float(own["spent_usd"])


async def prefer(program: Program, **wishes: object) -> None:
    await program.call(MANAGER, "SetPreferences", "a{sv}", dictionary(wishes))


class TestAnotherName:
    async def test_gets_nothing_of_the_former_one(self, shared: Shared, program: Program) -> None:
        """No labels, sums, preferences, cap, kept answers, request ids; the administrator has them by both names."""
        shared.behave("claude", Behaviour(reply="for alice", input_tokens=1000, output_tokens=1000))
        shared.behave("kimi_k2", Behaviour(reply="for alice", input_tokens=1000, output_tokens=1000))
        async with programs_of("alice") as [alice]:
            await prefer(alice, providers={"user_chat": "kimi_k2"})
            await alice.call(USAGE, "SetOwnBudget", "a{sv}", dictionary({"day_usd": 10.0, "pause_s": 0}))
            first = await alice.complete("user_chat", "hello", **QUESTION)
            assert first.metadata["provider"] == "kimi_k2"
            assert await spent(alice) > 0
        shared.behave("claude", Behaviour(reply="for zoe", input_tokens=10, output_tokens=10))
        with called("alice", "zoe"):
            async with programs_of("zoe") as [zoe]:
                assert await spent(zoe) == 0
                assert (await zoe.stats())["total_requests"] == 0
                assert await usage(zoe, group_by=Variant("as", ["label"]), label="job") == []
                [found] = await zoe.call(MANAGER, "GetPreferences")
                assert found == {}
                [limits] = await zoe.call(USAGE, "GetBudget")
                assert "own" not in {limit["scope"] for limit in limits}
                with refused("RequestNotFound"):
                    await zoe.call(NAME, "ReportOutcome", "sda{sv}", "monday", 1.0, {})
                answer = await zoe.complete("user_chat", "hello", **QUESTION)
                assert (answer.content, answer.metadata["cache_hit"]) == ("for zoe", False)
                assert await spent(zoe) * 10**9 == pytest.approx(answer.cost_nano)
                assert (await zoe.stats())["total_requests"] == 1
        everybody = await usage(program, all_users=True, group_by=Variant("as", ["uid"]))
        assert {row["user"] for row in everybody} >= {"alice", "zoe"}
        assert "who gets nothing of what alice left" in shared.daemon.log()

    async def test_pays_for_no_request_of_the_former_one(self, shared: Shared, program: Program) -> None:
        """What runs for the former user ends, and is charged to him, before the other one is served; a connection that
        he left open is the other one's from then on."""
        shared.behave("claude", Behaviour(delay_s=30))
        async with programs_of("alice") as [alice]:
            running = asyncio.create_task(alice.complete("user_chat", "hello", request_id="late", provider="claude"))
            await assert_eventually_async(lambda: shared.simulated.counts("claude").active == 1)
            with called("alice", "zoe"):
                async with programs_of("zoe") as [zoe]:
                    assert await spent(zoe) == 0
                    [row] = [row for row in shared.books().rows if row["request_id"].startswith("late#")]
                    assert (row["state"], row["user"]) == ("cancelled", "alice")
                    assert row["cost_nano"] > 0
                    with refused("Cancelled"):
                        await running
                    shared.behave("claude", Behaviour(input_tokens=10, output_tokens=10))
                    answer = await alice.complete("user_chat", "hello", provider="claude")
                    assert shared.books().request(answer.metadata["request_id"])["user"] == "zoe"
                    assert await spent(zoe) * 10**9 == pytest.approx(answer.cost_nano)

    async def test_the_same_name_keeps_all(self, shared: Shared) -> None:
        """A later connection of the same user has its preferences and sums, also after a restart."""
        async with programs_of("alice") as [alice]:
            await prefer(alice, strategy="cost")
            reply = await alice.complete("user_chat", "once more")
            assert reply.cost_nano > 0
            before = await spent(alice)
        assert shared.daemon.stop() == 0
        shared.daemon.start()
        async with programs_of("alice") as [alice]:
            assert await spent(alice) == before > 0
            [found] = await alice.call(MANAGER, "GetPreferences")
            assert found == {"strategy": "cost"}
