"""Users take turns: one user's flood delays another's request by one place, and each queue and rate has a bound."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from cortexd.connection import BusError
from cortexd.errors import RateLimited
from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.namespace import PYTHON
from tests.system.program import ERROR, NAME, Program, Reply, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.terminal import switch_user, user_environment

CONFIG = "[daemon]\npreload_sdks = true\n"
CONNECTIONS = 10  # the bus lets one connection wait for 128 replies
PLACES, SLOT_S = 8, 0.05

# For each line read, ask and print the answer and the milliseconds it took.
NEIGHBOUR = """
import asyncio, json, sys, time
from tests.system.program import Program

async def main():
    program = await Program.open()
    while prompt := (await asyncio.to_thread(sys.stdin.readline)).strip():
        began = time.monotonic()
        reply = await program.complete("user_chat", prompt)
        print(json.dumps([reply.content, (time.monotonic() - began) * 1000]), flush=True)

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """alice, as a program with a connection of her own."""

    process: asyncio.subprocess.Process

    async def ask(self, prompt: str) -> tuple[str, float]:
        """The answer, and how long it took in ms."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{prompt}\n".encode())
        async with asyncio.timeout(30):
            content, took_ms = json.loads(await self.process.stdout.readline())
        return content, took_ms


@asynccontextmanager
async def neighbour() -> AsyncIterator[Neighbour]:
    """Known to the daemon and to polkit already."""
    process = await asyncio.create_subprocess_exec(
        *switch_user("alice", (PYTHON, "-c", NEIGHBOUR)),
        env=user_environment("alice"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        alice = Neighbour(process)
        await alice.ask("warm-up")
        yield alice
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def flood(count: int) -> AsyncIterator[list[asyncio.Task[Reply]]]:
    """root's requests, over several connections, all sent."""
    programs = [await Program.open() for _ in range(CONNECTIONS)]
    calls = (programs[number % CONNECTIONS].complete("user_chat", f"flood {number}") for number in range(count))
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        yield tasks
    finally:
        for program in programs:
            await program.close()
        await asyncio.gather(*tasks, return_exceptions=True)


def limits(**values: int) -> str:
    return f"{CONFIG}[limits]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())


async def told(program: Program, prompt: str) -> RateLimited:
    """The refusal of a request, as a client reads it."""
    with refused("RateLimited") as text:
        await program.complete("user_chat", prompt)
    return RateLimited.from_text(text[0])


async def requests(program: Program) -> list[dict[str, object]]:
    """The user's own that wait or are under way."""
    [rows] = await program.call(NAME, "ListRequests")
    assert isinstance(rows, list)
    return rows


def outcome(result: Reply | BaseException) -> str:
    if isinstance(result, BusError):
        return result.name.removeprefix(f"{ERROR}.")
    assert isinstance(result, Reply), result
    return "answered"


def active_upstream(shared: Shared) -> int:
    return shared.simulated.counts("claude").active


class TestFlood:
    @pytest.mark.slow
    @pytest.mark.parametrize(("per_user", "count"), [(PLACES * 2, 1000), (PLACES // 2, 400)])
    async def test_another_users_request_takes_its_turn(self, shared: Shared, per_user: int, count: int) -> None:
        """While one user holds all its places, or all there are, and has hundreds of requests waiting, another's is
        answered after about one place's time, again and again; and so are all of the first."""
        shared.reload(limits(max_active_requests=PLACES, max_active_requests_per_user=per_user))
        shared.behave("claude", Behaviour(delay_s=SLOT_S))
        async with neighbour() as alice, flood(count) as flooding:
            await assert_eventually_async(lambda: sum(task.done() for task in flooding) > count // 20, 30)
            took_ms = []
            for number in range(5):
                content, one_took_ms = await alice.ask(f"one-{number}")
                assert f"one-{number}" in content
                took_ms.append(one_took_ms)
            left = sum(not task.done() for task in flooding)
            async with asyncio.timeout(60):
                replies = await asyncio.gather(*flooding)
        assert left > count // 4, "the flood was over too soon to show anything"
        assert sorted(took_ms)[2] < 1000 * SLOT_S * 8, took_ms  # behind the flood it would be 5 s and more
        assert all(f"flood {number}" in reply.content for number, reply in enumerate(replies))
        assert shared.simulated.counts("claude").max_concurrent <= PLACES


class TestQueue:
    async def test_refuses_above_its_bound(self, shared: Shared, program: Program) -> None:
        """One under way and two waiting are answered; the others are refused at once, and told when to come again."""
        shared.reload(limits(max_active_requests=1, max_queued_requests_per_user=2))
        shared.behave("claude", Behaviour(delay_s=0.5))
        async with flood(5) as flooding:
            await assert_eventually_async(lambda: sum(task.done() for task in flooding) == 2)
            refusal = await told(program, "one more")
            results = await asyncio.gather(*flooding, return_exceptions=True)
        assert sorted(map(outcome, results)) == ["RateLimited"] * 2 + ["answered"] * 3
        assert "limits.max_queued_requests_per_user" in refusal.message
        assert refusal.details == {"retry_after_ms": 1000}
        assert shared.simulated.counts("claude").max_concurrent == 1
        assert shared.requests()["claude"] == 3

    async def test_full_it_has_room_for_another_user(self, shared: Shared) -> None:
        """alice is answered, and the latest of the user who has filled it is refused in her place."""
        async with neighbour() as alice:
            shared.reload(limits(max_active_requests=1, max_queued_requests=3))
            shared.behave("claude", Behaviour(delay_s=1.5))
            async with flood(5) as flooding:
                await assert_eventually_async(lambda: sum(task.done() for task in flooding) == 1)
                content, _ = await alice.ask("and me?")
                results = await asyncio.gather(*flooding, return_exceptions=True)
        assert content.endswith("and me?")
        assert sorted(map(outcome, results)) == ["RateLimited"] * 2 + ["answered"] * 3

    async def test_moves_on_when_limits_are_raised(self, shared: Shared) -> None:
        """A reload with more places lets in who waits, at once."""
        shared.reload(limits(max_active_requests=1))
        shared.behave("claude", Behaviour(delay_s=2.0))
        async with flood(3) as flooding:
            await assert_eventually_async(lambda: active_upstream(shared) == 1)
            shared.reload(limits(max_active_requests=8))
            await assert_eventually_async(lambda: active_upstream(shared) == 3)
            await asyncio.gather(*flooding)

    async def test_forgets_who_left(self, shared: Shared, program: Program) -> None:
        """Callers that leave the bus while they wait make room in the queue and cost nothing."""
        shared.reload(limits(max_active_requests=1, max_queued_requests_per_user=3))
        shared.behave("claude", Behaviour(delay_s=0.5))
        running = asyncio.create_task(program.complete("user_chat", "stays"))
        await assert_eventually_async(lambda: active_upstream(shared) == 1)
        async with flood(4) as flooding:
            await assert_eventually_async(lambda: sum(task.done() for task in flooding) == 1)
        async with asyncio.timeout(10):
            while len(await requests(program)) > 1:
                await asyncio.sleep(0.01)
        again = [asyncio.create_task(program.complete("user_chat", f"again {number}")) for number in range(3)]
        await asyncio.gather(running, *again)
        assert shared.requests()["claude"] == 4


class TestRequestsPerMinute:
    async def test_one_above_is_refused(self, shared: Shared, program: Program) -> None:
        """The fourth of three a minute is told the wait; another user is not touched."""
        shared.reload(limits(max_requests_per_minute_per_user=3))
        for number in range(3):
            await program.complete("user_chat", f"hello {number}")
        refusal = await told(program, "one more")
        assert "limits.max_requests_per_minute_per_user" in refusal.message
        assert 50_000 < int(refusal.details["retry_after_ms"]) <= 60_000
        async with neighbour() as alice:
            await alice.ask("hello")
        assert shared.requests()["claude"] == 5
