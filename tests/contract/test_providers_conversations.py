"""Conversations as people have them, through the real SDKs: every provider takes them, and what a model refuses is
learned from its refusal."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from cortexd.domain.messages import Message, Role, Tool, ToolCall
from cortexd.providers import Delta, Listener
from simulated import Behaviour, SimulatedProviders
from tests.contract.conftest import HostileServer, MakeProvider, call
from tests.contract.kinds import KINDS, each

SEARCH = Tool("web.search v2", "Looks it up.")


def talk(*words: str) -> tuple[Message, ...]:
    roles = {"s": Role.SYSTEM, "u": Role.USER, "a": Role.ASSISTANT}
    return tuple(Message(roles[word[0]], word[2:]) for word in words)


def wish(id_: str, name: str = SEARCH.name, arguments: str = "{}") -> Message:
    return Message(Role.ASSISTANT, "", (ToolCall(id_, name, arguments),))


def result(id_: str) -> Message:
    return Message(Role.TOOL, "found", tool_call_id=id_)


QUESTION = Message(Role.USER, "and now?")
CONVERSATIONS = {
    "greeting first": talk("a Hello!", "u hi"),
    "assistant last": talk("u a list, please", "a 1. apples"),
    "system last": talk("u hi", "a hello", "s sum up"),
    "system everywhere": talk("s x", "u a", "s y", "a b", "s z", "u c"),
    "blanks": talk("s", "u a", "a  ", "u", "u b"),
    "rows of a role": talk("u a", "u b", "a c", "a d", "u e"),
    "no result": (*talk("u a"), wish("c"), QUESTION),
    "result late": (*talk("u a"), wish("c"), QUESTION, result("c")),
    "one id twice": (*talk("u a"), wish("call_0"), result("call_0"), wish("call_0"), result("call_0")),
    "long and foreign ids": (*talk("u a"), wish("functions.f:0" * 9), result("functions.f:0" * 9)),
    "odd names": (*talk("u a"), wish("c", "x" * 200), result("c"), wish("d", ""), result("d")),
    "odd arguments": (*talk("u a"), wish("c", arguments='{"x": NaN}'), result("c"), wish("d", arguments="{")),
}


class TestConversations:
    @each
    @pytest.mark.parametrize("kind", list(CONVERSATIONS))
    async def test_they_are_taken(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, kind: str
    ) -> None:
        """The simulated APIs refuse what the real ones refuse: none of it is sent."""
        made = call(name, messages=CONVERSATIONS[kind], tools=(SEARCH,))
        assert (await make(name, simulated.url(name)).complete(made)).content

    @each
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_a_tool_comes_back_under_its_own_name(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, streamed: bool
    ) -> None:
        """In the answer and in the stream, and the conversation goes on with it."""
        heard: list[Delta] = []

        async def hear(deltas: Any) -> None:
            heard.extend(deltas)

        provider = make(name, simulated.url(name))
        asks = call(name, tools=(SEARCH,), tool_choice=SEARCH.name)
        answer = await provider.complete(asks, Listener(hear) if streamed else None)
        [made] = answer.tool_calls
        assert made.name == SEARCH.name
        assert [delta for delta in heard if not isinstance(delta, str)] == ([made] if streamed else [])
        history = (*asks.messages, Message(Role.ASSISTANT, "", (made,)), result(made.id))
        assert (await provider.complete(replace(asks, messages=history, tool_choice="none"))).content

    async def test_an_id_that_was_used_before(self, hostile: HostileServer, make: MakeProvider) -> None:
        """A server that calls each first call `call_0` gets and gives ids that are unique in the conversation."""
        function = {"name": "f", "arguments": "{}"}
        message = {"content": "", "tool_calls": [{"id": "call_0", "function": function}]}
        hostile.json(json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}))
        messages = (*talk("u a"), wish("call_0", "f"), result("call_0"))
        answer = await make("kimi_k2", hostile.url("kimi_k2")).complete(call("kimi_k2", messages=messages))
        [asked] = answer.tool_calls
        assert (asked.name, asked.arguments) == ("f", "{}")
        assert asked.id
        assert asked.id != "call_0"


class TestRefusals:
    @each
    async def test_what_a_model_refuses(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """It is left out at once and from then on, and the answer names it."""
        simulated.behave(name, Behaviour(refused_fields=(KINDS[name].schema,)))
        provider = make(name, simulated.url(name))
        schema = '{"type":"object","properties":{"a":{"type":"string"}}}'
        for requests in (2, 3):
            answer = await provider.complete(call(name, response_schema=schema))
            assert answer.dropped_options == ("response_schema",)
            assert len(simulated.received(name)) == requests

    async def test_a_limit_by_its_other_name(
        self, simulated: SimulatedProviders, vllm: str, make: MakeProvider
    ) -> None:
        """It is kept, and nothing was dropped."""
        simulated.behave("vllm", Behaviour(refused_fields=("max_tokens",)))
        answer = await make("office", vllm).complete(call("kimi_k2", model="llama"))
        assert answer.dropped_options == ()
        assert simulated.received("vllm")[-1].json()["max_completion_tokens"] == 1000

    async def test_several_things(self, simulated: SimulatedProviders, vllm: str, make: MakeProvider) -> None:
        """One after the other, in a stream too."""
        simulated.behave("vllm", Behaviour(refused_fields=("max_tokens", "temperature", "stream_options")))

        async def hear(_deltas: Any) -> None:
            pass

        made = call("kimi_k2", model="llama", temperature=0.5)
        answer = await make("kimi_k2", vllm).complete(made, Listener(hear))
        assert answer.content
        assert answer.dropped_options == ("temperature",)
        assert len(simulated.received("vllm")) == 4

    async def test_reasoning_that_is_wanted_back(self, hostile: HostileServer, make: MakeProvider) -> None:
        """A server that is not known to want it says so once."""
        hostile.json('{"error": {"message": "reasoning_content must be passed back to the API"}}', "400 Bad")
        provider = make("office", hostile.url("office"), api="openai")
        messages = (*talk("u a"), replace(wish("c", "f"), reasoning="Look."), result("c"))
        with pytest.raises(Exception, match="passed back"):
            await provider.complete(call("kimi_k2", messages=messages))
        assert [b"reasoning_content" in request for request in hostile.requests] == [False, True]
        assert re.search(rb'"reasoning_content": ?"Look\."', hostile.requests[1])
