"""A caller's own request_id: joined while it runs, answered again afterwards, never paid twice."""

from __future__ import annotations

import asyncio

from cortexd.demo.simulated import Behaviour, Fault
from tests.eventually import assert_eventually_async
from tests.system.calls import call
from tests.system.people import as_user
from tests.system.program import NAME, Program, program_fixture, refused  # noqa: F401
from tests.system.shared import EVERYBODY, Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = "[daemon]\npreload_sdks = true\n"


class TestWhileItRuns:
    async def test_two_at_once_are_one(self, shared: Shared, program: Program) -> None:
        """The second call joins the first: one upstream request, one cost, the same answer."""
        shared.behave("claude", Behaviour(delay_s=0.3))
        one, two = await asyncio.gather(
            *(program.complete("user_chat", "hello", request_id="joined") for _ in range(2))
        )
        assert one == two
        assert one.metadata["request_id"] == "joined"
        assert shared.simulated.counts("claude").requests == 1
        assert shared.books().request("joined")["cost_nano"] == shared.simulated.billed("claude").nano

    async def test_fifty_at_once_over_connections(self, shared: Shared, program: Program) -> None:
        """From several connections of one user, too."""
        others = [await Program.open() for _ in range(4)]
        shared.behave("claude", Behaviour(delay_s=0.3))
        calls = (others[number % 4].complete("user_chat", "hello", request_id="fifty") for number in range(50))
        replies = await asyncio.gather(*calls)
        for other in others:
            await other.close()
        assert len({reply.content for reply in replies}) == 1
        assert shared.simulated.counts("claude").requests == 1

    async def test_it_outlives_its_caller(self, shared: Shared, program: Program) -> None:
        """Who chose an id may leave and fetch the answer later; without one the request ends with its caller."""
        shared.behave("claude", Behaviour(delay_s=0.5))
        for number, options in enumerate(({"request_id": "left"}, {}), 1):
            leaving = await Program.open()
            asking = asyncio.create_task(leaving.complete("user_chat", "hello", **options))
            await assert_eventually_async(lambda number=number: shared.simulated.counts("claude").requests == number)
            await leaving.close()
            await asyncio.gather(asking, return_exceptions=True)
            await assert_eventually_async(lambda: shared.books().rows[-1]["state"] != "pending")
        states = [row["state"] for row in shared.books().rows[-2:]]
        assert states == ["done", "cancelled"]
        [attempt] = shared.books().attempts_of(shared.books().rows[-1]["request_id"])
        assert (attempt["outcome"], attempt["cost_known"]) == ("cancelled", 0)
        assert attempt["cost_nano"] >= shared.simulated.billed_undelivered("claude").nano > 0
        shared.books().assert_balanced()
        reply = await program.complete("user_chat", "hello", request_id="left")
        assert reply.content.endswith("hello")
        assert shared.simulated.counts("claude").requests == 2


class TestAfterwards:
    async def test_again(self, shared: Shared, program: Program) -> None:
        """A finished answer comes again, paid once; the same content under another option that shapes nothing, too."""
        first = await program.complete("user_chat", "hello", request_id="again")
        second = await program.complete("user_chat", "hello", request_id="again", deadline_ms=5000)
        assert first == second
        assert shared.simulated.counts("claude").requests == 1
        assert len(shared.books().attempts_of("again")) == 1

    async def test_with_other_content(self, shared: Shared, program: Program) -> None:
        """Another prompt, task type or shaping option under a used id is RequestIdReused, also while it runs."""
        shared.behave("claude", Behaviour(delay_s=0.5))
        running = asyncio.create_task(program.complete("user_chat", "hello", request_id="used"))
        await assert_eventually_async(lambda: shared.simulated.counts("claude").requests == 1)
        for _ in range(2):
            with refused("RequestIdReused"):
                await program.complete("user_chat", "hello!", request_id="used")
            with refused("RequestIdReused"):
                await program.complete("requirement_parsing", "hello", request_id="used")
            with refused("RequestIdReused"):
                await program.complete("user_chat", "hello", request_id="used", max_tokens=7)
            await running
        assert shared.simulated.counts("claude").requests == 1

    async def test_a_failed_one_is_not_paid_again(self, shared: Shared, program: Program) -> None:
        """Its error has no answer to give again: AnswerExpired, with what it cost; nothing is sent."""
        for name in EVERYBODY:
            shared.behave(name, Behaviour(fault=Fault.EMPTY_BODY))
        with refused("NoProviderAvailable"):
            await program.complete("user_chat", "hello", request_id="failed")
        with refused("AnswerExpired") as text:
            await program.complete("user_chat", "hello", request_id="failed")
        assert text[0].endswith(f"[cost_nano_usd={shared.books().request('failed')['cost_nano']}]")
        assert shared.requests() == {"claude": 1, "kimi_k2": 1}

    async def test_two_users_may_use_the_same(self, shared: Shared, program: Program) -> None:
        """alice's request under root's id is her own."""
        await program.complete("user_chat", "of root", request_id="the-same")
        options = ("1", "request_id", "s", "the-same")
        message = ("1", "2", "role", "s", "user", "content", "s", "of alice")
        done = as_user("alice", call(NAME, "CompleteWithOptions", "saa{sv}a{sv}", "user_chat", *message, *options))
        assert "You said: of alice" in done.stdout, done.stderr

    async def test_after_a_restart(self, shared: Shared, program: Program) -> None:
        """The answer is gone, the cost is known: AnswerExpired, nothing is sent. Other content: RequestIdReused."""
        first = await program.complete("user_chat", "hello", request_id="restarted")
        shared.daemon.restart()
        with refused("AnswerExpired") as text:
            await program.complete("user_chat", "hello", request_id="restarted")
        assert text[0].endswith(f"[cost_nano_usd={first.cost_nano}]")
        with refused("RequestIdReused"):
            await program.complete("user_chat", "goodbye", request_id="restarted")
        assert shared.simulated.counts("claude").requests == 1
