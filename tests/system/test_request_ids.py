"""A caller's own request_id: joined while it runs, answered again afterwards, never paid twice."""

from __future__ import annotations

import asyncio
import time

import pytest

from simulated import Behaviour, Fault
from tests.eventually import assert_eventually, assert_eventually_async
from tests.system.calls import OBJECT, call
from tests.system.people import Completed, as_user
from tests.system.program import NAME, Json, Program, program_fixture, refused  # noqa: F401
from tests.system.shared import EVERYBODY, Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream, text_of
from tests.system.users import programs_of, uid_of

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

    async def test_a_call_outlives_the_stream_that_it_joined(self, shared: Shared, program: Program) -> None:
        """The stream's reader leaves in the middle; who waits for the same answer gets all of it."""
        shared.behave("claude", Behaviour(reply="word " * 100, chunks=100, chunk_delay_s=0.02))
        stream = await Stream.open(program, "user_chat", "hello", request_id="shared")
        joined = asyncio.create_task(program.complete("user_chat", "hello", request_id="shared"))
        await asyncio.sleep(0)
        await program.stats()  # so it has been taken in
        assert b"text" in await stream.some()
        stream.close()
        answer = await joined
        assert answer.content == "word " * 100
        assert answer.metadata["cost_known"] is True
        assert shared.simulated.counts("claude").requests == 1
        assert [attempt["outcome"] for attempt in shared.books().attempts_of("shared")] == ["ok"]

    async def test_it_outlives_its_caller(self, shared: Shared, program: Program) -> None:
        """Who chose an id may leave and fetch the answer later; without one the request ends with its caller."""
        shared.behave("claude", Behaviour(delay_s=0.5))
        for number, options in enumerate(({"request_id": "left"}, {}), 1):
            leaving = await Program.open()
            asking = asyncio.create_task(leaving.complete("user_chat", "hello", **options))
            await assert_asked(shared, number)
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

    @pytest.mark.parametrize("users", [("root",) * 5, ("alice", "root", "alice", "root", "alice")])
    async def test_a_hundred_at_once_are_one_for_each_user(self, shared: Shared, users: tuple[str, ...]) -> None:
        """Over five connections, half of them streams: one upstream request, a hundred equal answers, one cost."""
        shared.behave("claude", Behaviour(delay_s=0.5))
        ours = f"hundred-of-{len(set(users))}"
        async with programs_of(*users) as programs:
            calls = (answer(programs[number % 5], ours, streamed=number // 5 % 2 == 1) for number in range(100))
            answers = await asyncio.gather(*calls)
        rows = [row for row in shared.books().rows if row["request_id"] == ours]
        assert sorted(row["uid"] for row in rows) == sorted({uid_of(user) for user in users})
        assert shared.simulated.counts("claude").requests == len(rows)
        for user, row in zip(("root", "alice"), sorted(rows, key=lambda row: row["uid"]), strict=False):
            of_user = [answers[number] for number in range(100) if users[number % 5] == user]
            assert of_user == [of_user[0]] * len(of_user)
            assert of_user[0][1]["cost_nano_usd"] == row["cost_nano"]
        assert sum(row["cost_nano"] for row in rows) == shared.simulated.billed("claude").nano
        shared.books().assert_balanced()


class TestInAShell:
    """busctl gives up after 25 seconds, here after one."""

    def test_the_answer_is_there_when_the_call_is_repeated(self, shared: Shared) -> None:
        """Who chose a request_id gets what the first call was paid for, however often it timed out before."""
        shared.behave("claude", Behaviour(delay_s=2.5))
        for _ in range(2):
            assert "timed out" in busctl("--timeout=1", "request_id", "s", "patient").stderr
        assert "You said: hello" in busctl("--timeout=30", "request_id", "s", "patient").stdout
        assert "You said: hello" in busctl("--timeout=1", "request_id", "s", "patient").stdout
        counts = shared.simulated.counts("claude")
        assert (counts.requests, counts.client_aborts) == (1, 0)
        assert shared.books().request("patient")["cost_nano"] == shared.simulated.billed("claude").nano

    def test_without_an_id_the_request_ends_with_busctl(self, shared: Shared) -> None:
        """The provider sees the connection close the moment that busctl leaves; what it may bill is in the books."""
        shared.behave("claude", Behaviour(delay_s=60))
        assert "timed out" in busctl("--timeout=1", "fallback", "b", "true").stderr
        left = time.monotonic()
        assert_eventually(lambda: shared.simulated.counts("claude").client_aborts == 1, 5)
        assert time.monotonic() - left < 1
        row = assert_eventually(lambda: settled(shared.books().rows[-1]), 5)
        assert (row["uid"], row["state"], row["cost_known"]) == (uid_of("alice"), "cancelled", 0)
        assert row["cost_nano"] >= shared.simulated.billed_undelivered("claude").nano > 0
        assert shared.simulated.counts("claude").requests == 1
        shared.books().assert_balanced()


async def answer(program: Program, request_id: str, *, streamed: bool) -> tuple[str, Json]:
    """Text and metadata, by either way the same."""
    if not streamed:
        reply = await program.complete("user_chat", "hello", request_id=request_id)
        return reply.content, reply.metadata
    events = await (await Stream.open(program, "user_chat", "hello", request_id=request_id)).read()
    return text_of(events), events[-1]["metadata"]


def busctl(timeout: str, *option: str) -> Completed:
    """alice's call, as she would type it, with one option."""
    arguments = ("saa{sv}a{sv}", "user_chat", "1", "2", "role", "s", "user", "content", "s", "hello", "1", *option)
    return as_user("alice", ["busctl", "--system", timeout, "call", *OBJECT, NAME, "CompleteWithOptions", *arguments])


async def assert_asked(shared: Shared, times: int) -> None:
    await assert_eventually_async(lambda: shared.simulated.counts("claude").requests == times)


def settled(row: Json) -> Json | None:
    return None if row["state"] == "pending" else row


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

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_one_that_failed_for_nothing_is_asked_again(
        self, shared: Shared, program: Program, streamed: bool
    ) -> None:
        """An outage that cost nothing leaves the id free for the same request, before and after a restart."""
        ours = f"outage-{streamed}"
        for restarts in (False, True):
            for name in EVERYBODY:
                shared.behave(name, Behaviour(status=503))
            with refused("NoProviderAvailable"):
                await program.complete("user_chat", "hello", request_id=ours)
            if restarts:
                shared.daemon.restart()
        with refused("RequestIdReused"):
            await program.complete("user_chat", "goodbye", request_id=ours)
        shared.recover()
        first, metadata = await answer(program, ours, streamed=streamed)
        assert first.endswith("hello")
        assert await answer(program, ours, streamed=streamed) == (first, metadata)
        states = [row["state"] for row in shared.books().rows if row["request_id"].startswith(ours)]
        assert states == ["failed", "failed", "done"]
        assert shared.books().request(ours)["cost_nano"] == shared.simulated.billed("claude").nano
        shared.books().assert_balanced()

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
