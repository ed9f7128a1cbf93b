"""Hostile callers against the whole daemon: it goes on serving the others, keeps nothing, and gives nothing away."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from cortexd.connection import BusError, BusTimeout, system_address
from simulated import Behaviour, ControlClient
from tests.bus.raw_peer import RawPeer
from tests.eventually import assert_eventually, assert_eventually_async
from tests.system.calls import call
from tests.system.daemon import SIMULATED_KEYS, name_owner
from tests.system.footprint import open_files, own_files, resident_mb, tcp_sockets
from tests.system.namespace import PYTHON, Service
from tests.system.people import Background, Completed
from tests.system.program import INTROSPECTABLE, NAME, PEER, PROPERTIES, STANDARD, Program, message, refused
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.users import uid_of

AsUser = Callable[..., Completed]
InBackground = Callable[..., Background]
WARM = True
CONFIG = "[authorization]\npolkit_timeout_s = 3.0\n[limits]\nmax_queued_requests_per_user = 768\n"
OTHER_POOL = "\nmax_connections = 5\n"
SPARE_FILES = 12  # SQLite opens and closes files as readers come and go
SPARE_MB = 200  # what 100 MB of answers at a time may leave behind in the allocator; it grows no further


@pytest.fixture(scope="module")
def size_before(shared_of_module: Shared) -> tuple[int, float]:
    pid = shared_of_module.daemon.pid
    return own_files(pid), resident_mb(pid)


@pytest.fixture
def attacked(shared: Shared, size_before: tuple[int, float]) -> Iterator[Shared]:
    """One daemon for the whole module. After each test it still serves, and holds no more than before the first."""
    yield shared
    pid = shared.daemon.pid
    assert name_owner() == pid
    assert_eventually(lambda: own_files(pid) <= size_before[0] + SPARE_FILES, message="descriptors closed again")
    assert resident_mb(pid) < size_before[1] + SPARE_MB
    shared.daemon.assert_clean_log()


@asynccontextmanager
async def programs(count: int) -> AsyncIterator[list[Program]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(await Program.open()) for _ in range(count)]


async def at_rest(program: Program, simulated: ControlClient) -> None:
    """No request is under way, neither here nor at a provider."""
    async with asyncio.timeout(30):
        while await program.property("ActiveRequests"):
            await asyncio.sleep(0.02)
    await assert_eventually_async(lambda: simulated.counts("claude").active == 0, 20, "the provider at rest")


async def a_thousand_answers() -> None:
    async with programs(8) as eight:
        calls = [
            asyncio.create_task(
                eight[number % 8].call(NAME, "Ask", "ss", "user_chat", f"number {number}", timeout_s=300)
            )
            for number in range(1000)
        ]
        await asyncio.sleep(0)
        assert sum(program.connection.pending_calls for program in eight) == 1000
        answers = await asyncio.gather(*calls)
    assert {len(content) for [content] in answers} == {100_000}


class TestLoad:
    @pytest.mark.timeout(900)  # 200 MB cross the bus, which a busy machine takes its time for
    @pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.slow)])
    async def test_a_thousand_calls_in_flight(self, attacked: Shared, simulated: ControlClient, times: int) -> None:
        """A thousand calls over eight connections, 100 KB each: every one gets its own whole answer, and goes."""
        simulated.behave("claude", Behaviour(size_bytes=100_000))
        sizes = []
        for _ in range(times):
            await a_thousand_answers()
            sizes.append(resident_mb(attacked.daemon.pid))
        assert simulated.counts("claude").answered == 1000 * times
        assert sizes[-1] < sizes[0] + 60


FLOOD = """
import asyncio, sys
from tests.system.program import NAME, PEER, PROPERTIES, Program, message

def quiet(number):
    if number % 10 == 9:
        return message("Ask", "ss", "user_chat", f"flood {number}", quiet=True)
    if number % 2:
        return message("Get", "ss", NAME, "TotalRequests", interface=PROPERTIES, quiet=True)
    return message("Ping", interface=PEER, quiet=True)

async def main():
    async with await Program.open() as program:
        for number in range(int(sys.argv[1])):
            program.connection.send(quiet(number))
            if number % 500 == 0:
                assert await program.connection.drain(timeout_s=30)
        await program.call(PEER, "Ping")
        print("all sent", flush=True)

asyncio.run(main())
"""

READINGS = """
import asyncio
from contextlib import suppress
from cortexd.connection import BusError
from tests.system.program import Program

async def read_on(program):
    while True:
        with suppress(BusError):
            await program.stats()

async def main():
    programs = [await Program.open() for _ in range(12)]
    readers = [asyncio.create_task(read_on(program)) for program in programs for _ in range(120)]
    await asyncio.sleep(0)
    for program in programs:
        await program.property("Version")
    print("reading", flush=True)
    await asyncio.gather(*readers)

asyncio.run(main())
"""


class TestFloods:
    async def test_20000_messages_that_want_no_reply(
        self, attacked: Shared, simulated: ControlClient, background: InBackground
    ) -> None:
        """Beside alice's flood root's calls are all answered; when she leaves, what she had asked for is cancelled."""
        simulated.behave("claude", Behaviour(delay_s=60))
        flood = background("alice", [PYTHON, "-c", FLOOD, "20000"])
        served = 0
        async with await Program.open() as victim:
            while flood.process.poll() is None or served < 10:
                answer = await victim.complete("code_generation", f"victim {served}")
                assert answer.content.endswith(f"victim {served}")
                served += 1
            assert flood.output() == "all sent\n"
            await at_rest(victim, simulated)
        books, alice = attacked.books(), uid_of("alice")
        hers = [row["state"] for row in books.rows if row["uid"] == alice]
        assert len(hers) > 100
        assert set(hers) == {"cancelled"}
        books.assert_balanced()
        assert simulated.counts("claude").client_aborts == simulated.counts("claude").requests

    async def test_readings_without_end(self, attacked: Shared, background: InBackground) -> None:
        """1,440 readings at a time, which need no leave, take no other user's place at the ledger."""
        flood = background("bob", [PYTHON, "-c", READINGS])
        flood.await_output("reading")
        async with await Program.open() as victim:
            for number in range(15):
                answer = await victim.complete("user_chat", "hello", request_id=f"beside-readings-{number}")
                assert answer.metadata["cost_known"] is True
                assert (await victim.stats())["total_requests"] > 0
        assert flood.process.poll() is None, flood.output()

    async def test_subscriptions_of_one_user(self, attacked: Shared, background: InBackground) -> None:
        """One user cannot take all subscriptions that the daemon grants."""
        greedy = background("bob", [PYTHON, "-c", SUBSCRIBE])
        greedy.await_output("refused")
        async with await Program.open() as other:
            await other.subscribe()
        greedy.stop()
        async with await Program.open() as other:
            for _ in range(16):
                await other.subscribe()
            with refused("RateLimited"):
                await other.subscribe()


SUBSCRIBE = """
import asyncio
from cortexd.connection import BusError
from tests.system.program import Program

async def main():
    held = []
    try:
        for _ in range(100):
            held.append(await Program.open())
            for _ in range(16):
                await held[-1].subscribe()
    except BusError as error:
        assert error.name.endswith(".RateLimited"), error
        print("refused", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


class TestStrayDescriptors:
    async def test_300_messages_with_descriptors_nobody_asked_for(self, attacked: Shared) -> None:
        """Calls and signals may bring as many as the bus carries: the daemon keeps none of them."""
        pid = attacked.daemon.pid
        before = own_files(pid)
        reading, writing = os.pipe()
        fds = [reading, writing] * 8
        async with await Program.open() as program:
            for number in range(100):
                program.connection.send(message("Ping", interface=PEER, quiet=True, fds=fds))
                program.connection.send(message("NoSuchMethod", quiet=True, fds=fds[: number % 16 + 1]))
                await program.send(message("Get", "ss", NAME, "Version", interface=PROPERTIES, fds=fds))
            [answer] = await program.send(message("Ask", "ss", "user_chat", "with a pipe", fds=fds))
            assert answer.endswith("with a pipe")
        os.close(reading)
        os.close(writing)
        assert_eventually(lambda: own_files(pid) <= before + SPARE_FILES, message="descriptors closed")


async def ask_and_leave(wait: Awaitable[object] | None = None, known: bool = False, **options: object) -> None:
    """One client's short life: it asks, waits until the daemon knows it or for something else, and is gone."""
    async with await Program.open() as program:
        asking = asyncio.create_task(program.complete("user_chat", "I will not wait", **options))
        await asyncio.sleep(0)
        assert await program.connection.drain(timeout_s=10)
        if known:
            await program.stats()
        if wait is not None:
            await wait
        asking.cancel()


class TestVanishingCallers:
    async def test_100_callers_who_leave(self, attacked: Shared, simulated: ControlClient) -> None:
        """Fifty leave while a provider works for them, fifty at once: no work goes on, each row is cancelled."""
        simulated.behave("claude", Behaviour(delay_s=60))
        earlier = len(attacked.books().rows)
        working = asyncio.create_task(
            assert_eventually_async(lambda: simulated.counts("claude").requests >= 50, 30, "fifty requests upstream")
        )
        await asyncio.gather(*(ask_and_leave(working) for _ in range(50)))
        async with await Program.open() as observer:
            await at_rest(observer, simulated)
            slow = attacked.books().rows[earlier:]
            await asyncio.gather(*(ask_and_leave() for _ in range(50)))
            await at_rest(observer, simulated)
        counts = simulated.counts("claude")
        assert counts.client_aborts == counts.requests >= 50
        assert len(slow) == 50
        assert all(row["state"] == "cancelled" and 0 < row["cost_nano"] <= row["reserved"] for row in slow), slow
        assert not any(row["cost_known"] for row in slow), "the provider may have billed"
        books = attacked.books()
        assert set(books.states[earlier:]) == {"cancelled"}
        books.assert_balanced()

    async def test_while_polkit_is_asked(self, attacked: Shared, simulated: ControlClient, polkitd: Service) -> None:
        """Callers who leave a silent polkitd's answer to nobody cost nothing and leave no trace in the log."""
        polkitd.pause()
        await asyncio.gather(*(ask_and_leave(known=True) for _ in range(20)))
        async with await Program.open() as patient:
            with refused(f"{STANDARD}AccessDenied") as text:
                await patient.complete("user_chat", "I wait")
            assert "polkit did not answer within 3 s" in text[0]
        polkitd.resume()
        assert simulated.counts("claude").requests == 0
        assert "never retrieved" not in attacked.daemon.log()

    async def test_a_chosen_id_outlives_its_caller(
        self, attacked: Shared, simulated: ControlClient, as_user: AsUser
    ) -> None:
        """A request with a chosen id goes on alone; repeated it gives that answer, but not to another user."""
        simulated.behave("claude", Behaviour(times=1, delay_s=1, reply="for root alone"), Behaviour(reply="another"))
        working = asyncio.create_task(assert_eventually_async(lambda: simulated.counts("claude").requests, 30))
        await ask_and_leave(working, request_id="outlives")
        async with await Program.open() as later:
            for _ in range(2):  # under way, then kept
                answer = await later.complete("user_chat", "I will not wait", request_id="outlives")
                assert answer.content == "for root alone"
            with refused("RequestIdReused"):
                await later.complete("user_chat", "something else", request_id="outlives")
        assert simulated.counts("claude").requests == 1
        assert attacked.books().request("outlives")["state"] == "done"
        turns = ["1", "2", "role", "s", "user", "content", "s", "I will not wait"]
        options = ["1", "request_id", "s", "outlives"]
        hers = as_user("alice", call(NAME, "CompleteWithOptions", "saa{sv}a{sv}", "user_chat", *turns, *options))
        assert hers.stdout.startswith('sa{sv} "another"'), hers.stderr

    async def test_too_many_from_one_user(self, attacked: Shared, simulated: ControlClient) -> None:
        """Past its share a user is told to wait, other users are served, and leaving frees the share."""
        simulated.behave("claude", Behaviour(delay_s=60))
        async with programs(9) as nine, await Program.open() as observer:
            asked = [
                asyncio.create_task(nine[number % 9].complete("user_chat", f"one of many {number}"))
                for number in range(9 * 120)
            ]
            await assert_eventually_async(lambda: any(task.done() for task in asked), 30, "a refusal")
            with refused("RateLimited") as text:
                await next(task for task in asked if task.done())
            assert "retry_after_ms=" in text[0]
            assert await observer.property("ActiveRequests") <= 256
            for task in asked:
                task.cancel()
        async with await Program.open() as observer:
            await at_rest(observer, simulated)
            simulated.behave("claude", Behaviour())
            assert (await observer.complete("user_chat", "again")).metadata["cost_known"] is True


class TestDeafCallers:
    @pytest.mark.slow
    async def test_two_who_read_no_answer(self, attacked: Shared, simulated: ControlClient) -> None:
        """They make the bus stop listening to the daemon, which notices and leaves; started again, it serves, and knows
        what was answered and what was cut off."""
        simulated.behave("claude", Behaviour(times=1), Behaviour(times=1, delay_s=60), Behaviour())
        async with (
            RawPeer.open(system_address()) as one,
            RawPeer.open(system_address()) as other,
            await Program.open() as victim,
        ):
            await victim.complete("user_chat", "hello", request_id="answered")
            under_way = asyncio.create_task(victim.complete("user_chat", "hello", request_id="under-way"))
            await assert_eventually_async(lambda: simulated.counts("claude").requests == 2, 30, "both upstream")
            with pytest.raises((BusTimeout, BusError)):
                await pester(one, other, victim)
            assert attacked.daemon.await_end() == 1
            assert re.search(
                "^<2>cortexd.daemon: the bus connection ended: "
                r"the bus has not read what we sent for 2\.5 s and served others$",
                attacked.daemon.log(),
                re.MULTILINE,
            )
            attacked.daemon.start()  # only now does the bus see that the one before has gone
            with refused(f"{STANDARD}NoReply"):
                await under_way
            for request_id in ("answered", "under-way"):
                with refused("AnswerExpired"):
                    await victim.complete("user_chat", "hello", request_id=request_id)
            assert simulated.counts("claude").requests == 2
            assert (await victim.complete("user_chat", "hello")).metadata["cost_known"] is True


async def pester(one: RawPeer, other: RawPeer, victim: Program) -> None:
    """Ask for large answers that nobody reads, until the victim gets none."""
    for _ in range(2000):
        for _ in range(60):  # the bus lets 128 of a connection wait
            await one.send(message("Introspect", interface=INTROSPECTABLE))
            await other.send(message("Introspect", interface=INTROSPECTABLE))
        await victim.call(PEER, "Ping", timeout_s=5)


class TestAfterwards:
    async def test_connections_to_providers_end_with_their_client(self, attacked: Shared) -> None:
        """After all this a reload with another pool closes every connection of the old one."""
        pid = attacked.daemon.pid
        async with await Program.open() as program:
            await asyncio.gather(*(program.complete("user_chat", "one of many") for _ in range(30)))
            open_before = set(open_files(pid)) & tcp_sockets(pid)
            assert open_before
            attacked.reload(f"{CONFIG}{''.join(f'[providers.{name}]{OTHER_POOL}' for name in SIMULATED_KEYS)}")
            assert_eventually(lambda: not open_before & set(open_files(pid)), 10, "the old connections closed")
            answer = await program.complete("user_chat", "over a new connection")
            assert answer.metadata["cost_known"] is True
