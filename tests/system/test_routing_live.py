"""Who answers what, and what each option does, seen in what the providers received and what the caller got."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from dbus_next import Variant

from simulated import Behaviour, Fault
from tests.eventually import assert_eventually_async
from tests.system.program import Json, Program, program_fixture, refused  # noqa: F401
from tests.system.shared import EVERYBODY, Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = "[daemon]\npreload_sdks = true\n"
TO_CLAUDE = ("user_chat", "requirement_parsing")
TO_KIMI = (
    "system_operation",
    "error_debugging",
    "code_generation",
    "dependency_resolution",
    "configuration",
    "tool_execution",
)
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
SCHEMA = json.dumps({"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]})
TOOL = {
    "name": "look",
    "description": "looks at a path",
    "parameters": json.dumps({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}),
}

each_provider = pytest.mark.parametrize("provider", EVERYBODY)


def sent_to(shared: Shared, provider: str) -> Json:
    """The last request that a provider received."""
    body = shared.simulated.received(provider)[-1].json()
    assert isinstance(body, dict)
    return body


class TestTable:
    @pytest.mark.parametrize("task", [*TO_CLAUDE, *TO_KIMI])
    async def test_each_task_type(self, shared: Shared, program: Program, task: str) -> None:
        """The routing table's provider answers with its default model, and says why."""
        provider, model = ("claude", "claude-sonnet-5-5") if task in TO_CLAUDE else ("kimi_k2", "kimi-k2.6")
        reply = await program.complete(task, "hello")
        assert reply.content == f"[{model}] You said: hello"
        told = [reply.metadata[name] for name in ("task_type", "provider", "model", "route_reason", "finish_reason")]
        assert told == [task, provider, model, f"{task} goes to {provider}", "stop"]
        assert sent_to(shared, provider)["model"] == model

    async def test_a_changed_row(self, shared: Shared, program: Program) -> None:
        """An operator's row counts from the reload on."""
        shared.reload(f'{CONFIG}[routing.table]\nuser_chat = "kimi_k2"\n')
        try:
            assert (await program.complete("user_chat", "hello")).metadata["provider"] == "kimi_k2"
        finally:
            shared.reload(CONFIG)
        assert (await program.complete("user_chat", "hello")).metadata["provider"] == "claude"

    async def test_a_provider_of_the_operators_own(self, shared: Shared, program: Program) -> None:
        """One that is local needs no key, costs nothing, and is all that privacy = local allows."""
        url = shared.simulated.url("office")
        local = f'[providers.office]\napi = "openai"\nbase_url = "{url}"\nmodel = "llama-9"\nlocal = true\n'
        with refused("NoProviderAvailable") as text:
            await program.complete("user_chat", "hello", privacy="local")
        assert "privacy = local" in text[0]
        shared.reload(CONFIG + local)
        shared.behave("office", Behaviour(keys=("none",)))
        try:
            reply = await program.complete("user_chat", "hello", privacy="local")
        finally:
            shared.reload(CONFIG)
        assert (reply.metadata["provider"], reply.cost_nano, reply.metadata["cost_known"]) == ("office", 0, True)


class TestRoute:
    async def test_it_spends_nothing(self, shared: Shared, program: Program) -> None:
        """A dry run shows candidates, reasons and worst cases, asks nobody and writes no row."""
        before = len(shared.books().rows)
        decision = await program.route("user_chat", "hello", max_tokens=10)
        assert (decision["task_type"], decision["provider"], decision["model"]) == (
            "user_chat",
            "claude",
            "claude-sonnet-5-5",
        )
        assert decision["action"] == "org.cortexlinux.LLMRouter.complete"
        assert [(row["rank"], row["provider"]) for row in decision["candidates"]] == [(1, "claude"), (2, "kimi_k2")]
        assert [row["provider"] for row in decision["left_out"]] == ["deepseek", "qwen", "llama"]
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}
        assert len(shared.books().rows) == before

    async def test_privileged_tasks_are_told(self, shared: Shared, program: Program) -> None:
        """The action that the request itself would need; routing it needs none."""
        decision = await program.route("system_operation", "hello")
        assert decision["action"] == "org.cortexlinux.LLMRouter.system-operation"

    async def test_it_does_what_complete_does(self, shared: Shared, program: Program) -> None:
        """Whatever the options, the provider and model that Route names are those that answer."""
        for options in (
            {"provider": "kimi_k2"},
            {"model": "claude-haiku-5-5"},
            {"model": "kimi-k2.7-code"},
            {"provider": "claude", "model": "claude-opus-5-5"},
            {"max_cost_usd": 0.02},
            {},
        ):
            decision = await program.route("user_chat", "hello", **options)
            reply = await program.complete("user_chat", "hello", **options)
            told = [reply.metadata[name] for name in ("provider", "model", "route_reason")]
            assert told == [decision["provider"], decision["model"], decision["reason"]]


class TestProviderAndModel:
    async def test_unknown_ones(self, shared: Shared, program: Program) -> None:
        """The error names the ones that are known, or how to name the provider."""
        with refused("UnknownProvider") as provider:
            await program.complete("user_chat", "hello", provider="clod")
        assert "claude, kimi_k2" in provider[0]
        with refused("InvalidArgument") as model:
            await program.complete("user_chat", "hello", model="clod-9")
        assert "options.provider" in model[0]

    async def test_one_without_a_key(self, shared: Shared, program: Program) -> None:
        """Asked for by name, it is ProviderNotConfigured with what to set."""
        with refused("ProviderNotConfigured") as text:
            await program.complete("user_chat", "hello", provider="deepseek")
        assert "DEEPSEEK_API_KEY" in text[0]

    async def test_who_asks_for_one_gets_no_other(self, shared: Shared, program: Program) -> None:
        """A model, or a provider, is a wish that fallback overrules only where the caller says so."""
        shared.behave("claude", Behaviour(status=500))
        for wish in ({"provider": "claude"}, {"model": "claude-haiku-5-5"}):
            with refused("ProviderFailed"):
                await program.complete("user_chat", "hello", **wish)
            reply = await program.complete("user_chat", "hello", fallback=True, **wish)
            assert reply.metadata["provider"] == "kimi_k2"


class TestTemperature:
    async def test_dropped_where_refused(self, shared: Shared, program: Program) -> None:
        """Claude and Moonshot's Kimi take none: it is left out, and said so."""
        for provider in EVERYBODY:
            reply = await program.complete("user_chat", "hello", provider=provider, temperature=0.2)
            assert reply.metadata["dropped_options"] == ["temperature"]
            assert "temperature" not in sent_to(shared, provider)

    async def test_kept_elsewhere(self, shared: Shared, program: Program) -> None:
        """Another endpoint gets it."""
        url = shared.simulated.url("office")
        local = f'[providers.office]\napi = "openai"\nbase_url = "{url}"\nmodel = "llama-9"\nlocal = true\n'
        shared.reload(CONFIG + local)
        shared.behave("office", Behaviour(keys=("none",)))
        try:
            reply = await program.complete("user_chat", "hello", provider="office", temperature=0.2)
        finally:
            shared.reload(CONFIG)
        assert reply.metadata["dropped_options"] == []
        assert sent_to(shared, "office")["temperature"] == 0.2


class TestMaxTokens:
    @each_provider
    async def test_it_bounds_the_answer(self, shared: Shared, program: Program, provider: str) -> None:
        """The provider is told, the answer is cut there, and finish_reason says so; 4096 where absent."""
        reply = await program.complete("user_chat", "hello " * 20, provider=provider, max_tokens=2)
        assert (sent_to(shared, provider)["max_tokens"], reply.metadata["finish_reason"]) == (2, "length")
        assert reply.metadata["output_tokens"] == 2
        await program.complete("user_chat", "hello", provider=provider)
        assert sent_to(shared, provider)["max_tokens"] == 4096


class TestTools:
    @each_provider
    async def test_the_loop(self, shared: Shared, program: Program, provider: str) -> None:
        """Offer, call, result, answer: each turn goes to the provider in its own form, and it accepts each."""
        shared.behave(provider, Behaviour(times=1, reply="I look.", tool_calls=(("look", '{"path": "/etc"}'),)))
        turns: list[Json] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is there?"}]
        asked = await program.complete("user_chat", turns, provider=provider, tools=[TOOL])
        assert (asked.content, asked.metadata["finish_reason"]) == ("I look.", "tool_calls")
        [call] = asked.metadata["tool_calls"]
        assert (call["name"], json.loads(call["arguments"])) == ("look", {"path": "/etc"})
        turns += [
            {"role": "assistant", "content": asked.content, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "passwd, group"},
        ]
        answered = await program.complete("user_chat", turns, provider=provider, tools=[TOOL])
        assert answered.content.endswith("You said: passwd, group")
        assert (answered.metadata["finish_reason"], answered.metadata["tool_calls"]) == ("stop", [])

    async def test_a_loop_across_providers(self, shared: Shared, program: Program) -> None:
        """A conversation that one provider began, with its ids of calls, goes on with the other."""
        for first, second in (EVERYBODY, EVERYBODY[::-1]):
            shared.behave(
                first, Behaviour(times=1, tool_calls=(("look", '{"path": "/a"}'), ("look", '{"path": "/b"}')))
            )
            turns: list[Json] = [{"role": "user", "content": "What is there?"}]
            asked = await program.complete("user_chat", turns, provider=first, tools=[TOOL])
            calls = asked.metadata["tool_calls"]
            assert len(calls) == 2
            turns.append({"role": "assistant", "content": "", "tool_calls": calls})
            turns += [{"role": "tool", "tool_call_id": call["id"], "content": "none"} for call in calls]
            turns.append({"role": "user", "content": "And now?"})
            answered = await program.complete("user_chat", turns, provider=second, tools=[TOOL])
            assert answered.content.endswith("You said: And now?")

    @each_provider
    async def test_the_choice(self, shared: Shared, program: Program, provider: str) -> None:
        """auto and none leave it to the model or forbid it; required, and a tool's name, bring a call."""
        other = {**TOOL, "name": "listen"}
        for choice, called in (("auto", []), ("none", []), ("required", ["look"]), ("listen", ["listen"])):
            reply = await program.complete(
                "user_chat", "hello", provider=provider, tools=[TOOL, other], tool_choice=choice
            )
            assert [call["name"] for call in reply.metadata["tool_calls"]] == called, choice
            assert reply.metadata["dropped_options"] == []

    async def test_a_thinking_model_takes_no_forced_tool(self, shared: Shared, program: Program) -> None:
        """kimi-k2.7-code always thinks: the choice is dropped, and said so."""
        reply = await program.complete(
            "user_chat", "hello", model="kimi-k2.7-code", tools=[TOOL], tool_choice="required"
        )
        assert reply.metadata["dropped_options"] == ["tool_choice"]

    @each_provider
    async def test_both_nestings(self, shared: Shared, program: Program, provider: str) -> None:
        """Tools and calls in OpenAI's nesting are taken as well."""
        tool = {"type": "function", "function": Variant("a{sv}", {k: Variant("s", v) for k, v in TOOL.items()})}
        shared.behave(provider, Behaviour(times=1, auto_tool=True))
        reply = await program.complete("user_chat", "hello", provider=provider, tools=[tool])
        [call] = reply.metadata["tool_calls"]
        assert json.loads(call["arguments"]) == {"path": "sample"}


class TestResponseSchema:
    @each_provider
    async def test_the_answer_follows_it(self, shared: Shared, program: Program, provider: str) -> None:
        """The provider gets the schema in its own form."""
        reply = await program.complete("user_chat", "how large?", provider=provider, response_schema=SCHEMA)
        assert json.loads(reply.content) == {"size": 1}
        assert reply.metadata["dropped_options"] == []

    async def test_a_schema_that_is_none(self, shared: Shared, program: Program) -> None:
        """It is refused before anything is spent."""
        for schema in ("{", "[]", '{"type": "string"}'):
            with refused("InvalidArgument") as text:
                await program.complete("user_chat", "hello", response_schema=schema)
            assert text[0].startswith("options.response_schema")
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}


class TestImages:
    @each_provider
    @pytest.mark.parametrize("data", [PNG, base64.b64encode(PNG).decode()], ids=["bytes", "base64"])
    async def test_they_arrive(self, shared: Shared, program: Program, provider: str, data: bytes | str) -> None:
        """Bytes or base64, beside text; the provider has them as base64."""
        parts = [{"type": "text", "text": "what is it?"}, {"type": "image", "media_type": "image/png", "data": data}]
        reply = await program.complete("user_chat", [{"role": "user", "content": parts}], provider=provider)
        assert reply.content
        assert base64.b64encode(PNG).decode() in json.dumps(sent_to(shared, provider))
        assert reply.metadata["input_tokens"] >= 1_500

    async def test_a_model_that_takes_none_is_left_out(self, shared: Shared, program: Program) -> None:
        """Asked for, it is refused with the reason; nothing is sent."""
        parts = [{"type": "image", "media_type": "image/png", "data": PNG}]
        with refused("NoProviderAvailable") as text:
            await program.complete("user_chat", [{"role": "user", "content": parts}], model="kimi-k2.7-code")
        assert "takes no images" in text[0]
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}


class TestDeadline:
    @each_provider
    async def test_timeout(self, shared: Shared, program: Program, provider: str) -> None:
        """Past deadline_ms it is Timeout, nobody else is asked, the row is settled at the worst case."""
        shared.behave(provider, Behaviour(fault=Fault.HANG))
        task = "user_chat" if provider == "claude" else "code_generation"
        with refused("Timeout") as text:
            await program.complete(task, "hello", deadline_ms=300, request_id=f"late-{provider}", max_tokens=10)
        assert "0.3 s" in text[0]
        books = shared.books()
        books.assert_balanced()
        [attempt] = books.attempts_of(f"late-{provider}")
        assert (attempt["provider"], attempt["outcome"], attempt["cost_known"]) == (provider, "timeout", 0)
        assert attempt["cost_nano"] >= 10 * 4_000
        assert books.request(f"late-{provider}")["state"] == "failed"
        assert sum(shared.requests().values()) == 1
        assert shared.simulated.counts(provider).client_aborts == 1

    async def test_far_too_short(self, shared: Shared, program: Program) -> None:
        """A millisecond may be over before anything is sent: Timeout all the same, and a row that is settled."""
        with refused("Timeout"):
            await program.complete("user_chat", "hello", deadline_ms=1, request_id="short")
        books = shared.books()
        books.assert_balanced()
        assert books.request("short")["state"] == "failed"

    async def test_it_spans_the_attempts(self, shared: Shared, program: Program) -> None:
        """The deadline is the request's, not each attempt's."""
        shared.behave("claude", Behaviour(status=500, delay_s=0.2))
        shared.behave("kimi_k2", Behaviour(fault=Fault.HANG))
        with refused("Timeout"):
            await program.complete("user_chat", "hello", deadline_ms=600, request_id="spans")
        outcomes = [(row["provider"], row["outcome"], row["cost_known"]) for row in shared.books().attempts_of("spans")]
        assert outcomes == [("claude", "server_error", 1), ("kimi_k2", "timeout", 0)]


class TestMaxCost:
    async def test_too_dear(self, shared: Shared, program: Program) -> None:
        """Where every candidate could cost more, BudgetExceeded says how much; nothing is sent."""
        with refused("BudgetExceeded") as text:
            await program.complete("user_chat", "hello", max_cost_usd=0.001)
        assert "max_cost_usd" in text[0]
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}

    async def test_the_cheaper_one_answers(self, shared: Shared, program: Program) -> None:
        """Sonnet's 4,096 tokens could cost 4.1 cents, Kimi's 1.7: with a limit of 2 Kimi answers."""
        reply = await program.complete("user_chat", "hello", max_cost_usd=0.02)
        assert reply.metadata["provider"] == "kimi_k2"
        assert "max_cost_usd" in reply.metadata["route_reason"]

    async def test_the_fallback_is_bounded_too(self, shared: Shared, program: Program) -> None:
        """A fallback that could cost more is not asked, and the error says why."""
        shared.behave("kimi_k2", Behaviour(status=500))
        with refused("NoProviderAvailable") as text:
            await program.complete("code_generation", "hello", max_cost_usd=0.02)
        assert "claude: could cost more than max_cost_usd ($0.0200)" in text[0]
        assert shared.requests() == {"claude": 0, "kimi_k2": 1}


class TestLabels:
    async def test_they_stand_in_the_ledger(self, shared: Shared, program: Program) -> None:
        """Beside the cost, and nowhere upstream."""
        await program.complete("user_chat", "hello", labels={"project": "x-ray"}, request_id="labelled")
        assert json.loads(shared.books().request("labelled")["labels"]) == {"project": "x-ray"}
        assert "x-ray" not in json.dumps(sent_to(shared, "claude"))


class TestReload:
    async def test_requests_under_way_finish_as_they_began(self, shared: Shared, program: Program) -> None:
        """A reload that moves a provider elsewhere: the one under way is answered there, the next one here."""
        shared.simulated.reset("elsewhere")
        shared.behave("claude", Behaviour(delay_s=0.5, reply="as it began"))
        asked = asyncio.create_task(program.complete("user_chat", "hello"))
        await assert_eventually_async(lambda: shared.simulated.counts("claude").active == 1)
        url = shared.simulated.url("elsewhere", "anthropic")
        shared.reload(f'{CONFIG}[providers.claude]\nbase_url = "{url}"\n')
        try:
            assert not asked.done()
            await program.complete("user_chat", "hello")
        finally:
            shared.reload(CONFIG)
        assert (await asked).content == "as it began"
        assert [shared.simulated.counts(name).requests for name in ("claude", "elsewhere")] == [1, 1]


class TestHedge:
    async def test_a_slow_answer_is_not_waited_for(self, shared: Shared, program: Program) -> None:
        """Once twenty answers have shown how quick it is; the books hold both."""
        for _ in range(20):
            await program.complete("user_chat", "hello", hedge=True)
        shared.behave("claude", Behaviour(delay_s=20.0))
        reply = await program.complete("user_chat", "hello", hedge=True)
        assert reply.attempts == [("claude", "cancelled"), ("kimi_k2", "ok")]
        assert reply.metadata["provider"] == "kimi_k2"
        assert reply.metadata["route_reason"].startswith("asked as well: claude took longer")
        assert shared.simulated.counts("claude").client_aborts == 1
        shared.books().assert_balanced()
