"""Ending requests: the own, wherever they stand, and nobody else's; and batches, many requests in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.namespace import PYTHON, Service
from tests.system.people import Background, as_user
from tests.system.program import ERROR, NAME, Json, Program, dictionary, messages, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream
from tests.system.users import open_as, programs_of, uid_of

CONFIG = "[daemon]\npreload_sdks = true\n[limits]\nmax_batch_requests = 20\n"
SLOW = Behaviour(delay_s=60)
InBackground = Callable[..., Background]
NO_SUCH = "You have no request with that id waiting or under way."

# alice's batch of three privileged requests and two ordinary ones, asked for interactively.
PRIVILEGED_BATCH = """
import asyncio
from dbus_next import Message, MessageFlag
from tests.system.program import NAME, PATH, Program, messages

TASKS = ("system_operation", "user_chat", "tool_execution", "system_operation", "code_generation")

async def main():
    program = await Program.open()
    reply = await program.connection.call(Message(
        destination=NAME, path=PATH, interface=NAME, member="CompleteBatch", signature="a(saa{sv})a{sv}",
        body=[[[task, messages(f"hello {task}")] for task in TASKS], {}],
        flags=MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION,
    ), timeout_s=60)
    for content, metadata in reply.body[0]:
        print(content, metadata["task_type"].value)

asyncio.run(main())
"""


async def requests(program: Program) -> list[Json]:
    [rows] = await program.call(NAME, "ListRequests")
    assert isinstance(rows, list)
    return rows


async def states(program: Program) -> list[str]:
    return [row["state"] for row in await requests(program)]


async def listed(program: Program, *expected: str) -> list[Json]:
    """The program's requests, once they are in these states."""
    async with asyncio.timeout(10):
        while await states(program) != list(expected):
            await asyncio.sleep(0.01)
    return await requests(program)


async def cancel(program: Program, request_id: str) -> None:
    assert await program.call(NAME, "Cancel", "s", request_id) == []


async def ends_cancelled(asking: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(5):
        with refused("Cancelled") as text:
            await asking
    assert text == ["the request was cancelled"]


async def batch(program: Program, prompts: list[str], task_type: str = "user_chat", **options: Any) -> list[list[Any]]:
    """Content and metadata of each."""
    rows = [[task_type, messages(prompt)] for prompt in prompts]
    [answers] = await program.call(NAME, "CompleteBatch", "a(saa{sv})a{sv}", rows, dictionary(options))
    assert isinstance(answers, list)
    return answers


async def at_provider(shared: Shared, count: int) -> None:
    """So many requests have come there and wait for their answer."""
    await assert_eventually_async(lambda: shared.simulated.counts("claude").active == count)


async def assert_counts(shared: Shared, *, requests: int, aborts: int) -> None:
    """So many requests have come to the provider, and so many of them were given up."""
    await assert_eventually_async(lambda: shared.simulated.counts("claude").client_aborts == aborts)
    await assert_eventually_async(lambda: shared.simulated.counts("claude").requests == requests)


def settled(shared: Shared, request_id: str) -> bool:
    return bool(shared.books().request(request_id)["state"] != "pending")


class TestByItsOwner:
    async def test_running(self, shared: Shared, program: Program) -> None:
        """Ended at the provider too; the row is settled at what may be billed; all who wait for it are told."""
        shared.behave("claude", SLOW)
        one, two = (asyncio.create_task(program.complete("user_chat", "hello", request_id="run")) for _ in range(2))
        await at_provider(shared, 1)
        [row] = await listed(program, "running")
        assert (row["request_id"], row["task_type"], row["provider"], row["detached"]) == (
            "run", "user_chat", "claude", True,
        )  # fmt: skip
        assert 0 < row["deadline_ms"] <= 600_000 - row["age_ms"]
        await cancel(program, "run")
        await ends_cancelled(one)
        await ends_cancelled(two)
        await assert_eventually_async(lambda: shared.simulated.counts("claude").client_aborts == 1)
        assert await requests(program) == []
        assert shared.books().request("run")["state"] == "cancelled"
        assert shared.books().request("run")["cost_nano"] >= shared.simulated.billed_undelivered("claude").nano > 0
        assert shared.simulated.counts("kimi_k2").requests == 0, "a cancelled request was tried elsewhere"
        shared.books().assert_balanced()

    async def test_by_an_id_that_the_service_chose(self, shared: Shared, program: Program) -> None:
        """ListRequests tells it, to another connection of the same user as well."""
        shared.behave("claude", SLOW)
        asking = asyncio.create_task(program.complete("user_chat", "hello"))
        async with programs_of("root") as (other,):
            [row] = await listed(other, "running")
            assert row["detached"] is False
            await cancel(other, row["request_id"])
        await ends_cancelled(asking)

    async def test_queued(self, shared: Shared, program: Program) -> None:
        """It never began: no row, nothing sent, and the place in the queue is free."""
        shared.reload(f"{CONFIG}max_active_requests_per_user = 1\nmax_queued_requests_per_user = 1\n")
        shared.behave("claude", SLOW)
        first = asyncio.create_task(program.complete("user_chat", "hello", request_id="first"))
        await listed(program, "running")
        for name in ("second", "third"):
            waiting = asyncio.create_task(program.complete("user_chat", "hello", request_id=name))
            _, queued = await listed(program, "running", "queued")
            assert (queued["request_id"], "provider" in queued) == (name, False)
            await cancel(program, name)
            await ends_cancelled(waiting)
        await cancel(program, "first")
        await ends_cancelled(first)
        assert not [row for row in shared.books().rows if row["request_id"] in ("second", "third")]
        assert shared.simulated.counts("claude").requests == 1
        shared.reload(CONFIG)

    async def test_while_polkit_is_asked(self, shared: Shared, polkitd: Service) -> None:
        """alice need not wait for a polkitd that says nothing; her next request is asked for anew."""
        async with programs_of("alice", "alice") as (alice, other):
            polkitd.pause()
            asking = asyncio.create_task(alice.complete("user_chat", "hello", request_id="asked"))
            await listed(other, "authorizing")
            await cancel(other, "asked")
            await ends_cancelled(asking)
            assert await requests(other) == []
            polkitd.resume()
            assert (await alice.complete("user_chat", "hello", request_id="asked")).content.endswith("hello")
        assert shared.simulated.counts("claude").requests == 1

    async def test_whoever_shares_its_check(self, shared: Shared, polkitd: Service) -> None:
        """Calls of one connection share a check. The one that asked is cancelled, then the next: the last is served."""
        async with programs_of("alice", "alice") as (alice, other):
            polkitd.pause()
            asking = []
            for number in range(3):
                name = f"sharing-{number}"
                asking.append(asyncio.create_task(alice.complete("user_chat", "hello", request_id=name)))
                await listed(other, *["authorizing"] * (number + 1))
            for number in range(2):
                await cancel(other, f"sharing-{number}")
                await ends_cancelled(asking[number])
            await listed(other, "authorizing")
            polkitd.resume()
            assert (await asking[2]).content.endswith("hello")
        assert shared.simulated.counts("claude").requests == 1

    async def test_streaming(self, shared: Shared, program: Program) -> None:
        """A stream and a call on the same request: both end, the stream in an error event."""
        shared.behave("claude", Behaviour(reply="word " * 1000, chunks=1000, chunk_delay_s=0.02))
        stream = await Stream.open(program, "user_chat", "hello", request_id="both")
        asking = asyncio.create_task(program.complete("user_chat", "hello", request_id="both"))
        assert b"text" in await stream.some()
        await listed(program, "streaming")
        await cancel(program, "both")
        await ends_cancelled(asking)
        assert (await stream.read())[-1]["name"] == f"{ERROR}.Cancelled"
        await assert_eventually_async(lambda: settled(shared, "both"))
        assert shared.books().request("both")["state"] == "cancelled"
        shared.books().assert_balanced()

    async def test_one_of_a_batch(self, shared: Shared, program: Program) -> None:
        """The others are answered; in its place stands Cancelled."""
        shared.behave("claude", Behaviour(delay_s=1))
        asking = asyncio.create_task(batch(program, ["one", "two", "three"], request_id="items"))
        rows = await listed(program, "running", "running", "running")
        assert sorted(row["request_id"] for row in rows) == ["items.0", "items.1", "items.2"]
        await cancel(program, "items.1")
        answers = await asking
        assert [content.rpartition(" ")[2] for content, _ in answers] == ["one", "", "three"]
        assert answers[1][1]["error_name"] == f"{ERROR}.Cancelled"
        assert shared.books().request("items.1")["state"] == "cancelled"

    async def test_afterwards_there_is_nothing_to_cancel(self, shared: Shared, program: Program) -> None:
        """Finished, cancelled before, never seen, or no id at all: the same words."""
        await program.complete("user_chat", "hello", request_id="finished")
        for request_id in ("finished", "never-seen", "", "x" * 100_000, "\ufffe", "a\nb"):
            with refused("RequestNotFound") as text:
                await program.call(NAME, "Cancel", "s", request_id)
            assert text == [NO_SUCH]


class TestByAnother:
    async def test_nobody_cancels_or_lists_anothers(self, shared: Shared, program: Program) -> None:
        """Not even root: alice's goes on, and the words are those for an id that never was."""
        shared.behave("claude", Behaviour(delay_s=1))
        async with programs_of("alice", "bob", "carol") as (alice, bob, carol):
            asking = asyncio.create_task(alice.complete("user_chat", "hello", request_id="hers"))
            await listed(alice, "running")
            for other in (bob, carol, program):
                assert await requests(other) == []
                for request_id in ("hers", "never-seen"):
                    with refused("RequestNotFound") as text:
                        await other.call(NAME, "Cancel", "s", request_id)
                    assert text == [NO_SUCH]
            assert (await asking).content.endswith("hello")


class TestBatches:
    async def test_order_and_errors(self, shared: Shared, program: Program) -> None:
        """Answers stand where their requests stood, however long each took; one that fails has its error there."""
        shared.behave("claude", Behaviour(times=1, delay_s=0.5), Behaviour(times=1, delay_s=0.25), Behaviour())
        rows = [["user_chat", messages(f"number {number}")] for number in range(6)]
        rows[2] = ["chatting", messages("hello")]
        rows[4] = ["user_chat", []]
        [answers] = await program.call(NAME, "CompleteBatch", "a(saa{sv})a{sv}", rows, {})
        for number in (0, 1, 3, 5):
            assert answers[number][0].endswith(f"number {number}")
            assert answers[number][1]["provider"] == "claude"
        for number, name in ((2, "UnknownTaskType"), (4, "InvalidArgument")):
            content, metadata = answers[number]
            assert (content, set(metadata)) == ("", {"error_name", "error_message"})
            assert metadata["error_name"] == f"{ERROR}.{name}"
            assert metadata["error_message"]
        shared.books().assert_balanced()

    async def test_a_few_at_a_time(self, shared: Shared, program: Program) -> None:
        """No more than the option `parallel` says; an empty batch is answered with nothing."""
        shared.behave("claude", Behaviour(delay_s=0.05))
        assert len(await batch(program, [f"number {number}" for number in range(12)], parallel=3)) == 12
        assert shared.simulated.counts("claude").max_concurrent == 3
        assert await batch(program, []) == []

    async def test_polkit_is_asked_once(self, shared: Shared, background: InBackground) -> None:
        """However many requests it holds; a second batch of the same connection within seconds is not asked for."""
        rule = "interface='org.freedesktop.PolicyKit1.Authority',member='CheckAuthorization'"
        checks = background("root", ["dbus-monitor", "--system", rule])
        checks.await_output("NameAcquired")
        async with programs_of("alice") as (alice,):
            for _ in range(2):
                assert len(await batch(alice, [f"number {number}" for number in range(20)])) == 20
        checks.await_output("CheckAuthorization")
        assert checks.output().count("member=CheckAuthorization") == 1
        assert f'"{NAME}.complete"' in checks.output()

    async def test_a_person_is_asked_once(self, shared: Shared) -> None:
        """One prompt for all that is privileged in it, which names the task types."""
        done = await asyncio.to_thread(as_user, "alice", [PYTHON, "-c", PRIVILEGED_BATCH], agent="allow")
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 5
        [asked] = done.asked
        assert asked.action_id == f"{NAME}.system-operation"
        assert "(system_operation, tool_execution)" in asked.message

    async def test_refused_as_a_whole(self, shared: Shared) -> None:
        """Without the authorization for one of its requests none is begun."""
        async with programs_of("alice") as (alice,):
            rows = [["user_chat", messages("hello")], ["tool_execution", messages("hello")]]
            with refused("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"):
                await alice.call(NAME, "CompleteBatch", "a(saa{sv})a{sv}", rows, {})
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}

    async def test_repeated_it_pays_nothing(self, shared: Shared, program: Program) -> None:
        """With its request_id it joins what is under way and gets the rest again; one more request is paid alone."""
        shared.behave("claude", Behaviour(delay_s=0.3))
        prompts = [f"number {number}" for number in range(5)]
        one, two = await asyncio.gather(*(batch(program, prompts, request_id="twice") for _ in range(2)))
        assert one == two == await batch(program, prompts, request_id="twice")
        assert shared.simulated.counts("claude").requests == 5
        assert (await batch(program, [*prompts, "number 5"], request_id="twice"))[:5] == one
        assert shared.simulated.counts("claude").requests == 6
        single = await program.complete("user_chat", "number 3", request_id="twice.3")
        assert [single.content, single.metadata] == one[3]
        changed = await batch(program, ["number 0", "another"], request_id="twice")
        assert changed[0] == one[0]
        assert changed[1][1]["error_name"] == f"{ERROR}.RequestIdReused"
        assert shared.simulated.billed("claude").nano == sum(
            shared.books().request(f"twice.{number}")["cost_nano"] for number in range(6)
        )

    async def test_it_ends_with_its_caller(self, shared: Shared, program: Program) -> None:
        """Requests under way are cancelled upstream, those to come are not begun; with an id all goes on."""
        shared.behave("claude", Behaviour(delay_s=1))
        for options, aborts, begun in (({}, 2, 2), ({"request_id": "stays"}, 0, 4)):
            for provider in ("claude", "kimi_k2"):
                shared.simulated.reset(provider)
            shared.behave("claude", Behaviour(delay_s=1))
            leaving = await open_as("alice")
            asking = asyncio.create_task(batch(leaving, ["a", "b", "c", "d"], parallel=2, **options))
            await at_provider(shared, 2)
            await leaving.close()
            await asyncio.gather(asking, return_exceptions=True)
            await assert_counts(shared, requests=begun, aborts=aborts)
            await at_provider(shared, 0)
        async with programs_of("alice") as (alice,):
            answers = await batch(alice, ["a", "b", "c", "d"], request_id="stays")
        assert [content[-1] for content, _ in answers] == ["a", "b", "c", "d"]
        assert shared.simulated.counts("claude").requests == 4
        hers = [row["state"] for row in shared.books().rows if row["uid"] == uid_of("alice")]
        assert hers[-6:] == ["cancelled"] * 2 + ["done"] * 4
        shared.books().assert_balanced()

    async def test_too_many(self, shared: Shared, program: Program) -> None:
        """limits.max_batch_requests is named, and nothing is sent."""
        with refused("TooLarge") as text:
            await batch(program, ["hello"] * 21)
        assert text == ["requests: expected at most 20 (limits.max_batch_requests), got 21"]
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"parallel": 0}, "options.parallel: expected a whole number from 1 to 64"),
            ({"parallel": 65}, "options.parallel"),
            ({"request_id": "x" * 58}, "options.request_id: expected at most 57 characters in a batch"),
        ],
    )
    async def test_options_of_the_batch(self, shared: Shared, program: Program, options: Json, words: str) -> None:
        """What concerns all of it is an error of the call."""
        with refused("InvalidArgument") as text:
            await batch(program, ["hello"], **options)
        assert words in text[0]

    async def test_a_wrong_option_is_each_requests_error(self, shared: Shared, program: Program) -> None:
        """It is said at each request, by its path, and nothing is sent."""
        answers = await batch(program, ["one", "two"], temprature=1.0)
        assert [metadata["error_name"] for _, metadata in answers] == [f"{ERROR}.InvalidArgument"] * 2
        assert "temperature" in answers[1][1]["error_message"]
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}
