"""The simulated servers held against the real ones: the same request, answered in the same form.

A form is the status, the kind of content, the fields with their types, and the order of a stream's events; how many
pieces a text comes in is nobody's promise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pytest

from simulated import Behaviour, Fault, RealServer, SimulatedProviders
from tests.servers.conftest import UNKNOWN, WRONG_KEY, Servers
from tests.servers.processes import KEY, Server, post
from tests.simulated import running_fixture  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

WEATHER = {"tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]}
STREAM: dict[str, Any] = {"stream": True}
USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
CALL = (("get_weather", '{"city": "Berlin"}'),)
HELLO = "Hello! I am a tiny model."


@dataclass(frozen=True, slots=True)
class Case:
    """A request to the real server, and how its twin is told to behave. `model` None is the server's own."""

    name: str
    body: dict[str, Any] = field(default_factory=dict)
    prompt: str = "hi"
    model: str | None = None
    key: str = KEY
    twin: Behaviour = field(default_factory=Behaviour)


TRANSFORMERS = [
    Case("plain", twin=Behaviour(reply=HELLO)),
    Case("stream", STREAM, twin=Behaviour(reply=HELLO)),
    Case("stream with usage", USAGE, twin=Behaviour(reply=HELLO)),
    Case("cut", USAGE | {"max_tokens": 3}, "COUNT", twin=Behaviour(reply=" one two three", stop_reason="length")),
    Case("thoughts", twin=Behaviour(reply="So", thinking="Hm"), prompt="THINK"),
    Case("thoughts in a stream", STREAM, "THINK", twin=Behaviour(reply="So be it", thinking="Hmm")),
    Case("call", WEATHER, "WEATHER", twin=Behaviour(tool_calls=CALL)),
    Case("call in a stream", USAGE | WEATHER, "WEATHER", twin=Behaviour(tool_calls=CALL)),
    Case("unknown field", {"no_such_field": 1}),
    Case("unknown model", model=UNKNOWN, twin=Behaviour(models=())),
    Case("unknown model in a stream", STREAM, model=UNKNOWN, twin=Behaviour(models=())),
    Case("any key", key=WRONG_KEY),
    Case("failure", {"frequency_penalty": -1}, twin=Behaviour(status=500)),
    Case(
        "failure in a stream",
        STREAM | {"frequency_penalty": -1},
        twin=Behaviour(fault=Fault.STREAM_ERROR, cut_after=0),
    ),
]
LITELLM = [
    Case("plain", twin=Behaviour(reply="Hello! I am a mock.")),
    Case("stream", STREAM, twin=Behaviour(reply=HELLO, chunks=3)),
    Case("stream with usage", USAGE, twin=Behaviour(reply=HELLO, chunks=3)),
    Case("unknown field", {"no_such_field": 1}),
    Case("unknown model", model=UNKNOWN, twin=Behaviour(models=())),
    Case("unknown model in a stream", STREAM, model=UNKNOWN, twin=Behaviour(models=())),
    Case("wrong key", key=WRONG_KEY, twin=Behaviour(keys=(KEY,))),
    Case("rate limit", model="rate_limited", twin=Behaviour(status=429)),
    Case("rate limit in a stream", STREAM, model="rate_limited", twin=Behaviour(status=429)),
    Case("too long", model="too_long", twin=Behaviour(context_tokens=1), prompt="a long question"),
    Case("failure", model="broken", twin=Behaviour(status=500)),
    Case("call", WEATHER, model="calling", twin=Behaviour(tool_calls=CALL, stop_reason="stop")),
]


def shape(value: Any) -> Any:
    """A JSON value as its fields and their types; of a list its first element."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def form(reply: tuple[int, dict[str, str], bytes]) -> list[Any]:
    status, headers, body = reply
    kind = headers.get("content-type", "").partition(";")[0]
    limits = {name for name in ("retry-after", "keep-alive") if name in headers}
    if kind == "application/json":
        return [status, kind, limits, shape(json.loads(body))]
    if kind != "text/event-stream":
        return [status, kind, limits, body]
    lines = [line.removeprefix("data: ") for line in body.decode().splitlines() if line]
    events = [line if line == "[DONE]" else shape(json.loads(line)) for line in lines]
    return [status, kind, limits, *(event for event, _ in groupby(events))]


def reasons(reply: tuple[int, dict[str, str], bytes]) -> list[str]:
    """The finish reasons, as they come."""
    body = reply[2].decode()
    texts = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith(("data: {", "{"))]
    choices = [choice for text in texts for choice in json.loads(text).get("choices", [])]
    return [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]


def both(
    case: Case, server: Server, kind: RealServer, simulated: SimulatedProviders
) -> tuple[tuple[int, dict[str, str], bytes], ...]:
    simulated.behave(kind, Behaviour.from_json(case.twin.to_json() | {"server": kind}))
    messages = [{"role": "user", "content": case.prompt}]
    body = {"model": case.model or server.model, "messages": messages, **case.body}
    return server.post(body, case.key), post(simulated.url(kind), body, case.key)


class TestTransformersServe:
    @pytest.mark.parametrize("case", TRANSFORMERS, ids=lambda case: case.name)
    def test_the_twin_answers_alike(self, servers: Servers, running: SimulatedProviders, case: Case) -> None:
        """Field by field, event by event."""
        real, twin = both(case, servers.transformers, RealServer.TRANSFORMERS, running)
        assert form(twin) == form(real)
        assert reasons(twin) == reasons(real)


class TestLiteLlm:
    @pytest.mark.parametrize("case", LITELLM, ids=lambda case: case.name)
    def test_the_twin_answers_alike(self, servers: Servers, running: SimulatedProviders, case: Case) -> None:
        """Field by field, event by event."""
        real, twin = both(case, servers.litellm, RealServer.LITELLM, running)
        assert form(twin) == form(real)
        assert reasons(twin) == reasons(real)


class TestForms:
    def test_one_that_differs_is_seen(self, running: SimulatedProviders) -> None:
        """OpenAI's own form is neither server's: the comparison can fail."""
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **USAGE}
        seen = []
        for server in (None, *RealServer):
            running.behave("any", Behaviour(server=server))
            seen.append(form(post(running.url("any"), body, KEY)))
        assert seen[0] not in seen[1:3]
        assert seen[1] != seen[2]
