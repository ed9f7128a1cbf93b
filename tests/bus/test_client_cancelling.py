"""Calls whose caller stops waiting: what ends with them, what goes on, and over which connections."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from cortexd import errors
from cortexd.client import AsyncClient, Client
from cortexd.client import link as link_of_client
from simulated import Behaviour, Fault
from tests.bus.private_dbus import no_leaks_fixture, open_fds  # noqa: F401
from tests.bus.served import Served, served_fixture, served_of_module_fixture  # noqa: F401
from tests.eventually import assert_eventually, assert_eventually_async

DEADLINE_S = 20


async def under_way(served: Served, count: int) -> None:
    """Wait until the provider has got `count` requests."""
    await assert_eventually_async(lambda: served.simulated.counts("claude").requests == count)


async def idle(client: AsyncClient) -> None:
    """Wait until the daemon works for nobody."""
    async with asyncio.timeout(DEADLINE_S):
        while (await client.properties()).active_requests:
            await asyncio.sleep(0.01)


class TestWithoutAnId:
    async def test_cancelled_task(self, served: Served) -> None:
        """Cancelling the task that waits ends its request, and the client goes on over a new connection."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG, times=1), Behaviour())
        async with AsyncClient(served.address) as watcher, AsyncClient(served.address) as client:
            asking = asyncio.create_task(client.ask("hello"))
            await under_way(served, 1)
            before = client.unique_name
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await idle(watcher)
            await assert_eventually_async(lambda: served.simulated.counts("claude").client_aborts == 1)
            assert await client.ask("again")
            assert client.unique_name != before

    async def test_impatient_caller(self, served: Served) -> None:
        """So does asyncio.timeout()."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG, times=1))
        async with AsyncClient(served.address) as watcher, AsyncClient(served.address) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await client.ask("hello")
            await idle(watcher)

    async def test_others_keep_their_connection(self, served: Served) -> None:
        """Other calls get their answers; the connection ends, and the request with it, after the last of them."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG, times=1), Behaviour(delay_s=0.5))
        async with AsyncClient(served.address) as watcher, AsyncClient(served.address) as client:
            hanging = asyncio.create_task(client.ask("one"))
            await under_way(served, 1)
            slow = asyncio.create_task(client.ask("two"))
            await under_way(served, 2)
            hanging.cancel()
            await asyncio.wait([hanging])
            assert await client.ask("three", "code_generation")
            assert await slow
            await idle(watcher)

    async def test_connections_are_bounded(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        """However often somebody gives up beside a long call, few connections are open, and all end with it."""
        monkeypatch.setattr(link_of_client, "_MOST_LEAVING", 2)
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG))
        async with AsyncClient(served.address) as client:
            fds, calls = open_fds(), []
            for count in range(1, 9, 2):
                pair = [asyncio.create_task(client.ask("hello")) for _ in range(2)]
                await under_way(served, count + 1)
                calls.append(pair[0])
                pair[1].cancel()
                await asyncio.wait([pair[1]])
            assert open_fds() - fds == 3
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            await idle(client)
            assert open_fds() - fds <= 1

    def test_interrupted_thread(self, served: Served) -> None:
        """Ctrl-C in a program that waits with the synchronous client ends its request."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG))
        program = (
            "import sys\nfrom cortexd.client import Client\n"
            "with Client(sys.argv[1]) as client:\n"
            "    try:\n        client.ask('hello')\n"
            "    except KeyboardInterrupt:\n"
            "        while client.properties().active_requests: pass\n"
            "        print('ended')\n"
        )
        argv = [sys.executable, "-c", program, served.address]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()) as process:
            assert_eventually(lambda: served.simulated.counts("claude").requests == 1, DEADLINE_S)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=DEADLINE_S)
        assert output == "ended\n"


class TestWithAnId:
    async def test_goes_on(self, served: Served) -> None:
        """A request with an id of the caller's choosing goes on; repeating the call gets its answer, paid once."""
        served.simulated.behave("claude", Behaviour(delay_s=0.5))
        async with AsyncClient(served.address) as client:
            asking = asyncio.create_task(client.complete("user_chat", "hello", request_id="goes-on"))
            await under_way(served, 1)
            asking.cancel()
            await asyncio.wait([asking])
            [request] = await client.requests()
            assert (request.request_id, request.task_type, request.detached) == ("goes-on", "user_chat", True)
            assert request.age_ms >= 0
            assert request.deadline_ms > 0
            assert (await client.complete("user_chat", "hello", request_id="goes-on")).request_id == "goes-on"
            assert await client.requests() == []
        assert served.simulated.counts("claude").requests == 1

    async def test_cancel(self, served: Served) -> None:
        """cancel() ends it; whoever waits for it gets Cancelled."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG))
        async with AsyncClient(served.address) as client:
            asking = asyncio.create_task(client.complete("user_chat", "hello", request_id="to-cancel"))
            await under_way(served, 1)
            await client.cancel("to-cancel")
            with pytest.raises(errors.Cancelled):
                await asking
            with pytest.raises(errors.RequestNotFound):
                await client.cancel("to-cancel")

    def test_cancel_from_another_thread(self, served: Served) -> None:
        """The synchronous client lists and cancels too."""
        with Client(served.address) as client:
            assert client.requests() == []
            with pytest.raises(errors.RequestNotFound):
                client.cancel("nothing-of-the-kind")
