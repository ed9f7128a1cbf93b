"""Answers over HTTP, from threads and event loops: content, costs, tools, and what the environment cannot change."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from llm_router import LLMProvider, LLMRouter, TaskType
from simulated import Behaviour, SimulatedProviders
from tests.library.conftest import MakeRouter, ask

BOTH = (LLMProvider.CLAUDE, LLMProvider.KIMI_K2)
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "execute_bash",
            "description": "Execute bash command in sandbox",
            "parameters": {
                "type": "object",
                "required": ["command"],
                "properties": {"command": {"type": "string", "description": "Bash command to execute"}},
            },
        },
    }
]


class TestContent:
    @pytest.mark.parametrize("provider", BOTH)
    async def test_both_ways(self, router: LLMRouter, provider: LLMProvider) -> None:
        """A thread and an event loop get the same answer with the same figures; a running loop is no obstacle."""
        blocking = router.complete(ask(), force_provider=provider)
        awaited = await router.acomplete(ask(), force_provider=provider)
        assert blocking.content.endswith("You said: hello")
        assert (blocking.provider, blocking.finish_reason) == (provider, "stop")
        assert blocking.content == awaited.content
        assert (blocking.tokens_used, blocking.cost_usd) == (awaited.tokens_used, awaited.cost_usd)
        assert blocking.latency_seconds > 0
        assert blocking.raw_response["model"] == blocking.model
        await router.aclose()

    def test_what_is_sent(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """System messages, limits and turns arrive in each vendor's own form."""
        messages = [{"role": "system", "content": "Be brief."}, *ask()]
        for provider in BOTH:
            router.complete(messages, force_provider=provider, max_tokens=77)
        claude, kimi = (simulated.received(name)[-1].json() for name in ("claude", "kimi_k2"))
        assert (claude["system"], claude["max_tokens"], len(claude["messages"])) == ("Be brief.", 77, 1)
        assert (kimi["messages"][0], kimi["max_tokens"]) == (messages[0], 77)

    async def test_what_a_model_refuses(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """It is left out at once, named, and from then on not sent, from threads, loops and in streams."""
        router = make(ollama_base_url=simulated.url("ollama", "openai"))
        refusing = Behaviour(keys=("none",), models=("llama3.2",), refused_fields=("max_tokens", "temperature"))
        simulated.behave("ollama", refusing)
        ours: dict[str, Any] = {"force_provider": LLMProvider.OLLAMA}
        with router.stream(ask(), **ours) as stream:
            assert "".join(stream)
        answers = [stream.response, router.complete(ask(), **ours), await router.acomplete(ask(), **ours)]
        assert [answer.dropped_options for answer in answers if answer] == [("temperature",)] * 3
        sent = [request.json() for request in simulated.received("ollama")]
        assert [("max_completion_tokens" in body, "temperature" in body) for body in sent] == [
            *((False, True), (True, True)),
            *((True, False),) * 3,
        ]
        await router.aclose()

    def test_a_conversation_of_any_origin(self, router: LLMRouter) -> None:
        """What one provider called goes to the other under names and ids that it takes, and comes back as it was."""
        tools = [{"name": "web.search v2"}]
        call = {"id": "functions.w:0", "name": "web.search v2", "arguments": '{"x": NaN}'}
        talk = [{"role": "assistant", "content": "Hello!"}, *ask(), {"role": "assistant", "tool_calls": [call]}]
        for provider in BOTH:
            assert router.complete(talk, force_provider=provider, tools=tools).content

    def test_options_that_are_dropped(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """The default temperature is left out where a model takes none, and named; where one takes it, it arrives."""
        router = make(ollama_base_url=simulated.url("ollama", "openai"))
        simulated.behave("ollama", Behaviour(keys=("none",), models=("llama3.2",)))
        for provider in BOTH:
            assert router.complete(ask(), force_provider=provider).dropped_options == ("temperature",)
        assert router.complete(ask(), force_provider=LLMProvider.OLLAMA).dropped_options == ()
        assert simulated.received("ollama")[-1].json()["temperature"] == 0.7
        assert router.complete(ask(), temperature=None).dropped_options == ()

    async def test_a_long_answer(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """Above the length from which Anthropic wants streams, the answer is the same and is whole."""
        for response in (router.complete(ask(), max_tokens=50_000), await router.acomplete(ask(), max_tokens=50_000)):
            assert (response.content, response.tokens_used) == ("[claude-sonnet-5-5] You said: hello", 11)
        assert simulated.received("claude")[-1].json()["stream"] is True
        await router.aclose()


class TestTools:
    @pytest.mark.parametrize("provider", BOTH)
    async def test_calls_have_one_form(
        self, router: LLMRouter, simulated: SimulatedProviders, provider: LLMProvider
    ) -> None:
        """A call comes back in OpenAI's form from either, and goes back with its result for the next turn."""
        simulated.behave(provider, Behaviour(auto_tool=True, times=2))
        response = router.complete(ask("Install git"), force_provider=provider, tools=TOOLS)
        (call,) = response.tool_calls
        assert (call["type"], call["function"]["name"], response.finish_reason) == (
            "function",
            "execute_bash",
            "tool_calls",
        )
        assert json.loads(call["function"]["arguments"]) == {"command": "sample"}
        assert (await router.acomplete(ask(), force_provider=provider, tools=TOOLS)).tool_calls[0]["id"]
        turns = [
            *ask("Install git"),
            {"role": "assistant", "content": response.content, "tool_calls": response.tool_calls},
            {"role": "tool", "tool_call_id": call["id"], "content": "git is installed"},
        ]
        assert "git is installed" in router.complete(turns, force_provider=provider, tools=TOOLS).content
        await router.aclose()

    def test_calls_of_one_vendor_suit_the_other(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """A conversation that Kimi K2 began can be carried on by Claude."""
        simulated.behave("kimi_k2", Behaviour(auto_tool=True, times=1))
        first = router.complete(ask(), TaskType.TOOL_EXECUTION, tools=TOOLS)
        turns = [
            *ask(),
            {"role": "assistant", "content": first.content, "tool_calls": first.tool_calls},
            {"role": "tool", "tool_call_id": first.tool_calls[0]["id"], "content": "done"},
        ]
        assert "done" in router.complete(turns, force_provider=LLMProvider.CLAUDE, tools=TOOLS).content


class TestCosts:
    def test_as_the_vendor_bills(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """Costs and sums are the vendor's bill to the last digit, cached tokens included."""
        tokens = Behaviour(input_tokens=1003, output_tokens=507, cache_read_tokens=20_001, cache_write_tokens=77)
        simulated.behave("claude", tokens)
        responses = [router.complete(ask(), force_provider=provider) for provider in (*BOTH, *BOTH)]
        billed = {name: simulated.billed(name) for name in BOTH}
        assert sum(response.cost_usd for response in responses) * 1e9 == pytest.approx(
            sum(bill.nano for bill in billed.values())
        )
        stats = router.get_stats()
        assert {name: row["cost_usd"] for name, row in stats["providers"].items()} == {
            name: bill.nano / 1e9 for name, bill in billed.items()
        }
        assert stats["providers"]["claude"]["tokens"] == 2 * (1003 + 507 + 20_001 + 77)

    def test_statistics(self, router: LLMRouter) -> None:
        """The figures have the specification's shape from the start, grow, and begin again."""
        zero = {"requests": 0, "tokens": 0, "cost_usd": 0.0}
        empty = {"total_requests": 0, "total_cost_usd": 0.0, "providers": {"claude": zero, "kimi_k2": zero}}
        assert router.get_stats() == empty
        response = router.complete(ask())
        row = {"requests": 1, "tokens": response.tokens_used, "cost_usd": response.cost_usd}
        assert router.get_stats() == {
            "total_requests": 1,
            "total_cost_usd": response.cost_usd,
            "providers": {"claude": row, "kimi_k2": zero},
        }
        router.reset_stats()
        assert router.get_stats() == empty

    def test_without_tracking(self, make: MakeRouter) -> None:
        """With track_costs off the response has its cost and the statistics stay empty."""
        router = make(track_costs=False)
        assert router.complete(ask()).cost_usd > 0
        assert router.get_stats()["total_requests"] == 0

    def test_unknown_is_not_nothing(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """A model without a price, or an answer without usage, has a cost that is no number, and adds no money."""
        router = make(claude_model="claude-of-my-own")
        simulated.behave("claude", Behaviour(models=("claude-of-my-own",)))
        response = router.complete(ask())
        assert (math.isnan(response.cost_usd), response.tokens_used) == (True, 11)
        simulated.behave("kimi_k2", Behaviour(usage_without=("*",)))
        response = router.complete(ask(), TaskType.CONFIGURATION)
        assert (math.isnan(response.cost_usd), response.tokens_used) == (True, 0)
        assert (router.get_stats()["total_requests"], router.get_stats()["total_cost_usd"]) == (2, 0)


class TestEnvironment:
    async def test_the_sdks_variables_do_not_count(
        self, make: MakeRouter, simulated: SimulatedProviders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Addresses, proxies and headers that the SDKs would read from the environment change nothing."""
        nowhere = "http://127.0.0.1:9"
        for name in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, nowhere)
        for vendor in ("ANTHROPIC", "OPENAI"):
            monkeypatch.setenv(f"{vendor}_CUSTOM_HEADERS", "x-secret: 1")
        monkeypatch.setenv("OPENAI_ORG_ID", "org")
        monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token")
        router = make()
        for provider in BOTH:
            router.complete(ask(), force_provider=provider)
            await router.acomplete(ask(), force_provider=provider)
            for request in simulated.received(provider):
                assert not {"x-secret", "openai-organization"} & request.headers.keys()
            assert simulated.counts(provider).answered == 2
        await router.aclose()

    async def test_the_built_in_addresses(self, at_home: SimulatedProviders, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a base URL of its own a router asks the address that cortexd's configuration has built in."""
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
        with LLMRouter("sk-sim-a", "sk-sim-b") as router:
            assert router.complete(ask(), TaskType.SYSTEM_OPERATION).provider is LLMProvider.KIMI_K2
        assert at_home.counts("kimi_k2").answered == 1
