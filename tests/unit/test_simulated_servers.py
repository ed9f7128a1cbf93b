"""The forms of real servers, as the simulated ones give them to whoever asks."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from simulated import Behaviour, Fault, RealServer, SimulatedProviders
from simulated.servers import FORMS

KEY = "sk-sim-of-the-tests"
HI: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**HI, "stream": True, "stream_options": {"include_usage": True}}
each = pytest.mark.parametrize("server", RealServer)


@pytest.fixture(autouse=True)
def as_new(simulated: SimulatedProviders) -> None:
    simulated.reset("any")


def ask(
    simulated: SimulatedProviders, body: Any, method: str = "POST", path: str = "/chat/completions", key: str = KEY
) -> tuple[int, str, str]:
    """Status, content type and text."""
    parts = urlsplit(simulated.url("any"))
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    connection.request(method, parts.path + path, json.dumps(body), headers)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, reply.getheader("content-type", ""), text


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


class TestStreams:
    @each
    def test_usage_stands_where_the_server_puts_it(self, simulated: SimulatedProviders, server: RealServer) -> None:
        """Beside the reason, in a chunk of its own without or with a choice, or nowhere; one ends without [DONE]."""
        simulated.behave("any", Behaviour(server=server))
        chunks = events(ask(simulated, STREAM)[2])
        done = chunks[-1] == "[DONE]"
        with_usage = [chunk for chunk in chunks[: len(chunks) - done] if chunk.get("usage")]
        places = [
            [(bool(choice["delta"]), choice.get("finish_reason")) for choice in chunk["choices"]]
            for chunk in with_usage
        ]
        expected: dict[RealServer, Any] = {
            RealServer.LITELLM: ([[(False, None)]], True),
            RealServer.TRANSFORMERS: ([[(False, "stop")]], False),
            RealServer.LLAMA_CPP: ([[]], True),
            RealServer.VLLM: ([[]], True),
            RealServer.LLAMA_CPP_PYTHON: ([], True),
        }
        assert (places, done) == expected[server]
        assert all(("cost" in chunk["usage"]) == (server is RealServer.LITELLM) for chunk in with_usage)

    def test_a_bare_end(self, simulated: SimulatedProviders) -> None:
        """`[DONE]` in the middle, and no reason before it."""
        simulated.behave("any", Behaviour(server=RealServer.LLAMA_CPP_PYTHON, fault=Fault.BARE_DONE, cut_after=1))
        *chunks, done = events(ask(simulated, STREAM)[2])
        assert done == "[DONE]"
        assert not [chunk for chunk in chunks if chunk["choices"][0]["finish_reason"]]

    def test_calls_in_one_piece(self, simulated: SimulatedProviders) -> None:
        """As transformers sends them."""
        calls = (("one", '{"a": "' + "x" * 100 + '"}'), ("two", "{}"))
        simulated.behave("any", Behaviour(server=RealServer.TRANSFORMERS, tool_calls=calls))
        deltas = [chunk["choices"][0]["delta"] for chunk in events(ask(simulated, STREAM)[2])]
        functions = [call["function"] for delta in deltas for call in delta.get("tool_calls", [])]
        assert [(function["name"], function["arguments"]) for function in functions] == list(calls)


class TestErrors:
    @each
    def test_codes(self, simulated: SimulatedProviders, server: RealServer) -> None:
        """A number, a text, none, or no JSON at all."""
        simulated.behave("any", Behaviour(server=server, status=500))
        _, kind, text = ask(simulated, HI)
        if server is RealServer.TRANSFORMERS:
            assert (kind, text) == ("text/plain; charset=utf-8", "Internal Server Error")
        else:
            codes = {RealServer.LITELLM: "500", RealServer.LLAMA_CPP: 500, RealServer.VLLM: 500}
            assert json.loads(text)["error"]["code"] == codes.get(server)

    @each
    def test_a_prompt_that_is_too_long(self, simulated: SimulatedProviders, server: RealServer) -> None:
        """Refused, taken, or a stream with nothing in it."""
        simulated.behave("any", Behaviour(server=server, context_tokens=1))
        long = {"messages": [{"role": "user", "content": "a long question"}]}
        status, _, text = ask(simulated, HI | long)
        assert status == (200 if server is RealServer.TRANSFORMERS else 400), text
        status, kind, text = ask(simulated, STREAM | long)
        if server is RealServer.LLAMA_CPP_PYTHON:
            assert (status, kind, text) == (200, "text/event-stream", "")
        else:
            assert status == (200 if server is RealServer.TRANSFORMERS else 400)

    @each
    @pytest.mark.parametrize("cause", ["key", "model", "unknown"])
    def test_what_it_takes(self, simulated: SimulatedProviders, server: RealServer, cause: str) -> None:
        """A wrong key, an unknown model and an unknown field are refused as its row says, or answered."""
        simulated.behave("any", Behaviour(server=server, models=() if cause == "model" else None, keys=("the key",)))
        body = HI | ({"no_such_field": 1} if cause == "unknown" else {})
        status, _, text = ask(simulated, body, key="another" if cause == "key" else "the key")
        assert status == FORMS[server].refuses.get(cause, 200), text

    @each
    def test_loading_is_said_on_every_path(self, simulated: SimulatedProviders, server: RealServer) -> None:
        """To who lists the models too; a look is no request, and uses no behaviour up."""
        simulated.behave("any", Behaviour(times=1, server=server, status=503, error_message="Loading model"))
        looks = [ask(simulated, {}, "GET", path)[0] for path in ("/models", "/health", "/models")]
        assert looks == [503, 503, 503]
        assert ask(simulated, HI)[0] == 503
        assert (ask(simulated, {}, "GET", "/models")[0], ask(simulated, HI)[0]) == (200, 200)

    def test_models_are_listed(self, simulated: SimulatedProviders) -> None:
        """Those that the behaviour knows."""
        simulated.behave("any", Behaviour(models=("a", "b")))
        assert [row["id"] for row in json.loads(ask(simulated, {}, "GET", "/models")[2])["data"]] == ["a", "b"]
        assert ask(simulated, {}, "GET", "/elsewhere")[0] == 404
