"""The response cache: an equal question of the same user is answered again for nothing, where both sides want that."""

from __future__ import annotations

import asyncio

from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.program import Program, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream, text_of
from tests.system.users import programs_of

PRELOAD = "[daemon]\npreload_sdks = true\n"
CONFIG = f"{PRELOAD}[cache]\nenabled = true\n"


class TestHit:
    async def test_costs_nothing_and_says_so(self, shared: Shared, program: Program) -> None:
        """The same answer, a row of its own at no cost, no request upstream; the signal and the sums agree."""
        await program.subscribe()
        first = await program.complete("user_chat", "what is a bus?", cache=True)
        again = await program.complete("user_chat", "what is a bus?", cache=True)
        assert (first.metadata["cache_hit"], again.metadata["cache_hit"]) == (False, True)
        assert (again.content, again.metadata["model"]) == (first.content, first.metadata["model"])
        assert (again.cost_nano, again.metadata["cost_known"], again.attempts) == (0, True, [])
        assert again.metadata["request_id"] != first.metadata["request_id"]
        assert shared.requests() == {"claude": 1, "kimi_k2": 0}
        row = shared.books().request(again.metadata["request_id"])
        assert (row["state"], row["cost_nano"]) == ("done", 0)
        shared.books().assert_balanced()
        told = await program.await_heard("CostIncurred", 2)
        assert [body[-1]["cost_nano_usd"] for body in told] == [first.cost_nano, 0]

    async def test_as_a_stream(self, shared: Shared, program: Program) -> None:
        """What was answered plainly comes as a stream, and the other way round."""
        plain = await program.complete("user_chat", "plain first", cache=True)
        events = await (await Stream.open(program, "user_chat", "plain first", cache=True)).read()
        assert (text_of(events), events[-1]["metadata"]["cache_hit"]) == (plain.content, True)
        streamed = await (await Stream.open(program, "user_chat", "stream first", cache=True)).read()
        again = await program.complete("user_chat", "stream first", cache=True)
        assert (again.content, again.metadata["cache_hit"]) == (text_of(streamed), True)
        assert shared.requests()["claude"] == 2

    async def test_two_at_once_share_one(self, shared: Shared, program: Program) -> None:
        """Twenty equal questions under way are one upstream; one of them pays."""
        shared.behave("claude", Behaviour(delay_s=0.3))
        calls = (program.complete("user_chat", "all at once", cache=True) for _ in range(20))
        replies = await asyncio.gather(*calls)
        assert shared.requests()["claude"] == 1
        assert len({reply.content for reply in replies}) == 1
        assert sorted(reply.metadata["cache_hit"] for reply in replies) == [False] + [True] * 19
        assert sum(reply.cost_nano for reply in replies) == shared.billed_nano() > 0

    async def test_without_money_left(self, shared: Shared, program: Program) -> None:
        """A budget that has no room for anything has room for what costs nothing."""
        await program.complete("user_chat", "paid before", cache=True)
        shared.reload(f'{CONFIG}[budgets.each_user]\nday_usd = "0.000000001"\n')
        assert (await program.complete("user_chat", "paid before", cache=True)).metadata["cache_hit"]
        with refused("BudgetExceeded"):
            await program.complete("user_chat", "not paid before", cache=True)
        shared.reload(CONFIG)


class TestMiss:
    async def test_another_user(self, shared: Shared) -> None:
        """Users never share, not even at the same moment."""
        shared.behave("claude", Behaviour(delay_s=0.2))
        async with programs_of("alice", "bob", "alice") as programs:
            calls = (program.complete("user_chat", "a shared thought", cache=True) for program in programs)
            replies = await asyncio.gather(*calls)
        assert shared.requests()["claude"] == 2
        assert [reply.metadata["cache_hit"] for reply in replies].count(True) == 1
        assert not replies[1].metadata["cache_hit"]

    async def test_another_question(self, shared: Shared, program: Program) -> None:
        """Whatever shapes an answer tells questions apart; an id or labels do not."""
        question = {"cache": True, "max_tokens": 50}
        await program.complete("user_chat", "one question", **question)
        for task, prompt, options in (
            ("requirement_parsing", "one question", question),
            ("user_chat", "one question!", question),
            ("user_chat", "one question", {**question, "max_tokens": 51}),
            ("user_chat", "one question", {**question, "temperature": 0.0}),
            ("user_chat", "one question", {**question, "model": "claude-opus-5-5"}),
            ("user_chat", "one question", {**question, "response_schema": '{"type": "object"}'}),
        ):
            assert not (await program.complete(task, prompt, **options)).metadata["cache_hit"], options
        same = await program.complete(
            "user_chat", "one question", request_id="another-id", labels={"job": "x"}, deadline_ms=9_000, **question
        )
        assert same.metadata["cache_hit"]

    async def test_who_does_not_ask_for_it(self, shared: Shared, program: Program) -> None:
        """Without the option every request is made."""
        for cache in (True, False):
            reply = await program.complete("user_chat", "a fresh one, please", **({"cache": True} if cache else {}))
            assert not reply.metadata["cache_hit"]
        assert shared.requests()["claude"] == 2

    async def test_after_its_time(self, shared: Shared, program: Program) -> None:
        """An answer is given again for ttl_s, from when it was made, however often it was asked for."""
        shared.reload(f"{CONFIG}ttl_s = 0.6\n")
        await program.complete("user_chat", "for a while", cache=True)
        assert (await program.complete("user_chat", "for a while", cache=True)).metadata["cache_hit"]
        async with asyncio.timeout(10):
            while (await program.complete("user_chat", "for a while", cache=True)).metadata["cache_hit"]:
                await asyncio.sleep(0.02)
        assert shared.requests()["claude"] == 2
        shared.reload(CONFIG)

    async def test_a_failure_is_not_kept(self, shared: Shared, program: Program) -> None:
        """Who waited for a question that failed asks it for himself."""
        shared.behave("claude", Behaviour(times=1, delay_s=0.3, status=500), Behaviour())
        options = {"cache": True, "provider": "claude"}
        failing = asyncio.create_task(program.complete("user_chat", "at first a failure", **options))
        await assert_eventually_async(lambda: shared.requests()["claude"] == 1)
        waiting = asyncio.create_task(program.complete("user_chat", "at first a failure", **options))
        with refused("ProviderFailed"):
            await failing
        reply = await waiting
        assert not reply.metadata["cache_hit"]
        assert reply.cost_nano > 0
        assert shared.requests() == {"claude": 2, "kimi_k2": 0}

    async def test_who_waits_may_leave(self, shared: Shared, program: Program) -> None:
        """The one who asked first goes; the other one asks again and is answered."""
        shared.behave("claude", Behaviour(delay_s=0.5))
        leaving = await Program.open()
        first = asyncio.create_task(leaving.complete("user_chat", "who stays?", cache=True))
        await assert_eventually_async(lambda: shared.requests()["claude"] == 1)
        second = asyncio.create_task(program.complete("user_chat", "who stays?", cache=True))
        await leaving.close()
        await asyncio.gather(first, return_exceptions=True)
        assert (await second).content.endswith("who stays?")


class TestOff:
    async def test_the_option_is_dropped(self, shared: Shared, program: Program) -> None:
        """Where the operator has not switched it on each request is made, and the metadata says why."""
        shared.reload(PRELOAD)
        for _ in range(2):
            reply = await program.complete("user_chat", "is it on?", cache=True)
            assert (reply.metadata["cache_hit"], reply.metadata["dropped_options"]) == (False, ["cache"])
        assert shared.requests()["claude"] == 2
        shared.reload(CONFIG)
        assert (await program.complete("user_chat", "is it on?", cache=True)).metadata["dropped_options"] == []

    async def test_switching_it_off_empties_it(self, shared: Shared, program: Program) -> None:
        """What was kept is gone, also once it is on again."""
        await program.complete("user_chat", "kept?", cache=True)
        shared.reload(PRELOAD)
        shared.reload(CONFIG)
        assert not (await program.complete("user_chat", "kept?", cache=True)).metadata["cache_hit"]
