"""A provider that is asked over OpenAI's Responses API: all that a program can do with it, and what is booked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulated import Behaviour, ControlClient, Fault
from tests.eventually import assert_eventually, assert_eventually_async
from tests.system.books import Books, read_books
from tests.system.daemon import Daemon
from tests.system.program import ERROR, NAME, Program, program_fixture, refused  # noqa: F401
from tests.system.stream import Stream, text_of

RATE_IN, RATE_CACHED, RATE_OUT = 2_000, 500, 8_000  # nano-dollars per token
CONFIG = """
[daemon]
preload_sdks = true
[providers.openai]
preset = "openai"
api = "responses"
base_url = "{url}"
model = "gpt-5.4"
rate = {{ input_usd_per_million = "2", cache_read_usd_per_million = "0.5", output_usd_per_million = "8" }}
[providers.plain]
preset = "openai"
base_url = "{url}"
model = "gpt-5.4"
"""
KEYS = {"openai": "sk-sim-openai-of-the-tests", "plain": "sk-sim-plain-of-the-tests"}
TOOL = {"name": "look", "description": "looks", "parameters": '{"type": "object", "required": ["city"]}'}
SCHEMA = '{"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}'
FIGURES = {"input_tokens": 1_000, "cache_read_tokens": 200, "output_tokens": 90, "reasoning_tokens": 40}
COST = 1_000 * RATE_IN + 200 * RATE_CACHED + 90 * RATE_OUT


@dataclass(frozen=True, slots=True)
class Served:
    daemon: Daemon
    simulated: ControlClient

    def behave(self, **behaviour: Any) -> None:
        self.simulated.behave("openai", Behaviour(**behaviour))

    def sent(self) -> Any:
        """The last request."""
        return self.simulated.received("openai")[-1].json()

    def books(self) -> Books:
        return read_books(self.daemon.ledger_file)


@pytest.fixture(scope="module", name="served_by_module")
def served_by_module_fixture(namespace: Path, simulated_of_session: ControlClient) -> Iterator[Served]:
    simulated_of_session.reset("openai")
    url = simulated_of_session.url("openai")
    daemon = Daemon(namespace / "responses", CONFIG.format(url=url), keys=KEYS)
    with daemon.serving():
        yield Served(daemon, simulated_of_session)
        read_books(daemon.ledger_file).assert_balanced()


@pytest.fixture
def served(served_by_module: Served) -> Served:
    served_by_module.simulated.reset("openai")
    return served_by_module


async def ask(program: Program, prompt: Any = "hello", **options: Any) -> Any:
    return await program.complete("user_chat", prompt, provider="openai", **options)


class TestAnswers:
    async def test_to_the_nano_dollar(self, served: Served, program: Program) -> None:
        """The answer, what it used and what it cost, told and booked alike."""
        served.behave(reply="Hello yourself", **FIGURES)
        reply = await ask(program, [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}])
        assert (reply.content, reply.cost_nano, reply.metadata["cost_known"]) == ("Hello yourself", COST, True)
        names = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
        [attempt] = served.books().attempts_of(reply.metadata["request_id"])
        assert tuple(reply.metadata[name] for name in names) == tuple(attempt[name] for name in names)
        assert tuple(attempt[name] for name in names) == (1_200, 200, 90, 40)
        assert attempt["cost_nano"] == COST
        sent = served.sent()
        assert (sent["instructions"], sent["store"], "include" in sent) == ("be brief", False, False)

    async def test_a_stream(self, served: Served, program: Program) -> None:
        """Heard as it grows, and it costs the same."""
        served.behave(reply="word " * 20, chunks=20, chunk_delay_s=0.01, **FIGURES)
        events = await (await Stream.open(program, "user_chat", "hello", provider="openai")).read()
        assert text_of(events) == "word " * 20
        assert sum("text" in event for event in events) > 1
        assert events[-1]["metadata"]["cost_nano_usd"] == COST

    async def test_a_tool(self, served: Served, program: Program) -> None:
        """Its call goes out with the answer, and its result back."""
        served.simulated.behave("openai", Behaviour(auto_tool=True, times=1), Behaviour())
        first = await ask(program, tools=[TOOL])
        [wish] = first.metadata["tool_calls"]
        assert (wish["name"], json.loads(wish["arguments"])) == ("look", {"city": "sample"})
        turns = [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": first.content, "tool_calls": first.metadata["tool_calls"]},
            {"role": "tool", "content": "rain", "tool_call_id": wish["id"]},
        ]
        second = await ask(program, turns, tools=[TOOL])
        assert second.content.endswith("You said: rain")
        assert [item.get("type") for item in served.sent()["input"]] == [None, "function_call", "function_call_output"]

    async def test_a_schema(self, served: Served, program: Program) -> None:
        """Is followed."""
        reply = await ask(program, response_schema=SCHEMA)
        assert json.loads(reply.content) == {"age": 1}

    async def test_what_is_incomplete(self, served: Served, program: Program) -> None:
        """Is an answer that was cut; the least that the API gives is reserved for."""
        reply = await ask(program, "x" * 100, max_tokens=1)
        assert (reply.metadata["finish_reason"], served.sent()["max_output_tokens"]) == ("length", 16)
        assert reply.metadata["output_tokens"] == 16
        decisions = [await program.route("user_chat", "hello", provider="openai", max_tokens=n) for n in (1, 16, 17)]
        least, same, more = (decision["candidates"][0]["worst_case_cost_usd"] for decision in decisions)
        assert least == same < more


class TestFailures:
    async def test_what_breaks_off(self, served: Served, program: Program) -> None:
        """Is no answer, and its cost is bounded by what was reserved."""
        served.behave(reply="abcdef", chunks=6, fault=Fault.END_EARLY, cut_after=4)
        with refused("ProviderFailed"):
            await ask(program, fallback=False)

    async def test_a_prompt_that_is_too_long(self, served: Served, program: Program) -> None:
        """Is told from other refusals."""
        served.behave(context_tokens=1)
        with refused("ProviderFailed") as text:
            await ask(program, "a long question", fallback=False)
        assert "[tried=openai:context_overflow]" in text[0]

    async def test_a_response_that_failed(self, served: Served, program: Program) -> None:
        """Says which failure it was, in the middle of its stream too."""
        served.behave(reply="abcdef", chunks=6, fault=Fault.STREAM_ERROR, error_type="rate_limit_exceeded")
        with refused("ProviderFailed") as text:
            await ask(program, fallback=False)
        assert "[tried=openai:rate_limited]" in text[0]

    async def test_a_rate_limit(self, served: Served, program: Program) -> None:
        """Goes on to the next provider, which speaks another format at the same place."""
        served.simulated.behave("openai", Behaviour(status=429, times=1, retry_after="0"), Behaviour())
        reply = await ask(program, fallback=True)
        assert [provider for provider, _ in reply.attempts] == ["openai", "plain"]

    async def test_cancelling(self, served: Served, program: Program) -> None:
        """Ends the provider's work."""
        served.behave(reply="word " * 50, chunks=50, chunk_delay_s=0.2)
        asking = asyncio.create_task(ask(program))
        await assert_eventually_async(lambda: served.simulated.counts("openai").chunks_sent > 4)
        [rows] = await program.call(NAME, "ListRequests")
        await program.call(NAME, "Cancel", "s", rows[0]["request_id"])
        with refused("Cancelled"):
            await asking
        assert_eventually(lambda: served.simulated.counts("openai").client_aborts == 1)
