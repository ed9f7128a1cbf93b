"""The Python client against the real daemon: answers, figures, errors, many callers at once."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cortexd import errors
from cortexd.client import AsyncClient, Client, Completion
from cortexd.domain.messages import ToolCall
from cortexd.domain.tasks import TaskType
from simulated import Behaviour, Fault
from tests.bus.private_dbus import no_leaks_fixture  # noqa: F401
from tests.bus.served import MAX_PROMPT_BYTES, Served, served_fixture, served_of_module_fixture  # noqa: F401
from tests.eventually import assert_eventually_async

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class TestAnswers:
    async def test_ask(self, served: Served) -> None:
        """One line asks, and gives the answer's text."""
        async with AsyncClient(served.address) as client:
            assert await client.ask("Why?") == "[claude-sonnet-5-5] You said: Why?"

    async def test_completion_says_what_it_took(self, served: Served) -> None:
        """A completion holds who answered, the tokens and the cost, which is price times tokens."""
        served.simulated.behave("claude", Behaviour(input_tokens=1000, output_tokens=100))
        async with AsyncClient(served.address) as client:
            done = await client.complete("user_chat", [{"role": "user", "content": "hello"}])
        assert (done.provider, done.model, done.task_type) == ("claude", "claude-sonnet-5-5", "user_chat")
        assert (done.tokens.input, done.tokens.output) == (1000, 100)
        assert done.cost_nano_usd == 1000 * 2_000 + 100 * 10_000
        assert done.cost_usd == pytest.approx(0.003)
        assert (done.cost_known, done.settled, done.finish_reason) == (True, True, "stop")
        assert [attempt.provider for attempt in done.attempts] == ["claude"]
        assert done.metadata["cost_nano_usd"] == done.cost_nano_usd
        assert done.request_id
        assert done.route_reason

    async def test_what_it_thought_goes_back(self, served: Served) -> None:
        """Plain and streamed, and as it came on the message that is given back."""
        served.simulated.behave("kimi_k2", Behaviour(thinking="hm \N{ROCKET}", tool_calls=(("look", "{}"),)))
        wish = {"provider": "kimi_k2", "tools": [{"name": "look", "parameters": SCHEMA}]}
        async with AsyncClient(served.address) as client:
            done = await client.complete("user_chat", "hello", **wish)
            async with client.stream("user_chat", "hello", **wish) as stream:
                async for _ in stream:
                    pass
            assert (done.reasoning_content, stream.completion.reasoning_content) == ("hm \N{ROCKET}",) * 2
            [wanted] = done.tool_calls
            calls = [{"id": wanted.id, "name": wanted.name, "arguments": wanted.arguments}]
            turn = {"role": "assistant", "reasoning_content": done.reasoning_content, "tool_calls": calls}
            result = {"role": "tool", "tool_call_id": wanted.id, "content": "it is there"}
            served.simulated.behave("kimi_k2", Behaviour())
            await client.complete("user_chat", [{"role": "user", "content": "hello"}, turn, result], **wish)
        [_, _, again] = served.simulated.received("kimi_k2")
        assert json.loads(again.body)["messages"][1]["reasoning_content"] == "hm \N{ROCKET}"

    async def test_options_are_plain_values(self, served: Served) -> None:
        """Options are Python values; what the model refuses is named in dropped_options."""
        async with AsyncClient(served.address) as client:
            done = await client.complete(
                TaskType.USER_CHAT, "hello", temperature=0, max_tokens=64, labels={"team": "a"}, provider="claude"
            )
        assert done.dropped_options == ("temperature",)
        [received] = served.simulated.received("claude")
        assert json.loads(received.body)["max_tokens"] == 64

    @pytest.mark.parametrize(
        "tool",
        [
            {"name": "weather", "description": "Tells it", "parameters": SCHEMA},
            {"name": "weather", "parameters": json.dumps(SCHEMA)},
            {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}},
        ],
        ids=["dictionary", "text", "openai"],
    )
    async def test_tools(self, served: Served, tool: dict[str, object]) -> None:
        """A tool's schema may be a dictionary or JSON text, nested as OpenAI does or not; the call comes back."""
        served.simulated.behave("kimi_k2", Behaviour(tool_calls=(("weather", '{"city": "Bonn"}'),)))
        async with AsyncClient(served.address) as client:
            done = await client.complete("configuration", "weather?", tools=[tool], tool_choice="required")
        [call] = done.tool_calls
        assert isinstance(call, ToolCall)
        assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Bonn"})
        [received] = served.simulated.received("kimi_k2")
        assert json.loads(received.body)["tools"][0]["function"]["parameters"]["properties"] == SCHEMA["properties"]

    async def test_tool_results_go_back(self, served: Served) -> None:
        """A conversation with a tool call and its result is answered."""
        async with AsyncClient(served.address) as client:
            done = await client.complete(
                "configuration",
                [
                    {"role": "user", "content": "weather?"},
                    {
                        "role": "assistant",
                        "content": "",
                        "tool_calls": [{"id": "c1", "name": "weather", "arguments": {"city": "Bonn"}}],
                    },
                    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
                ],
                tools=[{"name": "weather", "parameters": SCHEMA}],
            )
        assert done.content

    async def test_fallback_is_seen(self, served: Served) -> None:
        """When the first provider fails the completion tells who was tried."""
        served.simulated.behave("claude", Behaviour(status=529))
        async with AsyncClient(served.address) as client:
            done = await client.complete("user_chat", "hello")
        assert done.provider == "kimi_k2"
        assert [attempt.provider for attempt in done.attempts] == ["claude", "kimi_k2"]
        assert done.attempts[0].error
        assert not done.attempts[1].error


class TestQuestionsAboutTheService:
    async def test_route(self, served: Served) -> None:
        """A dry run names the candidates in order and who was left out, and asks no provider."""
        async with AsyncClient(served.address) as client:
            decision = await client.route("code_generation", "hello")
        assert (decision.provider, decision.action) == ("kimi_k2", "org.cortexlinux.LLMRouter.complete")
        assert [item.provider for item in decision.candidates] == ["kimi_k2", "claude"]
        assert {item.provider for item in decision.left_out} >= {"deepseek", "qwen"}
        assert decision.candidates[0].worst_case_cost_usd > 0
        assert served.simulated.counts("kimi_k2").requests == 0

    async def test_stats_and_reset(self, served: Served) -> None:
        """Counters add up what was asked, and start again after a reset."""
        async with AsyncClient(served.address) as client:
            await client.reset_stats()
            costs = [(await client.complete("user_chat", "hello")).cost_nano_usd for _ in range(2)]
            stats = await client.stats()
            assert (stats.total_requests, stats.total_cost_nano_usd) == (2, sum(costs))
            assert (stats.providers["claude"].requests, stats.providers["kimi_k2"].requests) == (2, 0)
            await client.reset_stats()
            assert (await client.stats()).total_requests == 0

    async def test_providers(self, served: Served) -> None:
        """Each provider comes with its state and models; one without a key says what to set."""
        async with AsyncClient(served.address) as client:
            found = {item.name: item for item in await client.providers()}
        assert (found["claude"].configured, found["claude"].default_model) == (True, "claude-sonnet-5-5")
        assert "claude-sonnet-5-5" in found["claude"].models
        assert found["deepseek"].state == "unconfigured"
        assert "DEEPSEEK_API_KEY" in found["deepseek"].hint

    async def test_properties(self, served: Served) -> None:
        """The properties name every task type."""
        async with AsyncClient(served.address) as client:
            properties = await client.properties()
        assert set(properties.task_types) == {task.value for task in TaskType}
        assert properties.version
        assert "claude" in properties.providers


class TestErrors:
    async def test_unknown_task_type(self, served: Served) -> None:
        """The service's errors arrive as our exceptions, with their words."""
        async with AsyncClient(served.address) as client:
            with pytest.raises(errors.UnknownTaskType, match="did you mean 'user_chat'"):
                await client.ask("hello", "user_chart")

    async def test_unknown_option(self, served: Served) -> None:
        """An option that the service does not know is refused by name."""
        async with AsyncClient(served.address) as client:
            with pytest.raises(errors.InvalidArgument, match=r"options.*max_token.*did you mean 'max_tokens'"):
                await client.ask("hello", max_token=5)

    async def test_nobody_could_answer(self, served: Served) -> None:
        """When every provider fails the error lists them."""
        for name in ("claude", "kimi_k2"):
            served.simulated.behave(name, Behaviour(status=500))
        async with AsyncClient(served.address) as client:
            with pytest.raises(errors.NoProviderAvailable, match=r"claude.*kimi_k2"):
                await client.ask("hello")

    async def test_details_are_values(self, served: Served) -> None:
        """What ends an error's text in brackets comes as details, not as text."""
        async with AsyncClient(served.address) as client:
            await client.complete("user_chat", "hello", request_id="details-1")
            with pytest.raises(errors.RequestIdReused):
                await client.complete("user_chat", "another text", request_id="details-1")
        served.stop()
        served.start()
        async with AsyncClient(served.address) as client:
            with pytest.raises(errors.AnswerExpired) as found:
                await client.complete("user_chat", "hello", request_id="details-1")
        assert isinstance(found.value.details["cost_nano_usd"], int)
        assert "[" not in found.value.message

    async def test_too_large(self, served: Served) -> None:
        """A prompt past the service's bound is TooLarge, one past the bus's too."""
        async with AsyncClient(served.address) as client:
            with pytest.raises(errors.TooLarge):
                await client.ask("x" * (MAX_PROMPT_BYTES + 1))
            with pytest.raises(errors.TooLarge):
                await client.ask("x" * (40 * 2**20))
            assert await client.ask("still there?")

    async def test_own_timeout_ends_the_request(self, served: Served) -> None:
        """A timeout of the caller's own raises Timeout, and the service stops asking the provider."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG))
        async with AsyncClient(served.address, timeout_s=0.5) as client:
            with pytest.raises(errors.Timeout):
                await client.ask("hello")
            assert (await client.properties()).active_requests == 0

    async def test_no_daemon(self, served: Served) -> None:
        """Without a service the error says so and how to start it."""
        served.stop()
        async with AsyncClient(served.address) as client:
            with pytest.raises(errors.ServiceUnavailable, match=r"not running.*Start it with"):
                await client.ask("hello")

    async def test_no_bus(self, tmp_path: Path) -> None:
        """Without a bus the error says which."""
        async with AsyncClient(f"unix:path={tmp_path}/nothing") as client:
            with pytest.raises(errors.ServiceUnavailable, match="cannot reach the bus at unix:path="):
                await client.ask("hello")

    async def test_closed_client(self, served: Served) -> None:
        """A closed client refuses to be used."""
        client = AsyncClient(served.address)
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await client.ask("hello")


class TestTogether:
    async def test_more_calls_than_the_bus_allows(self, served: Served) -> None:
        """300 calls of one client at once, more than twice what the bus lets one connection have, are all answered."""
        async with AsyncClient(served.address) as client:
            answers = await asyncio.gather(*(client.ask(f"number {n}") for n in range(300)))
        assert answers == [f"[claude-sonnet-5-5] You said: number {n}" for n in range(300)]

    async def test_a_slow_answer_delays_nobody(self, served: Served) -> None:
        """While one call hangs, others of the same client are answered."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG, times=1), Behaviour())
        async with AsyncClient(served.address) as client:
            slow = asyncio.create_task(client.ask("slow"))
            await assert_eventually_async(lambda: served.simulated.counts("claude").requests == 1)
            assert await client.ask("fast")
            assert not slow.done()
            slow.cancel()
            await asyncio.wait([slow])

    async def test_leaving_ends_the_request(self, served: Served) -> None:
        """A client that closes ends what it asked for."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG))
        client = AsyncClient(served.address)
        asking = asyncio.create_task(client.ask("hello"))
        await assert_eventually_async(lambda: served.simulated.counts("claude").requests == 1)
        await client.close()
        with pytest.raises(errors.ServiceUnavailable):
            await asking
        async with AsyncClient(served.address) as other:
            async with asyncio.timeout(10):
                while (await other.properties()).active_requests:
                    await asyncio.sleep(0.01)

    async def test_service_that_dies_and_returns(self, served: Served) -> None:
        """A call under way when the daemon is killed fails in words; the same client then uses the next daemon."""
        served.simulated.behave("claude", Behaviour(fault=Fault.HANG, times=1), Behaviour())
        async with AsyncClient(served.address) as client:
            asking = asyncio.create_task(client.ask("hello"))
            await assert_eventually_async(lambda: served.simulated.counts("claude").requests == 1)
            served.stop(number=9)  # type: ignore[arg-type]
            with pytest.raises(errors.ServiceUnavailable, match="left the bus"):
                await asking
            served.start()
            assert await client.ask("again")

    async def test_bus_that_dies_and_returns(self, served: Served) -> None:
        """After the bus itself was lost the same client connects again."""
        async with AsyncClient(served.address) as client:
            before = (await client.connect()).unique_name
            served.end_bus()
            with pytest.raises(errors.ServiceUnavailable):
                await client.ask("hello")
            served.start_bus()
            served.start()
            assert await client.ask("hello")
            assert before
            assert client.unique_name


class TestFromThreads:
    def test_same_methods(self, served: Served) -> None:
        """The synchronous client gives the same things."""
        with Client(served.address) as client:
            assert client.ask("Why?") == "[claude-sonnet-5-5] You said: Why?"
            assert isinstance(client.complete("user_chat", "hello"), Completion)
            assert client.route("code_generation").provider == "kimi_k2"
            assert client.stats().total_requests > 0
            client.reset_stats()
            assert client.stats().total_requests == 0
            assert {item.name for item in client.providers()} >= {"claude", "kimi_k2"}
            assert client.properties().version
            assert client.unique_name.startswith(":")

    def test_many_threads(self, served: Served) -> None:
        """16 threads share one client, each gets its own answers, and the client's thread ends with it."""
        with Client(served.address) as client, ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: client.ask(f"number {n}"), range(64)))
        assert answers == [f"[claude-sonnet-5-5] You said: number {n}" for n in range(64)]
        assert not [thread for thread in threading.enumerate() if thread.name == "cortexd-client"]

    async def test_beside_a_running_loop(self, served: Served) -> None:
        """Inside asyncio it works from a thread, and does not stop the loop."""
        with Client(served.address) as client:
            assert await asyncio.to_thread(client.ask, "hello")

    def test_errors(self, served: Served) -> None:
        """Errors are the same too, and nothing is usable after close()."""
        with Client(served.address) as client, pytest.raises(errors.UnknownTaskType):
            client.ask("hello", "nonsense")
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.ask("hello")
