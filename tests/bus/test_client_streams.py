"""Streams of the real daemon: what arrives, and what the provider notices when the reader leaves."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cortexd import errors
from cortexd.client import (
    AsyncClient,
    Client,
    ContinueEvent,
    DoneEvent,
    FallbackEvent,
    Stream,
    StreamEvent,
    TextEvent,
    ToolCallEvent,
)
from simulated import Behaviour, Fault
from tests.bus.private_dbus import no_leaks_fixture, open_fds  # noqa: F401
from tests.bus.served import Served, served_fixture, served_of_module_fixture  # noqa: F401
from tests.eventually import assert_eventually, assert_eventually_async

DEADLINE_S = 20
WORDS = "".join(f"word {n} ü " for n in range(10_000))
SLOW = Behaviour(reply=WORDS, chunks=1000, chunk_delay_s=0.05)


async def idle(client: AsyncClient) -> None:
    """Wait until the daemon works for nobody."""
    async with asyncio.timeout(DEADLINE_S):
        while (await client.properties()).active_requests:
            await asyncio.sleep(0.01)


async def events_of(stream: Stream) -> list[StreamEvent]:
    return [event async for event in stream.events()]


class TestAnswers:
    async def test_whole_and_in_order(self, served: Served) -> None:
        """A long answer arrives in pieces that make up the whole; the end says what it took."""
        served.simulated.behave("claude", Behaviour(reply=WORDS, chunks=10_000))
        async with AsyncClient(served.address) as client:
            async with client.stream("user_chat", "hello") as stream:
                assert stream.request_id
                pieces = [piece async for piece in stream]
            assert "".join(pieces) == WORDS == stream.completion.content
            assert len(pieces) > 10
            done = stream.completion
            assert (done.request_id, done.provider, done.finish_reason) == (stream.request_id, "claude", "stop")
            assert done.tokens.output > 0
            assert done.cost_nano_usd > 0
            assert (done.settled, done.cost_known) == (True, True)
            assert [attempt.provider for attempt in done.attempts] == ["claude"]

    async def test_tool_call(self, served: Served) -> None:
        """A tool call comes as an event once it is whole, and in the completion."""
        served.simulated.behave("kimi_k2", Behaviour(tool_calls=(("weather", '{"city": "Bonn"}'),)))
        tool = {"name": "weather", "parameters": {"type": "object"}}
        async with AsyncClient(served.address) as client:
            stream = client.stream("configuration", "weather?", tools=[tool])
            events = [event async for event in stream.events()]
        [call] = [event.tool_call for event in events if isinstance(event, ToolCallEvent)]
        assert (call.name, call.arguments) == ("weather", '{"city": "Bonn"}')
        assert stream.completion.tool_calls == (call,)
        assert isinstance(events[-1], DoneEvent)

    async def test_fallback_in_the_middle(self, served: Served) -> None:
        """When the first provider breaks off the second one starts again, and an event says so."""
        served.simulated.behave("claude", Behaviour(reply=WORDS, chunks=100, fault=Fault.RESET_MID_BODY, cut_after=50))
        served.simulated.behave("kimi_k2", Behaviour(reply="the other answer"))
        async with AsyncClient(served.address) as client:
            stream = client.stream("user_chat", "hello")
            events = [event async for event in stream.events()]
        [fallback] = [event for event in events if isinstance(event, FallbackEvent)]
        assert fallback.provider == "kimi_k2"
        assert fallback.reason
        assert isinstance(events[0], TextEvent)
        assert stream.restarted
        assert stream.text == stream.completion.content == "the other answer"
        assert [attempt.provider for attempt in stream.completion.attempts] == ["claude", "kimi_k2"]

    @pytest.mark.parametrize("on_break", ["continue", "fail"])
    async def test_what_becomes_of_a_break_can_be_said(self, served: Served, on_break: str) -> None:
        """Another provider goes on from there, and the text is one; or it is the error."""
        served.simulated.behave("claude", Behaviour(reply=WORDS, chunks=100, fault=Fault.END_EARLY, cut_after=50))
        served.simulated.behave("kimi_k2", Behaviour(reply="<the rest>"))
        async with AsyncClient(served.address) as client:
            stream = client.stream("user_chat", "hello", on_break=on_break)
            if on_break == "fail":
                with pytest.raises(errors.ProviderFailed):
                    await events_of(stream)
                assert WORDS.startswith(stream.text)
                return
            events = await events_of(stream)
        [continued] = [event for event in events if isinstance(event, ContinueEvent)]
        told = "".join(event.text for event in events[: events.index(continued)] if isinstance(event, TextEvent))
        assert continued.provider == "kimi_k2"
        assert (bool(told), WORDS.startswith(told), stream.restarted) == (True, True, False)
        assert stream.text == stream.completion.content == told + "<the rest>"

    async def test_fallback_before_the_first_piece(self, served: Served) -> None:
        """A provider that fails before it said anything is replaced without a word."""
        served.simulated.behave("claude", Behaviour(status=529))
        async with AsyncClient(served.address) as client:
            stream = client.stream("user_chat", "hello")
            assert [piece async for piece in stream]
            assert stream.completion.provider == "kimi_k2"
            assert not stream.restarted

    async def test_many_at_once(self, served: Served) -> None:
        """Fifty streams of one client run side by side."""
        async with AsyncClient(served.address) as client:

            async def read(number: int) -> str:
                async with client.stream("user_chat", f"number {number}") as stream:
                    return "".join([piece async for piece in stream])

            answers = await asyncio.gather(*map(read, range(50)))
        assert answers == [f"[claude-sonnet-5-5] You said: number {n}" for n in range(50)]


class TestErrors:
    async def test_before_it_began(self, served: Served) -> None:
        """What is wrong with the request is raised by opening it."""
        async with AsyncClient(served.address) as client:
            with pytest.raises(errors.UnknownTaskType, match="did you mean 'user_chat'"):
                await client.stream("user_chart", "hello").open()

    async def test_in_the_middle(self, served: Served) -> None:
        """When nobody can finish the answer, reading raises what complete() would."""
        served.simulated.behave("claude", Behaviour(reply=WORDS, chunks=100, fault=Fault.RESET_MID_BODY, cut_after=50))
        async with AsyncClient(served.address) as client, client.stream("user_chat", "hi", fallback=False) as stream:
            with pytest.raises((errors.NoProviderAvailable, errors.ProviderFailed)):
                async for _ in stream:
                    pass
            assert stream.text

    async def test_killed_daemon(self, served: Served) -> None:
        """A daemon that dies in the middle is an error in words; the same client then uses the next one."""
        served.simulated.behave("claude", SLOW)
        async with AsyncClient(served.address) as client:
            async with client.stream("user_chat", "hello") as stream:
                assert await anext(stream)
                served.stop(number=9)  # type: ignore[arg-type]
                with pytest.raises(errors.ServiceUnavailable, match="broke off"):
                    async for _ in stream:
                        pass
            served.start()
            served.simulated.reset("claude")
            assert await client.ask("again")

    async def test_silent_provider(self, served: Served) -> None:
        """A client with a short timeout does not wait for a provider that says nothing, and nobody pays on."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG))
        async with AsyncClient(served.address, timeout_s=0.5) as client:
            with pytest.raises(errors.Timeout):
                async for _ in client.stream("user_chat", "hello", fallback=False):
                    pass
            await idle(client)


class TestLeaving:
    @pytest.mark.parametrize("way", ["context", "close", "cancel", "drop"])
    async def test_request_ends(self, served: Served, way: str) -> None:
        """However a reader leaves, the request ends at once, and the provider sees it."""
        served.simulated.behave("claude", SLOW)
        async with AsyncClient(served.address) as client:
            fds = open_fds()
            stream = client.stream("user_chat", "hello")
            assert await anext(stream)
            await _WAYS[way](stream)
            del stream
            gc.collect()
            await idle(client)
            await assert_eventually_async(lambda: served.simulated.counts("claude").client_aborts == 1)
            await assert_eventually_async(lambda: open_fds() <= fds + 1)

    async def test_cancel(self, served: Served) -> None:
        """cancel() from elsewhere ends a stream as Cancelled."""
        served.simulated.behave("claude", SLOW)
        async with AsyncClient(served.address) as client, client.stream("user_chat", "hello") as stream:
            assert await anext(stream)
            [request] = await client.requests()
            assert (request.request_id, request.state) == (stream.request_id, "streaming")
            await client.cancel(stream.request_id)
            with pytest.raises(errors.Cancelled):
                async for _ in stream:
                    pass

    async def test_with_an_id(self, served: Served) -> None:
        """A stream ends with its reader also where the caller chose its id."""
        served.simulated.behave("claude", SLOW)
        async with AsyncClient(served.address) as client:
            async with client.stream("user_chat", "hello", request_id="stream-1") as stream:
                assert stream.request_id == "stream-1"
                assert await anext(stream)
            await idle(client)
            await assert_eventually_async(lambda: served.simulated.counts("claude").client_aborts == 1)

    async def test_closing_the_client(self, served: Served) -> None:
        """A client that closes ends its streams."""
        served.simulated.behave("claude", SLOW)
        client = AsyncClient(served.address)
        stream = client.stream("user_chat", "hello")
        assert await anext(stream)
        await client.close()
        async for _ in stream:
            pass
        async with AsyncClient(served.address) as other:
            await idle(other)

    async def test_given_up_while_opening(self, served: Served) -> None:
        """A pipe that arrives after its caller has gone is closed."""
        served.simulated.behave("claude", SLOW)
        async with AsyncClient(served.address) as client:
            await client.connect()
            for _ in range(20):
                opening = asyncio.create_task(client.stream("user_chat", "hello").open())
                await asyncio.sleep(0)
                opening.cancel()
                await asyncio.wait([opening])
            await idle(client)


async def _leave_context(stream: object) -> None:
    async with stream:  # type: ignore[attr-defined]
        pass


async def _close(stream: object) -> None:
    await stream.close()  # type: ignore[attr-defined]


async def _cancel(stream: object) -> None:
    async def read_all() -> None:
        async for _ in stream:  # type: ignore[attr-defined]
            pass

    reading = asyncio.create_task(read_all())
    await asyncio.sleep(0.05)
    reading.cancel()
    await asyncio.wait([reading])


async def _drop(stream: object) -> None:
    """The caller does."""


_WAYS = {"context": _leave_context, "close": _close, "cancel": _cancel, "drop": _drop}


class TestFromThreads:
    def test_pieces(self, served: Served) -> None:
        """An ordinary loop gets the pieces."""
        served.simulated.behave("claude", Behaviour(reply=WORDS, chunks=10_000))
        with Client(served.address) as client:
            with client.stream("user_chat", "hello") as stream:
                assert stream.request_id
                assert "".join(stream) == WORDS
            assert stream.completion.content == stream.text == WORDS
            assert not stream.restarted
            *_, last = client.stream("user_chat", "hello").events()
            assert isinstance(last, DoneEvent)

    def test_many_threads(self, served: Served) -> None:
        """Sixteen threads stream with one client."""

        def read(number: int) -> str:
            with client.stream("user_chat", f"number {number}") as stream:
                return "".join(stream)

        with Client(served.address) as client, ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(read, range(64)))
        assert answers == [f"[claude-sonnet-5-5] You said: number {n}" for n in range(64)]

    def test_leaving(self, served: Served) -> None:
        """break ends the request, close() from another thread ends a loop that waits, and so does close() of all."""
        served.simulated.behave("claude", SLOW)
        with Client(served.address) as client:
            for _ in client.stream("user_chat", "hello"):
                break
            gc.collect()
            assert_eventually(lambda: client.properties().active_requests == 0, DEADLINE_S)
            assert self._pieces_until(client.stream("user_chat", "hello"), lambda stream: stream.close())
            assert_eventually(lambda: client.properties().active_requests == 0, DEADLINE_S)
            assert self._pieces_until(client.stream("user_chat", "hello"), lambda _stream: client.close())

    def _pieces_until(self, stream, end) -> list[str]:  # type: ignore[no-untyped-def]
        heard: list[str] = []
        reading = threading.Thread(target=lambda: heard.extend(stream))
        reading.start()
        assert_eventually(lambda: stream.text, DEADLINE_S)
        end(stream)
        reading.join(DEADLINE_S)
        assert not reading.is_alive()
        return heard

    def test_errors(self, served: Served) -> None:
        """Errors are raised by the loop or by opening it."""
        with Client(served.address) as client, pytest.raises(errors.UnknownTaskType):
            client.stream("nonsense", "hello").open()
