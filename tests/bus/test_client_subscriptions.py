"""Live costs against the real daemon: who hears what, and what happens when service or bus come and go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from dbus_next import Message

from cortexd import errors
from cortexd.client import (
    AsyncClient,
    BudgetThreshold,
    Client,
    CostEvent,
    Event,
    PeriodStarted,
    ServiceChange,
    Snapshot,
    Subscription,
)
from cortexd.connection import Connection, wire
from tests.bus.private_dbus import PrivateBus, bus_fixture, no_leaks_fixture  # noqa: F401
from tests.bus.served import Served, served_fixture, served_of_module_fixture  # noqa: F401

DEADLINE_S = 20
T = TypeVar("T")


async def next_of(costs: Subscription) -> CostEvent:
    async with asyncio.timeout(DEADLINE_S):
        return await anext(costs)


async def next_event(costs: Subscription) -> Event:
    async with asyncio.timeout(DEADLINE_S):
        return await costs.next_event()


@asynccontextmanager
async def impostor(served: Served) -> AsyncIterator[tuple[Connection, Callable[[str], Message]]]:
    """A stranger on the bus, and the signals it forges for a given destination."""

    def forged(destination: str) -> Message:
        body = ["forged", "user_chat", "claude", "m", 1e9, {}]
        message = Message.new_signal(wire.OBJECT_PATH, wire.INTERFACE, "CostIncurred", "ssssda{sv}", body)
        message.destination = destination
        return message

    async with await Connection.open(served.address) as connection:
        yield connection, forged


class TestCosts:
    async def test_each_cost_arrives(self, served: Served) -> None:
        """Each request's cost arrives as it is settled, numbered, with the day's sum growing by it."""
        async with AsyncClient(served.address) as client, client.subscribe() as costs:
            first = await client.complete("user_chat", "one")
            second = await client.complete("code_generation", "two")
            heard = [await next_of(costs), await next_of(costs)]
        assert [event.request_id for event in heard] == [first.request_id, second.request_id]
        assert [event.cost_nano_usd for event in heard] == [first.cost_nano_usd, second.cost_nano_usd]
        assert [event.seq for event in heard] == [1, 2]
        assert [event.provider for event in heard] == ["claude", "kimi_k2"]
        day = costs.snapshot.day_usd + first.cost_usd
        assert heard[0].day_usd == pytest.approx(day)
        assert heard[1].day_usd == pytest.approx(day + second.cost_usd)

    async def test_filter(self, served: Served) -> None:
        """A filter lets only its task type or provider through, each subscription for itself."""
        async with (
            AsyncClient(served.address) as client,
            client.subscribe({"task_type": "code_generation"}) as code,
            client.subscribe({"provider": "claude"}) as claude,
        ):
            await client.ask("one")
            await client.ask("two", "code_generation")
            assert (await next_of(code)).task_type == "code_generation"
            assert (await next_of(claude)).task_type == "user_chat"
            await client.ask("three")
            assert (await next_of(claude)).seq == 2

    async def test_wrong_filter(self, served: Served) -> None:
        """A filter that the service does not know is an error at the beginning."""
        async with AsyncClient(served.address) as client:
            with pytest.raises(errors.InvalidArgument, match="unknown key"):
                await client.subscribe({"colour": "red"}).open()

    async def test_no_service(self, served: Served) -> None:
        """Without a service the beginning fails in words, and a later attempt succeeds."""
        served.stop()
        async with AsyncClient(served.address) as client:
            costs = client.subscribe()
            with pytest.raises(errors.ServiceUnavailable, match="not running"):
                await costs.open()
            served.start()
            await costs.open()
            await client.ask("hello")
            assert (await next_of(costs)).seq == 1

    async def test_forged_costs_are_ignored(self, served: Served) -> None:
        """Only the service's own signals count, whoever else sends some."""
        async with AsyncClient(served.address) as client, client.subscribe() as costs:
            async with impostor(served) as (stranger, forged):
                stranger.send(forged(costs._link.unique_name))
                await stranger.call_bus("GetId")  # the bus handles one connection's messages in order
            done = await client.complete("user_chat", "hello")
            assert (await next_of(costs)).request_id == done.request_id


class TestBudgetsAndPeriods:
    """Against a service of the test's own, since no day begins when a test would like it to."""

    async def test_only_from_the_owner(self, bus: PrivateBus) -> None:
        """Thresholds and periods count from the service alone, and only as the interface file has them."""
        async with (
            await Connection.open(bus.address) as owner,
            await Connection.open(bus.address) as stranger,
        ):
            owner.on_call = lambda message: owner.send(Message.new_method_return(message, "ua{sv}", [1, {}]))
            await owner.request_name(wire.BUS_NAME)
            async with AsyncClient(bus.address) as client, client.subscribe() as costs:
                to = costs._link.unique_name
                for message in (
                    told("PeriodStarted", "s", ["day"]),
                    told("PeriodStarted", "s", ["day"], to),
                    told("BudgetThreshold", "sddd", ["day", 0.9, 9.0, 10.0], to),
                ):
                    stranger.send(message)
                await stranger.call_bus("GetId")  # the bus handles one connection's messages in order
                for message in (
                    told("PeriodStarted", "u", [3]),
                    told("BudgetThreshold", "sdd", ["day", 0.8, 8.0], to),
                    told("BudgetThreshold", "sddd", ["day", 0.8, 8.0, 10.0], to),
                    told("PeriodStarted", "s", ["month"]),
                ):
                    owner.send(message)
                assert await next_event(costs) == BudgetThreshold("day", 0.8, 8.0, 10.0)
                assert await next_event(costs) == PeriodStarted("month")


def told(member: str, signature: str, body: list[object], to: str | None = None) -> Message:
    message = Message.new_signal(wire.OBJECT_PATH, wire.INTERFACE, member, signature, body)
    message.destination = to
    return message


class TestEnds:
    async def test_close_ends_the_iteration(self, served: Served) -> None:
        """close() ends a loop that waits, and every later one."""
        async with AsyncClient(served.address) as client:
            costs = await client.subscribe().open()

            async def count() -> int:
                return len([event async for event in costs])

            counting = [asyncio.create_task(count()), asyncio.create_task(count())]
            await asyncio.sleep(0)
            await costs.close()
            async with asyncio.timeout(DEADLINE_S):
                assert await asyncio.gather(*counting) == [0, 0]
                assert await count() == 0

    async def test_closing_the_client_ends_it(self, served: Served) -> None:
        """A client that closes ends its subscriptions."""
        client = AsyncClient(served.address)
        costs = await client.subscribe().open()
        await client.close()
        with pytest.raises(StopAsyncIteration):
            await next_of(costs)
        with pytest.raises(RuntimeError, match="closed"):
            client.subscribe()


class TestComingAndGoing:
    async def test_restart(self, served: Served) -> None:
        """A restarted service is subscribed to again; both changes are told, in order."""
        async with AsyncClient(served.address) as client, client.subscribe() as costs:
            served.stop()
            served.start()
            assert [await next_event(costs), await next_event(costs)] == [ServiceChange(False), ServiceChange(True)]
            done = await _ask_until_heard(client, costs)
            assert done.seq >= 1

    async def test_nobody_is_started(self, served: Served) -> None:
        """When the service leaves nothing is sent that would make the bus start it again."""
        async with await Connection.open(served.address) as monitor, AsyncClient(served.address) as client:
            seen: list[Message] = []
            monitor.on_signal = seen.append
            monitor.on_call = seen.append
            async with client.subscribe() as costs:
                await _watch_calls(monitor, served)
                served.stop()
                assert await next_event(costs) == ServiceChange(False)
                served.start()
                assert await next_event(costs) == ServiceChange(True)
                await _ask_until_heard(client, costs)
            calls = [message for message in seen if message.member == "Subscribe"]
            assert calls
            assert all(message.flags.value & 0x2 for message in calls)

    async def test_figures_after_a_return(self, served: Served) -> None:
        """Behind each return stands where the figures are, so that nobody shows those of before."""
        async with AsyncClient(served.address) as client, client.subscribe() as costs:
            before = (await client.complete("user_chat", "hello")).cost_usd + costs.snapshot.month_usd
            assert isinstance(await next_event(costs), CostEvent)
            served.stop()
            served.start()
            told = [await next_event(costs) for _ in range(3)]
            assert told[:2] == [ServiceChange(False), ServiceChange(True)]
            assert isinstance(told[2], Snapshot)
            assert told[2].month_usd == pytest.approx(before)

    async def test_a_client_that_starts_nobody_waits(self, served: Served) -> None:
        """Its subscription begins without a service, and no call of it makes the bus start one."""
        served.stop()
        async with (
            await Connection.open(served.address) as monitor,
            AsyncClient(served.address, start=False) as client,
        ):
            seen: list[Message] = []
            monitor.on_signal = seen.append
            monitor.on_call = seen.append
            await _watch_calls(monitor, served)
            async with client.subscribe() as costs:
                assert not costs.running
                with pytest.raises(errors.ServiceUnavailable):
                    await client.budgets()
                served.start()
                assert await next_event(costs) == ServiceChange(True)
                assert isinstance(await next_event(costs), Snapshot)
                assert costs.running
                await client.budgets()
        ours = [message for message in seen if message.destination == wire.BUS_NAME]
        assert {message.member for message in ours} >= {"Subscribe", "GetBudget"}
        assert all(message.flags.value & 0x2 for message in ours)

    async def test_lost_bus(self, served: Served) -> None:
        """After the bus was lost it connects and subscribes again by itself."""
        async with AsyncClient(served.address) as client, client.subscribe() as costs:
            served.end_bus()
            assert await next_event(costs) == ServiceChange(False)
            served.start_bus()
            served.start()
            assert await next_event(costs) == ServiceChange(True)
            await _ask_until_heard(client, costs)


class TestFromThreads:
    def test_iteration(self, served: Served) -> None:
        """An ordinary loop gets the costs; close() from another thread ends it."""
        with Client(served.address) as client, client.subscribe() as costs:
            assert costs.snapshot.month_usd >= 0
            done = client.complete("user_chat", "hello")
            assert next(costs).request_id == done.request_id
            heard: list[CostEvent] = []
            loop = threading.Thread(target=lambda: heard.extend(costs))
            loop.start()
            costs.close()
            loop.join(DEADLINE_S)
            assert not loop.is_alive()
            assert heard == []

    def test_events(self, served: Served) -> None:
        """events() tells of costs, and of the service's leaving and returning."""
        with Client(served.address) as client, client.subscribe() as costs:
            events = costs.events()
            client.ask("hello")
            assert isinstance(next(events), CostEvent)
            served.stop()
            assert next(events) == ServiceChange(running=False)
            served.start()
            assert next(events) == ServiceChange(running=True)
        assert list(events) == []


async def _watch_calls(monitor: Connection, served: Served) -> None:
    """See every call of every connection from now on."""
    message = Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus.Monitoring",
        member="BecomeMonitor",
        signature="asu",
        body=[["type='method_call'"], 0],
    )
    await monitor.call(message, timeout_s=DEADLINE_S)


async def _ask_until_heard(client: AsyncClient, costs: Subscription) -> CostEvent:
    """The subscription follows a new service soon, not at once: ask until a cost of it arrives."""
    async with asyncio.timeout(DEADLINE_S):
        heard = asyncio.create_task(anext(costs))
        while not heard.done():
            await client.ask("hello")
            await asyncio.wait([heard], timeout=0.05)
        return heard.result()
