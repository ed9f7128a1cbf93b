"""Each server through its preset: the same behaviours, and where a server cannot do one, what it does instead.

| | llamacpp | transformers | litellm (in front of transformers) |
|---|---|---|---|
| schema | obeyed | ignored: left out and told | ignored behind it: told |
| longer than the context | context_overflow | answered: it has no limit of its own | answered |
| unknown model | answered by the one that it has | server_error | refused_request |
| overload | queues | queues | rate_limited, and the next is asked |

vLLM's are those of llama.cpp, but for the unknown model, which it refuses (script/real-servers).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from urllib.request import urlopen

import pytest

from tests.eventually import assert_eventually_async
from tests.servers.conftest import PRESETS, RATE_IN, RATE_OUT, ROWS, UNKNOWN, Real, Servers
from tests.servers.processes import VLLM, Server
from tests.servers.test_answers import ENDLESS, HELLO, WEATHER, ask, counted, left_alone, stream
from tests.system.program import NAME, Program, refused
from tests.system.stream import Stream, text_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

SCHEMA = json.dumps(
    {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}
)
LONG = "x" * 5000  # a token for each letter; 1024 have room at llama.cpp, 4096 at vLLM


@dataclass(frozen=True, slots=True)
class Does:
    """What a server does with what not every one can; `task` has it first, and another behind it. `unknown`: how an
    unknown model ends, None where it is answered; `spoken`, how many tokens of LONG it takes, None where they are too
    many."""

    provider: str
    task: str
    schema: bool
    unknown: str | None
    spoken: int | None
    endless: int = ENDLESS


TABLE: tuple[Does, ...] = (
    Does("by_llamacpp", "code_generation", schema=True, unknown=None, spoken=None),
    Does("by_transformers", "configuration", schema=False, unknown="server_error", spoken=len(LONG)),
    Does("by_litellm", "error_debugging", schema=False, unknown="refused_request", spoken=len(LONG)),
    *(
        [Does("by_vllm", "user_chat", schema=True, unknown="refused_request", spoken=None, endless=3900)]
        if VLLM
        else []
    ),
)
each = pytest.mark.parametrize("does", TABLE, ids=lambda does: does.provider)
every_format = pytest.mark.parametrize("provider", PRESETS)


def server_of(provider: str) -> str:
    return "transformers" if provider == "by_litellm" else provider.removeprefix("by_")


class TestEveryFormat:
    @every_format
    async def test_plain_and_streamed(self, real: Real, program: Program, provider: str) -> None:
        """The same text and count in one piece and as it arrives, booked at the rate."""
        reply = await ask(program, provider)
        events = await (await stream(program, provider)).read()
        assert reply.content == text_of(events) == HELLO
        assert reply.metadata["finish_reason"] == events[-1]["metadata"]["finish_reason"] == "stop"
        tokens_in, tokens_out = counted(reply.metadata)
        assert (tokens_in, tokens_out) == counted(events[-1]["metadata"])
        assert tokens_in > 0
        assert tokens_out == len(HELLO.split()) + 3  # "!", "." and the end
        for answer in (reply.metadata, events[-1]["metadata"]):
            row = real.books().request(answer["request_id"])
            assert (row["cost_nano"], row["cost_known"]) == (tokens_in * RATE_IN + tokens_out * RATE_OUT, 1)

    @every_format
    async def test_a_tool_call(self, real: Real, program: Program, provider: str) -> None:
        """Whole, plain and in a stream."""
        reply = await ask(program, provider, "WEATHER", tools=WEATHER)
        [call] = reply.metadata["tool_calls"]
        events = await (await stream(program, provider, "WEATHER", tools=WEATHER)).read()
        [heard] = [event for event in events if event["type"] == "tool_call"]
        for said in (call, heard):
            assert (said["name"], json.loads(said["arguments"])) == ("get_weather", {"city": "Berlin"})
        assert reply.metadata["finish_reason"] == events[-1]["metadata"]["finish_reason"] == "tool_calls"


class TestEachServer:
    @each
    async def test_a_schema(self, real: Real, program: Program, does: Does) -> None:
        """An answer that obeys it, or the word that it did nothing."""
        reply = await ask(program, does.provider, response_schema=SCHEMA, max_tokens=60)
        if does.schema:
            assert isinstance(json.loads(reply.content)["a"], bool)
        else:
            assert (reply.content, reply.metadata["dropped_options"]) == (HELLO, ["response_schema"])

    @each
    async def test_an_unknown_model(self, real: Real, program: Program, does: Does) -> None:
        """Its own word for it; the provider's other model is still good."""
        if does.unknown is None:
            assert (await ask(program, does.provider, model=UNKNOWN)).content == HELLO
        else:
            with refused("ProviderFailed") as text:
                await ask(program, does.provider, model=UNKNOWN)
            assert does.unknown in text[0]
        assert (await ask(program, does.provider)).content == HELLO

    @each
    async def test_longer_than_the_context(self, real: Real, program: Program, does: Does) -> None:
        """The next candidate of the row answers where it does not fit, and nothing is held against the server."""
        reply = await program.complete(does.task, LONG)
        assert reply.content == HELLO
        if does.spoken is None:
            assert reply.attempts == [(does.provider, "context_overflow"), ("by_transformers", "ok")]
        else:
            assert reply.attempts == [(does.provider, "ok")]
            assert reply.metadata["input_tokens"] >= does.spoken
        assert (await program.complete(does.task, "hi")).attempts == [(does.provider, "ok")]

    @each
    async def test_more_at_once_than_it_takes(self, real: Real, program: Program, does: Does) -> None:
        """They queue at the server, and each gets its answer from there."""
        replies = await asyncio.gather(*(ask(program, does.provider) for _ in range(16)))
        assert [(reply.content, reply.attempts) for reply in replies] == [(HELLO, [(does.provider, "ok")])] * 16

    @each
    async def test_cancel_ends_the_work(self, real: Real, servers: Servers, program: Program, does: Does) -> None:
        """Seen at the server: no connection, and where it says what it works on, nothing."""
        counting = await stream(program, does.provider, "COUNT", max_tokens=does.endless)
        assert b'"text"' in await counting.some()
        await program.call(NAME, "Cancel", "s", counting.request_id)
        assert (await counting.read())[-1]["type"] == "error"
        if does.provider in AT_WORK:
            await assert_eventually_async(lambda: AT_WORK[does.provider](servers) == 0, 10, "an idle server")
        else:
            await left_alone(servers, server_of(does.provider))
        row = real.books().request(counting.request_id)
        assert (row["state"], row["cost_nano"] > 0) == ("cancelled", True)

    @each
    async def test_killed_in_a_stream(self, real: Real, servers: Servers, program: Program, does: Does) -> None:
        """The next candidate answers, and the books have both attempts."""
        counting = await Stream.open(program, does.task, "COUNT", max_tokens=does.endless)
        assert b'"text"' in await counting.some()
        dying = getattr(servers, server_of(does.provider))
        dying.kill()
        try:
            async with asyncio.timeout(60):
                while b'"fallback"' not in await counting.some():
                    pass
            await program.call(NAME, "Cancel", "s", counting.request_id)
            await counting.read()
        finally:
            dying.restart()
        await left_alone(servers, server_of(ROWS[does.task][1]))  # or it counts on while the next test waits
        first, second = real.books().attempts_of(counting.request_id)
        assert (first["provider"], second["provider"]) == (does.provider, ROWS[does.task][1])
        assert first["outcome"] in ("stream_broken", "server_error", "connection")
        assert first["cost_nano"] > 0
        assert (await ask(program, does.provider)).content == HELLO


class TestOneServer:
    async def test_llamacpp_that_starts_is_waited_for(self, real: Real, servers: Servers, program: Program) -> None:
        """Asked while it is not there yet: one answer, from itself."""
        assert (await ask(program, "by_llamacpp")).content == HELLO
        servers.llamacpp.kill()
        servers.llamacpp.spawn()
        reply = await program.complete("code_generation", "hi")
        assert (reply.content, reply.attempts) == (HELLO, [("by_llamacpp", "ok")])

    async def test_litellm_over_its_limit(self, real: Real, program: Program) -> None:
        """Its 429 names no time: the next one is asked at once."""
        reply = await program.complete("requirement_parsing", "hi")
        assert reply.attempts == [("rate_limited", "rate_limited"), ("by_llamacpp", "ok")]

    async def test_llamacpp_in_anthropics_format_past_its_context(self, real: Real, program: Program) -> None:
        """Told apart there as well."""
        reply = await program.complete("dependency_resolution", LONG)
        assert reply.attempts == [("messages_llamacpp", "context_overflow"), ("by_transformers", "ok")]


def page(server: Server, path: str) -> bytes:
    with urlopen(server.url.removesuffix("/v1") + path, timeout=10) as reply:
        text: bytes = reply.read()
    return text


def slots_at_work(servers: Servers) -> float:
    return sum(bool(slot["is_processing"]) for slot in json.loads(page(servers.llamacpp, "/slots")))


def requests_at_work(servers: Servers) -> float:
    assert servers.vllm is not None
    lines = page(servers.vllm, "/metrics").decode().splitlines()
    [running] = [line for line in lines if line.startswith("vllm:num_requests_running{")]
    return float(running.rpartition(" ")[2])


AT_WORK = {"by_llamacpp": slots_at_work, "by_vllm": requests_at_work}
