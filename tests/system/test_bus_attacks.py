"""Hostile callers against the whole daemon: it goes on serving the others, keeps nothing, and gives nothing away."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cortexd.connection import BusTimeout, Connection, system_address
from cortexd.demo.simulated import Behaviour, ControlClient
from tests.bus.private_dbus import RawPeer
from tests.eventually import assert_eventually, assert_eventually_async
from tests.system.caller import (
    INTROSPECTABLE,
    PEER,
    PROPERTIES,
    complete,
    completion,
    join_bus,
    message,
    open_files,
    own_files,
    read,
    refusal,
    resident_mb,
    send,
    shared_daemon,
    tcp_sockets,
)
from tests.system.calls import MAIN, USAGE, call
from tests.system.daemon import SIMULATED_KEYS, Daemon, name_owner
from tests.system.ledger_rows import ledger_rows
from tests.system.namespace import PYTHON, Service
from tests.system.people import Background, Completed

AsUser = Callable[..., Completed]
InBackground = Callable[..., Background]
CONFIG = "[authorization]\npolkit_timeout_s = 3.0\n[limits]\nmax_queued_requests_per_user = 768\n"
OTHER_POOL = "\nmax_connections = 5\n"
SPARE_FILES = 12  # SQLite opens and closes files as readers come and go
SPARE_MB = 200  # what 100 MB of answers at a time may leave behind in the allocator; it grows no further


@pytest.fixture(scope="module")
def attacked_of_module(namespace: Path, simulated_of_session: ControlClient) -> Iterator[Daemon]:
    with shared_daemon(namespace / "attacked", simulated_of_session, CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def size_before(attacked_of_module: Daemon) -> tuple[int, float]:
    return own_files(attacked_of_module.pid), resident_mb(attacked_of_module.pid)


@pytest.fixture
def attacked(
    request: pytest.FixtureRequest,
    attacked_of_module: Daemon,
    simulated: ControlClient,
    size_before: tuple[int, float],
) -> Iterator[Daemon]:
    """One daemon for the whole module. After each test it still serves, and holds no more than before the first."""
    yield attacked_of_module
    request.node.add_report_section("teardown", "log of cortexd", attacked_of_module.log()[-20_000:])
    pid = attacked_of_module.pid
    assert name_owner() == pid
    assert_eventually(lambda: own_files(pid) <= size_before[0] + SPARE_FILES, message="descriptors closed again")
    assert resident_mb(pid) < size_before[1] + SPARE_MB
    attacked_of_module.assert_clean_log()


@asynccontextmanager
async def connections(count: int) -> AsyncIterator[list[Connection]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(await join_bus()) for _ in range(count)]


async def at_rest(connection: Connection, simulated: ControlClient) -> None:
    """No request is under way, neither here nor at a provider."""
    async with asyncio.timeout(30):
        while await read(connection, "ActiveRequests"):
            await asyncio.sleep(0.02)
    await assert_eventually_async(lambda: simulated.counts("claude").active == 0, 20, "the provider at rest")


async def a_thousand_answers() -> None:
    async with connections(8) as eight:
        calls = [
            asyncio.create_task(send(eight[number % 8], message("Ask", "ss", "user_chat", f"number {number}")))
            for number in range(1000)
        ]
        await asyncio.sleep(0)
        assert sum(connection.pending_calls for connection in eight) == 1000
        answers = await asyncio.gather(*calls)
    assert {len(content) for [content] in answers} == {100_000}


class TestLoad:
    @pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.slow)])
    async def test_a_thousand_calls_in_flight(self, attacked: Daemon, simulated: ControlClient, times: int) -> None:
        """A thousand calls over eight connections, 100 KB each: every one gets its own whole answer, and goes."""
        simulated.behave("claude", Behaviour(size_bytes=100_000))
        sizes = []
        for _ in range(times):
            await a_thousand_answers()
            sizes.append(resident_mb(attacked.pid))
        assert simulated.counts("claude").answered == 1000 * times
        assert sizes[-1] < sizes[0] + 60


FLOOD = """
import asyncio, sys
from tests.system.caller import PEER, PROPERTIES, join_bus, message, send

def quiet(number):
    if number % 10 == 9:
        return message("Ask", "ss", "user_chat", f"flood {number}", quiet=True)
    if number % 2:
        return message("Get", "ss", "org.cortexlinux.LLMRouter", "TotalRequests", interface=PROPERTIES, quiet=True)
    return message("Ping", interface=PEER, quiet=True)

async def main():
    async with await join_bus() as connection:
        for number in range(int(sys.argv[1])):
            connection.send(quiet(number))
            if number % 500 == 0:
                assert await connection.drain(timeout_s=30)
        await send(connection, message("Ping", interface=PEER))
        print("all sent", flush=True)

asyncio.run(main())
"""

READINGS = """
import asyncio
from contextlib import suppress
from cortexd.connection import BusError
from tests.system.caller import join_bus, message, send
from tests.system.calls import USAGE

async def read_on(connection):
    while True:
        with suppress(BusError):
            await send(connection, message("GetStats", interface=USAGE))

async def main():
    connections = [await join_bus() for _ in range(12)]
    readers = [asyncio.create_task(read_on(connection)) for connection in connections for _ in range(120)]
    await asyncio.sleep(0)
    for connection in connections:
        await send(connection, message("Get", "ss", "org.cortexlinux.LLMRouter", "Version",
                                       interface="org.freedesktop.DBus.Properties"))
    print("reading", flush=True)
    await asyncio.gather(*readers)

asyncio.run(main())
"""


class TestFloods:
    async def test_20000_messages_that_want_no_reply(
        self, attacked: Daemon, simulated: ControlClient, background: InBackground
    ) -> None:
        """Beside alice's flood root's calls are all answered; when she leaves, what she had asked for is cancelled."""
        simulated.behave("claude", Behaviour(delay_s=60))
        flood = background("alice", [PYTHON, "-c", FLOOD, "20000"])
        served = 0
        async with await join_bus() as victim:
            while flood.process.poll() is None or served < 10:
                answer = await complete(victim, f"victim {served}", "code_generation")
                assert answer["content"].endswith(f"victim {served}")
                served += 1
            assert flood.output() == "all sent\n"
            await at_rest(victim, simulated)
        hers = ledger_rows(attacked.ledger_file, pwd.getpwnam("alice").pw_uid)
        assert len(hers) > 100
        assert {row.state for row in hers.values()} == {"cancelled"}
        assert all(row.consistent for row in hers.values())
        assert simulated.counts("claude").client_aborts == simulated.counts("claude").requests

    async def test_readings_without_end(self, attacked: Daemon, background: InBackground) -> None:
        """1,440 readings at a time, which need no leave, take no other user's place at the ledger."""
        flood = background("bob", [PYTHON, "-c", READINGS])
        flood.await_output("reading")
        async with await join_bus() as victim:
            for number in range(15):
                answer = await complete(victim, "hello", request_id=f"beside-readings-{number}")
                assert answer["cost_known"] is True
                [stats] = await send(victim, message("GetStats", interface=USAGE))
                assert stats["total_requests"] > 0
        assert flood.process.poll() is None, flood.output()

    async def test_subscriptions_of_one_user(self, attacked: Daemon, background: InBackground) -> None:
        """One user cannot take all subscriptions that the daemon grants."""
        greedy = background("bob", [PYTHON, "-c", SUBSCRIBE])
        greedy.await_output("refused")
        async with await join_bus() as other:
            await send(other, message("Subscribe", "a{sv}", {}, interface=USAGE))
        greedy.stop()
        async with await join_bus() as other:
            for _ in range(16):
                await send(other, message("Subscribe", "a{sv}", {}, interface=USAGE))
            refused = await refusal(send(other, message("Subscribe", "a{sv}", {}, interface=USAGE)))
            assert refused.name.endswith(".RateLimited")


SUBSCRIBE = """
import asyncio
from cortexd.connection import BusError
from tests.system.caller import join_bus, message, send
from tests.system.calls import USAGE

async def main():
    held = []
    try:
        for _ in range(100):
            held.append(await join_bus())
            for _ in range(16):
                await send(held[-1], message("Subscribe", "a{sv}", {}, interface=USAGE))
    except BusError as error:
        assert error.name.endswith(".RateLimited"), error
        print("refused", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


class TestStrayDescriptors:
    async def test_300_messages_with_descriptors_nobody_asked_for(self, attacked: Daemon) -> None:
        """Calls and signals may bring as many as the bus carries: the daemon keeps none of them."""
        before = own_files(attacked.pid)
        reading, writing = os.pipe()
        fds = [reading, writing] * 8
        async with await join_bus() as connection:
            for number in range(100):
                connection.send(message("Ping", interface=PEER, quiet=True, fds=fds))
                connection.send(message("NoSuchMethod", quiet=True, fds=fds[: number % 16 + 1]))
                await send(connection, message("Get", "ss", MAIN, "Version", interface=PROPERTIES, fds=fds))
            [answer] = await send(connection, message("Ask", "ss", "user_chat", "with a pipe", fds=fds))
            assert answer.endswith("with a pipe")
        os.close(reading)
        os.close(writing)
        assert_eventually(lambda: own_files(attacked.pid) <= before + SPARE_FILES, message="descriptors closed")


async def ask_and_leave(wait: Awaitable[object] | None = None, known: bool = False, **options: object) -> None:
    """One client's short life: it asks, waits until the daemon knows it or for something else, and is gone."""
    async with await join_bus() as connection:
        asking = asyncio.create_task(complete(connection, "I will not wait", **options))
        await asyncio.sleep(0)
        assert await connection.drain(timeout_s=10)
        if known:
            await send(connection, message("GetStats", interface=USAGE))
        if wait is not None:
            await wait
        asking.cancel()


class TestVanishingCallers:
    async def test_100_callers_who_leave(self, attacked: Daemon, simulated: ControlClient) -> None:
        """Fifty leave while a provider works for them, fifty at once: no work goes on, each row is cancelled."""
        simulated.behave("claude", Behaviour(delay_s=60))
        earlier = ledger_rows(attacked.ledger_file)
        working = asyncio.create_task(
            assert_eventually_async(lambda: simulated.counts("claude").requests >= 50, 30, "fifty requests upstream")
        )
        await asyncio.gather(*(ask_and_leave(working) for _ in range(50)))
        async with await join_bus() as observer:
            await at_rest(observer, simulated)
            slow = {key: row for key, row in ledger_rows(attacked.ledger_file).items() if key not in earlier}
            await asyncio.gather(*(ask_and_leave() for _ in range(50)))
            await at_rest(observer, simulated)
        counts = simulated.counts("claude")
        assert counts.client_aborts == counts.requests >= 50
        assert len(slow) == 50
        assert all(row.state == "cancelled" and row.cost_nano == row.reserved > 0 for row in slow.values()), slow
        assert not any(row.cost_known for row in slow.values()), "the provider may have billed"
        left = {key: row for key, row in ledger_rows(attacked.ledger_file).items() if key not in earlier}
        assert {row.state for row in left.values()} == {"cancelled"}
        assert all(row.consistent for row in left.values())

    async def test_while_polkit_is_asked(self, attacked: Daemon, simulated: ControlClient, polkitd: Service) -> None:
        """Callers who leave a silent polkitd's answer to nobody cost nothing and leave no trace in the log."""
        polkitd.pause()
        await asyncio.gather(*(ask_and_leave(known=True) for _ in range(20)))
        async with await join_bus() as patient:
            refused = await refusal(complete(patient, "I wait"))
            assert "polkit did not answer within 3 s" in refused.text
        polkitd.resume()
        assert simulated.counts("claude").requests == 0
        assert "never retrieved" not in attacked.log()

    async def test_a_chosen_id_outlives_its_caller(
        self, attacked: Daemon, simulated: ControlClient, as_user: AsUser
    ) -> None:
        """A request with a chosen id goes on alone; repeated it gives that answer, but not to another user."""
        simulated.behave("claude", Behaviour(times=1, delay_s=1, reply="for root alone"), Behaviour(reply="another"))
        working = asyncio.create_task(assert_eventually_async(lambda: simulated.counts("claude").requests, 30))
        await ask_and_leave(working, request_id="outlives")
        async with await join_bus() as later:
            for _ in range(2):  # under way, then kept
                answer = await complete(later, "I will not wait", request_id="outlives")
                assert answer["content"] == "for root alone"
            other = await refusal(complete(later, "something else", request_id="outlives"))
            assert other.name.endswith(".RequestIdReused")
        assert simulated.counts("claude").requests == 1
        assert ledger_rows(attacked.ledger_file)["outlives"].state == "done"
        turns = ["1", "2", "role", "s", "user", "content", "s", "I will not wait"]
        options = ["1", "request_id", "s", "outlives"]
        hers = as_user("alice", call(MAIN, "CompleteWithOptions", "saa{sv}a{sv}", "user_chat", *turns, *options))
        assert hers.stdout.startswith('sa{sv} "another"'), hers.stderr

    async def test_too_many_from_one_user(self, attacked: Daemon, simulated: ControlClient) -> None:
        """Past its share a user is told to wait, other users are served, and leaving frees the share."""
        simulated.behave("claude", Behaviour(delay_s=60))
        async with connections(9) as nine, await join_bus() as observer:
            asked = [
                asyncio.create_task(send(nine[number % 9], completion(f"one of many {number}")))
                for number in range(9 * 120)
            ]
            await assert_eventually_async(lambda: any(task.done() for task in asked), 30, "a refusal")
            refused = await refusal(next(task for task in asked if task.done()))
            assert refused.name.endswith(".RateLimited")
            assert "retry_after_ms=" in refused.text
            assert await read(observer, "ActiveRequests") <= 256
            for task in asked:
                task.cancel()
        async with await join_bus() as observer:
            await at_rest(observer, simulated)
            simulated.behave("claude", Behaviour())
            assert (await complete(observer, "again"))["cost_known"] is True


class TestDeafCallers:
    @pytest.mark.slow
    async def test_two_who_read_no_answer(self, attacked: Daemon) -> None:
        """They make the bus stop listening to the daemon, which notices and leaves; started again, it serves."""
        async with deaf_caller() as one, deaf_caller() as other, await join_bus() as victim:
            with pytest.raises(BusTimeout):
                await pester(one, other, victim)
            assert attacked.await_end(75) == 1
            assert "<2>cortexd.daemon: the bus connection ended: the bus has not answered for 30 s" in attacked.log()
            attacked.start()
            assert (await complete(victim, "hello"))["cost_known"] is True


def deaf_caller() -> Any:
    return RawPeer.open(SimpleNamespace(address=system_address()))  # type: ignore[arg-type]


async def pester(one: RawPeer, other: RawPeer, victim: Connection) -> None:
    """Ask for large answers that nobody reads, until the victim gets none."""
    for _ in range(2000):
        for _ in range(60):  # the bus lets 128 of a connection wait
            await one.send(message("Introspect", interface=INTROSPECTABLE))
            await other.send(message("Introspect", interface=INTROSPECTABLE))
        await send(victim, message("Ping", interface=PEER), timeout_s=5)


class TestAfterwards:
    async def test_connections_to_providers_end_with_their_client(self, attacked: Daemon) -> None:
        """After all this a reload with another pool closes every connection of the old one."""
        async with await join_bus() as connection:
            await asyncio.gather(*(complete(connection, "one of many") for _ in range(30)))
            open_before = set(open_files(attacked.pid)) & tcp_sockets(attacked.pid)
            assert open_before
            attacked.configure(f"{CONFIG}{''.join(f'[providers.{name}]{OTHER_POOL}' for name in SIMULATED_KEYS)}")
            attacked.reload()
            assert_eventually(lambda: not open_before & set(open_files(attacked.pid)), 10, "the old connections closed")
            assert (await complete(connection, "over a new connection"))["cost_known"] is True
