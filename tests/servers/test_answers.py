"""The daemon in front of real model servers: what it answers, counts and books, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cortexd.errors import CortexError, tried_of
from tests.eventually import assert_eventually_async
from tests.servers.conftest import PROXIED, RATE_IN, RATE_OUT, Real, Servers
from tests.system.books import Books
from tests.system.program import NAME, Json, Program, Reply, dictionary, messages, refused
from tests.system.stream import Stream, text_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

HELLO = "Hello! I am a tiny model."
WEATHER = [{"name": "get_weather", "parameters": '{"type": "object", "properties": {"city": {"type": "string"}}}'}]
ENDLESS = 100_000  # tokens: more than the model says within any test
WAYS = ["transformers", "tiny"]  # at the server itself, and through the proxy
each_way = pytest.mark.parametrize("provider", WAYS)
each_api = pytest.mark.parametrize("provider", [*WAYS, "by_responses"])  # that one cuts without a word


async def ask(program: Program, provider: str, prompt: str | list[Json] = "hi", **options: Any) -> Reply:
    return await program.complete("user_chat", prompt, provider=provider, **options)


async def stream(program: Program, provider: str, prompt: str = "hi", **options: Any) -> Stream:
    return await Stream.open(program, "user_chat", prompt, provider=provider, **options)


async def failure(real: Real, program: Program, provider: str, prompt: str = "hi") -> str:
    """How the one attempt failed, by the error and by the books, plain and as a stream, and that nothing was booked."""
    number = len(real.books().rows)
    request_ids = [f"{kind}-{provider}-{number}" for kind in ("plain", "stream")]
    with refused("ProviderFailed") as text:
        await ask(program, provider, prompt, request_id=request_ids[0])
    said = tried_of(CortexError.from_text(text[0]))[provider]
    events = await (await stream(program, provider, prompt, request_id=request_ids[1])).read(100)
    assert [event["type"] for event in events if event["type"] in ("error", "done")] == ["error"]
    for request_id in request_ids:
        row = real.books().request(request_id)
        assert (row["state"], row["cost_nano"], row["cost_known"]) == ("failed", 0, 1)
        assert [attempt["outcome"] for attempt in real.books().attempts_of(request_id)] == [said]
    return said


def direct_usage(servers: Servers, prompt: str, **more: Any) -> tuple[int, int]:
    """What `transformers serve` counts for the same question, asked without cortexd."""
    body = {"model": servers.transformers.model, "messages": [{"role": "user", "content": prompt}], **more}
    usage = json.loads(servers.transformers.post(body)[2])["usage"]
    return usage["prompt_tokens"], usage["completion_tokens"]


def counted(metadata: Json) -> tuple[int, int]:
    return metadata["input_tokens"], metadata["output_tokens"]


class TestAnswers:
    @each_api
    async def test_plain_and_streamed(self, real: Real, servers: Servers, program: Program, provider: str) -> None:
        """The same text and the server's own count, in one piece and as it arrives."""
        reply = await ask(program, provider)
        events = await (await stream(program, provider)).read()
        assert reply.content == text_of(events) == HELLO
        assert reply.metadata["finish_reason"] == events[-1]["metadata"]["finish_reason"] == "stop"
        assert counted(reply.metadata) == counted(events[-1]["metadata"]) == direct_usage(servers, "hi")

    @each_api
    async def test_what_it_costs(self, real: Real, servers: Servers, program: Program, provider: str) -> None:
        """The provider's rate times the server's count; nothing at a local one without a rate."""
        reply = await ask(program, provider)
        tokens_in, tokens_out = direct_usage(servers, "hi")
        expected = 0 if provider != "tiny" else tokens_in * RATE_IN + tokens_out * RATE_OUT
        row = real.books().request(reply.metadata["request_id"])
        assert (row["cost_nano"], row["cost_known"], reply.cost_nano) == (expected, 1, expected)

    async def test_a_mock_of_the_proxy(self, real: Real, program: Program) -> None:
        """Text of the proxy's own, with the count that it makes up."""
        reply = await ask(program, "mock")
        assert reply.content == "Hello! I am a mock."
        assert all(0 < tokens < 100 for tokens in counted(reply.metadata))
        tokens_in, tokens_out = counted(reply.metadata)
        assert reply.cost_nano == tokens_in * RATE_IN + tokens_out * RATE_OUT

    @each_way
    async def test_cut_by_max_tokens(self, real: Real, program: Program, provider: str) -> None:
        """Three tokens are three tokens, and the finish reason says why."""
        reply = await ask(program, provider, "COUNT", max_tokens=3)
        assert (reply.content.strip(), reply.metadata["finish_reason"]) == ("one two three", "length")
        assert reply.metadata["output_tokens"] == 3
        events = await (await stream(program, provider, "COUNT", max_tokens=3)).read()
        assert (text_of(events).strip(), events[-1]["metadata"]["finish_reason"]) == ("one two three", "length")

    @each_api
    async def test_thoughts_are_no_text(self, real: Real, servers: Servers, program: Program, provider: str) -> None:
        """Reasoning is counted and not shown as the answer."""
        reply = await ask(program, provider, "THINK")
        assert reply.content == "So be it"
        assert counted(reply.metadata) == direct_usage(servers, "THINK")

    @each_api
    async def test_many_at_once(self, real: Real, program: Program, provider: str) -> None:
        """Each gets an answer of its own, whole."""
        replies = await asyncio.gather(*(ask(program, provider) for _ in range(12)))
        assert [reply.content for reply in replies] == [HELLO] * 12


class TestTools:
    @each_api
    async def test_a_call_and_its_result(self, real: Real, program: Program, provider: str) -> None:
        """The call comes whole; given back with the tool's result, the server takes the conversation."""
        reply = await ask(program, provider, "WEATHER", tools=WEATHER)
        [call] = reply.metadata["tool_calls"]
        assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Berlin"})
        assert reply.metadata["finish_reason"] == "tool_calls"
        turns: list[Json] = [
            {"role": "user", "content": "WEATHER"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "rain", "tool_call_id": call["id"]},
        ]
        assert (await ask(program, provider, turns, tools=WEATHER)).content == "It rains there"

    @each_api
    async def test_in_a_stream(self, real: Real, program: Program, provider: str) -> None:
        """One event, the arguments as JSON text."""
        events = await (await stream(program, provider, "WEATHER", tools=WEATHER)).read()
        [call] = [event for event in events if event["type"] == "tool_call"]
        assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Berlin"})

    @each_way
    async def test_one_that_was_cut(self, real: Real, program: Program, provider: str) -> None:
        """The server keeps the half that it has to itself: no call. A plain answer is asked for as a stream, since
        it says 500 where it is asked for none."""
        events = await (await stream(program, provider, "WEATHER", tools=WEATHER, max_tokens=2)).read()
        assert [event["type"] for event in events if event["type"] == "tool_call"] == []
        assert (text_of(events), events[-1]["metadata"]["finish_reason"]) == ("", "length")
        plain = await ask(program, provider, "WEATHER", tools=WEATHER, max_tokens=2)
        assert (plain.content, plain.metadata["finish_reason"]) == ("", "length")
        assert not plain.metadata.get("tool_calls")

    async def test_options_that_the_server_ignores(self, real: Real, program: Program) -> None:
        """`transformers serve` takes a schema and a tool choice in silence; the caller hears that they did nothing."""
        schema = '{"type": "object", "properties": {"a": {"type": "integer"}}}'
        reply = await ask(program, "transformers", response_schema=schema)
        assert (reply.content, reply.metadata["dropped_options"]) == (HELLO, ["response_schema"])
        reply = await ask(program, "transformers", tools=WEATHER, tool_choice="required")
        assert (reply.content, reply.metadata["dropped_options"]) == (HELLO, ["tool_choice"])


class TestErrors:
    @pytest.mark.parametrize(
        ("provider", "expected"),
        [
            ("rate_limited", "rate_limited"),  # 429 without Retry-After, `code` "429"
            ("broken", "server_error"),
            ("gone", "server_error"),  # 500: the proxy cannot reach its upstream
            ("too_long", "context_overflow"),  # 400, the context's overflow in the text alone
            ("unknown", "refused_request"),  # 400
            ("transformers_unknown", "server_error"),  # 500 in plain text
        ],
    )
    async def test_each_is_told_and_costs_nothing(
        self, real: Real, program: Program, provider: str, expected: str
    ) -> None:
        """By its own word, alike for a plain answer and a stream."""
        assert await failure(real, program, provider) == expected
        if provider in PROXIED:
            assert (await ask(program, "mock")).content == "Hello! I am a mock."

    async def test_a_wrong_key(self, real: Real, program: Program) -> None:
        """The proxy without a database says 400, no_db_connection: it is the key, and nobody is billed."""
        assert await failure(real, program, "wrong_key") == "authentication"


class TestEndings:
    """A model that counts for ever: what ends it is that the connection is closed, and that is ours."""

    @each_way
    async def test_cancel_ends_the_work(self, real: Real, servers: Servers, program: Program, provider: str) -> None:
        """The server hears of it at once; what arrived is booked."""
        counting = await stream(program, provider, "COUNT", max_tokens=ENDLESS)
        assert b'"text"' in await counting.some()
        await program.call(NAME, "Cancel", "s", counting.request_id)
        events = await counting.read()
        assert events[-1]["type"] == "error"
        await left_alone(servers, provider)
        row = real.books().request(counting.request_id)
        assert row["state"] == "cancelled"
        assert (row["cost_nano"] == 0) == (provider == "transformers")

    @each_way
    async def test_so_does_a_caller_that_leaves(
        self, real: Real, servers: Servers, program: Program, provider: str
    ) -> None:
        """Nobody reads any more: the server is left."""
        other = await Program.open()
        counting = await stream(other, provider, "COUNT", max_tokens=ENDLESS)
        assert b'"text"' in await counting.some()
        counting.close()
        await other.close()
        await left_alone(servers, provider)
        books = await assert_eventually_async(lambda: settled(real, counting.request_id), message="settled")
        row = books.request(counting.request_id)
        assert row["state"] == "cancelled"
        assert (row["cost_nano"] == 0) == (provider == "transformers")

    async def test_cancel_before_a_byte(self, real: Real, program: Program) -> None:
        """A proxy that thinks for ten minutes is not waited for."""
        sent = ("saa{sv}a{sv}", "user_chat", messages("hi"), dictionary({"provider": "slow", "request_id": "slow-one"}))
        asking = asyncio.create_task(program.call(NAME, "CompleteWithOptions", *sent))
        await assert_eventually_async(
            lambda: "slow-one" in [row["request_id"] for row in real.books().rows], message="under way"
        )
        await program.call(NAME, "Cancel", "s", "slow-one")
        with refused("Cancelled"):
            await asking
        assert real.books().request("slow-one")["state"] == "cancelled"

    async def test_after_a_quiet_time(self, real: Real, servers: Servers, program: Program) -> None:
        """Idle connections end before the server ends them: a batch after that is answered, each at the first try."""
        await asyncio.gather(*(ask(program, "mock") for _ in range(8)))
        ports = (servers.litellm.port, servers.transformers.port)
        await assert_eventually_async(lambda: established(ports) == 0, 30, "the end of idle connections")
        replies = await asyncio.gather(*(ask(program, name) for name in ("mock", "transformers") for _ in range(8)))
        assert [reply.attempts[0][1] for reply in replies] == ["ok"] * 16

    @each_way
    async def test_a_server_that_dies(self, real: Real, servers: Servers, program: Program, provider: str) -> None:
        """kill -9 in the middle of a stream is a failure, never an answer; the next one is right."""
        counting = await stream(program, provider, "COUNT", max_tokens=ENDLESS)
        assert b'"text"' in await counting.some()
        servers.transformers.kill()
        try:
            events = await counting.read()
            assert events[-1]["type"] == "error"
            assert not [event for event in events if event["type"] == "done"]
            row = real.books().request(counting.request_id)
            assert row["state"] == "failed"
        finally:
            servers.transformers.restart()
        assert (await ask(program, provider)).content == HELLO


def settled(real: Real, request_id: str) -> Books | None:
    """The books once the request has ended there."""
    books = real.books()
    return None if books.request(request_id)["state"] == "pending" else books


async def left_alone(servers: Servers, provider: str) -> None:
    """Nobody is connected to the provider's server any more; idle connections have ended too. The next test finds
    `transformers serve` at rest: where it counts on for nobody, it is begun anew.

    For it does so now and then, whoever its client was: a generator that is cancelled between two steps stands in a
    cycle of its web framework's objects, and hears of its end when Python next collects garbage of that age.
    """
    server = servers.litellm if provider == "tiny" else getattr(servers, provider)
    await assert_eventually_async(lambda: established((server.port,)) == 0, 10, "the end of the connection")
    if provider != "vllm" and not await asyncio.to_thread(servers.transformers.answers, 20):
        servers.transformers.kill()
        servers.transformers.restart()


def established(ports: tuple[int, ...]) -> int:
    """Connections to these ports of loopback that are open at both ends."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "01" and int(row[2].rpartition(":")[2], 16) in ports for row in rows)
