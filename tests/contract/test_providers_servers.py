"""Providers in front of every real server's forms, simulated: the same answers, and no failure that looks like one."""

from __future__ import annotations

import pytest

from cortexd.domain.messages import Tool
from cortexd.errors import Failure
from simulated import Behaviour, Fault, RealServer, SimulatedProviders
from tests.contract.conftest import MakeProvider, call
from tests.contract.test_providers_connections import failed
from tests.contract.test_providers_streams import Ear

each = pytest.mark.parametrize("server", RealServer)
CALLS = (("weather", '{"city": "Rome"}'), ("weather", '{"city": "Oslo"}'))


class TestAnswers:
    @each
    async def test_plain_and_streamed(
        self, simulated: SimulatedProviders, make: MakeProvider, server: RealServer
    ) -> None:
        """Text, reason and count; one server says none in a stream, which is then no count of zero."""
        simulated.behave("kimi_k2", Behaviour(server=server, reply="one two", input_tokens=7, output_tokens=5))
        provider, ear = make("kimi_k2", simulated.url("kimi_k2")), Ear()
        for answer in (
            await provider.complete(call("kimi_k2")),
            await provider.complete(call("kimi_k2"), ear.listener),
        ):
            assert (answer.content, answer.finish_reason) == ("one two", "stop")
            usage = answer.usage
            assert usage is None or (usage.input_tokens, usage.output_tokens) == (7, 5)
        assert ear.text == "one two"
        assert (ear.listener.usage is None) == (server is RealServer.LLAMA_CPP_PYTHON)

    @each
    async def test_tool_calls(self, simulated: SimulatedProviders, make: MakeProvider, server: RealServer) -> None:
        """In pieces or whole."""
        simulated.behave("kimi_k2", Behaviour(server=server, tool_calls=CALLS))
        provider, ear = make("kimi_k2", simulated.url("kimi_k2")), Ear()
        asked = call("kimi_k2", tools=(Tool("weather", "", "{}"),))
        for answer in (await provider.complete(asked), await provider.complete(asked, ear.listener)):
            assert [(made.name, made.arguments) for made in answer.tool_calls] == list(CALLS)
            assert answer.finish_reason == "tool_calls"


class TestFailures:
    @each
    @pytest.mark.parametrize(
        "fault", [Fault.BARE_DONE, Fault.STREAM_ERROR, Fault.END_EARLY, Fault.RESET_MID_BODY, Fault.EMPTY_BODY]
    )
    async def test_a_stream_that_breaks(
        self, simulated: SimulatedProviders, make: MakeProvider, server: RealServer, fault: Fault
    ) -> None:
        """Whatever form the break has, and whether or not the server says [DONE]."""
        simulated.behave("kimi_k2", Behaviour(server=server, fault=fault, reply="word " * 40))
        error = await failed(make("kimi_k2", simulated.url("kimi_k2")).complete(call("kimi_k2"), Ear().listener))
        assert error.failure in (Failure.MALFORMED, Failure.SERVER, Failure.CONNECTION)

    @each
    async def test_a_prompt_that_is_too_long(
        self, simulated: SimulatedProviders, make: MakeProvider, server: RealServer
    ) -> None:
        """A refusal; a stream with nothing in it is one that says no reason. One server takes any length."""
        simulated.behave("kimi_k2", Behaviour(server=server, context_tokens=1))
        provider = make("kimi_k2", simulated.url("kimi_k2"))
        asked = call("kimi_k2", "a long question")
        if server is RealServer.TRANSFORMERS:
            assert (await provider.complete(asked, Ear().listener)).content
            return
        error = await failed(provider.complete(asked, Ear().listener))
        empty = server is RealServer.LLAMA_CPP_PYTHON
        assert error.failure is (Failure.MALFORMED if empty else Failure.CONTEXT)

    @each
    @pytest.mark.parametrize(
        ("status", "failure"),
        [(429, Failure.RATE_LIMITED), (500, Failure.SERVER), (503, Failure.OVERLOADED)],
    )
    async def test_a_status(
        self, simulated: SimulatedProviders, make: MakeProvider, server: RealServer, status: int, failure: Failure
    ) -> None:
        """The status names the failure, whatever the body is."""
        simulated.behave("kimi_k2", Behaviour(server=server, status=status))
        error = await failed(make("kimi_k2", simulated.url("kimi_k2")).complete(call("kimi_k2")))
        assert (error.failure, error.status, error.may_have_billed) == (failure, status, False)
