"""OpenStream: answers as they arrive, whole and in order; a reader that leaves ends what it no longer wants."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexd.connection import Connection, system_address
from simulated import Behaviour, Fault
from tests.eventually import assert_eventually_async
from tests.system.calls import GDBUS, call
from tests.system.people import Completed
from tests.system.program import NAME, STANDARD, Program, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream, text_of

AsUser = Callable[..., Completed]
CONFIG = "[daemon]\npreload_sdks = true\n[limits]\nmax_streams_per_user = 60\nstream_stall_s = 20.0\n"


def rss_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


class TestWhole:
    @pytest.mark.parametrize(("task_type", "provider"), [("user_chat", "claude"), ("code_generation", "kimi_k2")])
    async def test_it_says_what_the_plain_call_says(
        self, shared: Shared, program: Program, task_type: str, provider: str
    ) -> None:
        """Text, metadata and cost are those of Complete, for both kinds of provider."""
        plain = await program.complete(task_type, "tell me something long, please " * 20)
        stream = await Stream.open(program, task_type, "tell me something long, please " * 20)
        events = await stream.read()
        assert text_of(events) == plain.content
        metadata = events[-1]["metadata"]
        assert events[-1]["type"] == "done"
        assert (metadata["provider"], metadata["request_id"]) == (provider, stream.request_id)
        for key in ("input_tokens", "output_tokens", "cost_nano_usd", "cost_known", "finish_reason", "model"):
            assert metadata[key] == plain.metadata[key]
        assert metadata["time_to_first_token_ms"] >= 0
        assert shared.books().request(stream.request_id)["state"] == "done"
        shared.books().assert_balanced()

    async def test_tool_calls_come_whole(self, shared: Shared, program: Program) -> None:
        """One event per call, its arguments as JSON text."""
        shared.behave("claude", Behaviour(reply="Let me see.", tool_calls=(("look", '{"path": "/etc"}'),)))
        tools = [{"name": "look", "parameters": '{"type": "object", "properties": {}}'}]
        events = await (await Stream.open(program, "user_chat", "look", tools=tools)).read()
        [tool] = [event for event in events if event["type"] == "tool_call"]
        assert (tool["name"], tool["arguments"].replace(" ", "")) == ("look", '{"path":"/etc"}')
        assert events[-1]["metadata"]["finish_reason"] == "tool_calls"

    async def test_text_comes_before_the_answer_is_complete(self, shared: Shared, program: Program) -> None:
        """The first piece is there while the provider still speaks."""
        shared.behave("claude", Behaviour(reply="word " * 40, chunks=20, chunk_delay_s=0.1))
        stream = await Stream.open(program, "user_chat", "hello")
        assert b'"text"' in await stream.some()
        assert shared.books().request(stream.request_id)["state"] == "pending"
        [row] = (await program.call(NAME, "ListRequests"))[0]
        assert (row["request_id"], row["state"], row["provider"]) == (stream.request_id, "streaming", "claude")
        stream.close()

    async def test_refusals_are_errors_of_the_call(self, shared: Shared, program: Program) -> None:
        """Bad options never become a stream, and leave no descriptor behind."""
        before = len(list(Path(f"/proc/{shared.daemon.pid}/fd").iterdir()))
        with refused("InvalidArgument"):
            await Stream.open(program, "user_chat", "hello", temprature=1.0)
        with refused("UnknownTaskType"):
            await Stream.open(program, "chatting", "hello")
        with refused("BudgetExceeded"):
            await Stream.open(program, "user_chat", "hello", max_cost_usd=0.0000001)
        assert len(list(Path(f"/proc/{shared.daemon.pid}/fd").iterdir())) <= before


class TestFallback:
    async def test_before_the_first_token_it_is_silent(self, shared: Shared, program: Program) -> None:
        """The reader sees one answer, the metadata both attempts."""
        shared.behave("claude", Behaviour(status=529))
        events = await (await Stream.open(program, "user_chat", "hello")).read()
        assert {event["type"] for event in events} == {"text", "done"}
        metadata = events[-1]["metadata"]
        assert [row["provider"] for row in metadata["attempts"]] == ["claude", "kimi_k2"]

    async def test_after_it_an_event_says_so(self, shared: Shared, program: Program) -> None:
        """The answer starts again with the next provider; what the first had used is in the books."""
        shared.behave("claude", Behaviour(reply="one two " * 50, chunks=40, fault=Fault.RESET_MID_BODY, cut_after=20))
        events = await (await Stream.open(program, "user_chat", "hello")).read()
        [fallback] = [event for event in events if event["type"] == "fallback"]
        assert fallback["provider"] == "kimi_k2"
        assert "claude" not in text_of(events)
        assert events[-1]["metadata"]["provider"] == "kimi_k2"
        first, second = events[-1]["metadata"]["attempts"]
        assert (first["outcome"], first["cost_known"]) == ("connection", False)
        assert (second["outcome"], second["cost_known"]) == ("ok", True)
        assert first["cost_nano_usd"] >= shared.simulated.billed_undelivered("claude").nano > 0
        shared.books().assert_balanced()

    async def test_another_goes_on_where_that_is_wanted(self, shared: Shared, program: Program) -> None:
        """An event says who; the text is one, and both attempts are in the books."""
        words = "one two " * 50
        shared.behave("claude", Behaviour(reply=words, chunks=40, fault=Fault.RESET_MID_BODY, cut_after=20))
        shared.behave("kimi_k2", Behaviour(reply="<the rest>"))
        events = await (await Stream.open(program, "user_chat", "hello", on_break="continue")).read()
        [event] = [event for event in events if event["type"] == "continue"]
        assert (event["provider"], "fallback" in {item["type"] for item in events}) == ("kimi_k2", False)
        text = text_of(events)
        assert (text.endswith("<the rest>"), words.startswith(text[: -len("<the rest>")])) == (True, True)
        assert events[-1]["metadata"]["route_reason"] == "goes on where claude broke off"
        shared.books().assert_balanced()

    async def test_when_everybody_fails_the_stream_ends_in_an_error(self, shared: Shared, program: Program) -> None:
        """Name and text are those of a D-Bus error."""
        for provider in ("claude", "kimi_k2"):
            shared.behave(provider, Behaviour(status=500))
        events = await (await Stream.open(program, "user_chat", "hello")).read()
        assert [event["type"] for event in events] == ["error"]
        assert events[0]["name"] == "org.cortexlinux.LLMRouter.Error.NoProviderAvailable"


class TestLeaving:
    async def test_closing_ends_it_at_the_provider(self, shared: Shared, program: Program) -> None:
        """The connection upstream closes, the row is settled as cancelled at what was used, in a moment."""
        shared.behave("claude", Behaviour(reply="word " * 1000, chunks=1000, chunk_delay_s=0.02))
        stream = await Stream.open(program, "user_chat", "hello")
        await stream.some()
        stream.close()
        await assert_eventually_async(lambda: shared.simulated.counts("claude").client_aborts == 1, 5)
        await assert_eventually_async(lambda: shared.books().request(stream.request_id)["state"] == "cancelled", 5)
        row = shared.books().request(stream.request_id)
        assert row["cost_nano"] >= shared.simulated.billed_undelivered("claude").nano > 0
        shared.books().assert_balanced()

    async def test_cancel_tells_the_reader(self, shared: Shared, program: Program) -> None:
        """The stream ends in the error Cancelled."""
        shared.behave("claude", Behaviour(reply="word " * 1000, chunks=1000, chunk_delay_s=0.02))
        stream = await Stream.open(program, "user_chat", "hello", request_id="to-cancel")
        await stream.some()
        await program.call(NAME, "Cancel", "s", "to-cancel")
        assert (await stream.read())[-1]["name"].endswith("Error.Cancelled")
        with refused("RequestNotFound"):
            await program.call(NAME, "Cancel", "s", "to-cancel")

    async def test_it_outlives_the_bus_connection(self, shared: Shared, program: Program) -> None:
        """A stream lives as long as its pipe."""
        shared.behave("claude", Behaviour(reply="word " * 100, chunks=20, chunk_delay_s=0.05))
        leaving = await Program.open()
        stream = await Stream.open(leaving, "user_chat", "hello")
        await leaving.close()
        assert (await stream.read())[-1]["type"] == "done"

    async def test_an_answered_id_streams_again_for_nothing(self, shared: Shared, program: Program) -> None:
        """The kept answer comes as a stream; it is paid once."""
        first = await program.complete("user_chat", "hello", request_id="kept")
        events = await (await Stream.open(program, "user_chat", "hello", request_id="kept")).read()
        assert text_of(events) == first.content
        assert shared.simulated.counts("claude").requests == 1

    async def test_streams_are_counted(self, shared: Shared, program: Program) -> None:
        """One user cannot hold the daemon's descriptors."""
        shared.behave("claude", Behaviour(reply="word " * 1000, chunks=1000, chunk_delay_s=0.05))
        streams = [await Stream.open(program, "user_chat", "hello") for _ in range(60)]
        with refused("RateLimited"):
            await Stream.open(program, "user_chat", "hello")
        for stream in streams:
            stream.close()
        await assert_eventually_async(lambda: all(row["state"] == "cancelled" for row in shared.books().rows[-60:]), 20)


SAID = ["user_chat", "1", "2", "role", "s", "user", "content", "s", "hello"]
OPTIONS = ["2", "request_id", "s", "busctl", "max_tokens", "i", "4000"]
SHELLS = {
    "busctl": call(NAME, "OpenStream", "saa{sv}a{sv}", *SAID, *OPTIONS),
    "gdbus": [
        *GDBUS,
        *("--method", f"{NAME}.OpenStream", "user_chat", "[{'role': <'user'>, 'content': <'hello'>}]"),
        "{'request_id': <'gdbus'>, 'max_tokens': <4000>}",
    ],
}


class TestNobodyReads:
    async def test_a_connection_without_descriptors_is_told(self, shared: Shared, program: Program) -> None:
        """The bus delivers no stream to it: it gets an error that says what to do, and the request ends unpaid for."""
        shared.behave("claude", Behaviour(reply="word " * 1000, chunks=1000, chunk_delay_s=0.02))
        async with Program(await Connection.open(system_address(), fds=False)) as blind:
            with refused(f"{STANDARD}NotSupported") as text:
                await Stream.open(blind, "user_chat", "hello", request_id="blind", max_tokens=4000)
        assert "CompleteWithOptions" in text[0]
        await assert_cut_off(shared, "blind")
        assert (await program.call(NAME, "ListRequests")) == [[]]

    @pytest.mark.parametrize("shell", ["busctl", "gdbus"])
    async def test_a_shell_leaves_at_once(self, shared: Shared, as_user: AsUser, shell: str) -> None:
        """A shell prints a dead number and is gone: what can have been made by then is booked, not the worst case."""
        shared.behave("claude", Behaviour(reply="word " * 1000, chunks=1000, delay_s=1.0))
        done = as_user("root", SHELLS[shell])
        assert done.returncode == 0, done.stderr
        await assert_cut_off(shared, shell)


async def assert_cut_off(shared: Shared, request_id: str) -> None:
    """It was cancelled, at less than was reserved for it."""
    await assert_eventually_async(lambda: shared.books().request(request_id)["state"] == "cancelled", 10)
    row = shared.books().request(request_id)
    assert row["cost_nano"] < row["reserved"] / 2
    shared.books().assert_balanced()


class TestBackpressure:
    async def test_a_stalled_reader_stops_only_itself(self, shared: Shared, program: Program) -> None:
        """Others go on, the daemon holds no more of its answer, and it gets all of it once it reads."""
        shared.behave("kimi_k2", Behaviour(size_bytes=4_000_000, chunks=4000))
        stalled = await Stream.open(program, "code_generation", "much", max_tokens=500_000, max_cost_usd=100.0)
        await asyncio.sleep(1)
        before = rss_kib(shared.daemon.pid)
        shared.behave("claude", Behaviour(reply="word " * 200, chunks=50))
        for _ in range(2):
            others = [await Stream.open(program, "user_chat", "hello") for _ in range(25)]
            for events in await asyncio.gather(*(other.read() for other in others)):
                assert text_of(events) == "word " * 200
        assert rss_kib(shared.daemon.pid) - before < 12_000
        assert shared.books().request(stalled.request_id)["state"] == "pending"
        events = await stalled.read(60)
        assert len(text_of(events).encode()) == 4_000_000
        assert events[-1]["type"] == "done"

    async def test_a_reader_that_never_reads_is_given_up(self, shared: Shared, program: Program) -> None:
        """After limits.stream_stall_s its request is settled, and the descriptor closed."""
        shared.reload(CONFIG.replace("20.0", "0.5"))
        shared.behave("kimi_k2", Behaviour(size_bytes=4_000_000, chunks=4000))
        stream = await Stream.open(program, "code_generation", "much", max_tokens=500_000, max_cost_usd=100.0)
        await assert_eventually_async(lambda: shared.books().request(stream.request_id)["state"] == "failed", 15)
        os.close(stream.descriptor)
        shared.reload(CONFIG)
