"""Manager.Reload and VerifyProvider: an administrator changes and checks the service while others use it."""

from __future__ import annotations

import asyncio

import pytest

from simulated import Behaviour, Fault
from tests.eventually import assert_eventually_async
from tests.system.program import MANAGER, Json, Program, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream, text_of
from tests.system.users import programs_of

CONFIG = "[daemon]\npreload_sdks = true\n"
UNASKED = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"


async def reload(shared: Shared, program: Program, config: str) -> None:
    """By the method: when it answers, the new settings hold."""
    shared.daemon.configure(config)
    assert await program.call(MANAGER, "Reload") == []


async def verify(program: Program, provider: str) -> Json:
    [result] = await program.call(MANAGER, "VerifyProvider", "s", provider)
    assert isinstance(result, dict)
    return result


class TestReload:
    async def test_during_requests_and_streams(self, shared: Shared, program: Program) -> None:
        """Twenty-five requests and as many streams go on to their whole answers through five reloads; the next request
        takes the new route."""
        chatting = Behaviour(reply="word " * 100, chunks=50, chunk_delay_s=0.01, delay_s=1.5)
        shared.behave("claude", chatting)
        plain = [asyncio.create_task(program.complete("user_chat", f"plain {number}")) for number in range(25)]
        streams = [await Stream.open(program, "user_chat", f"stream {number}") for number in range(25)]
        await assert_eventually_async(lambda: shared.simulated.counts("claude").active == 50)
        for connections in range(100, 105):
            await reload(shared, program, f"{CONFIG}[providers.claude]\nmax_connections = {connections}\n")
        await reload(shared, program, f'{CONFIG}[routing.table]\nuser_chat = "kimi_k2"\n')
        assert (await program.complete("user_chat", "new")).metadata["provider"] == "kimi_k2"
        assert not any(task.done() for task in plain)
        replies = await asyncio.gather(*plain)
        events = await asyncio.gather(*(stream.read() for stream in streams))
        answers = [reply.content for reply in replies] + [text_of(one) for one in events]
        assert answers == ["word " * 100] * 50
        assert all(one[-1]["metadata"]["provider"] == "claude" for one in events)
        assert shared.requests() == {"claude": 50, "kimi_k2": 1}
        shared.books().assert_balanced()
        await reload(shared, program, CONFIG)

    async def test_while_requests_come(self, shared: Shared, program: Program) -> None:
        """Two hundred requests that begin before, between and after twenty reloads are all answered."""
        shared.behave("claude", Behaviour(delay_s=0.02))
        answered: list[str] = []

        async def ask(start: int) -> None:
            for number in range(start, start + 20):
                answered.append((await program.complete("user_chat", f"during {number}")).content)

        asking = [asyncio.create_task(ask(start)) for start in range(0, 200, 20)]
        for number in range(20):
            await reload(shared, program, f"{CONFIG}[limits]\nmax_active_requests = {10 + number}\n")
            await asyncio.sleep(0.02)
        async with asyncio.timeout(30):
            await asyncio.gather(*asking)
        assert len(answered) == len(set(answered)) == 200
        await reload(shared, program, CONFIG)

    @pytest.mark.parametrize(
        ("broken", "said"),
        [
            ("[limits]\nmax_activ_requests = 3\n", "50-test.toml: limits.max_activ_requests: unknown setting"),
            ('[budgets.machine]\nday_usd = "lots"\n', "50-test.toml: budgets.machine.day_usd"),
            ("[routing\n", "50-test.toml: is not valid TOML"),
        ],
    )
    async def test_a_wrong_file(self, shared: Shared, program: Program, broken: str, said: str) -> None:
        """InvalidArgument says what is wrong and where; requests under way and new ones go by the old settings."""
        await reload(shared, program, f'{CONFIG}[routing.table]\nuser_chat = "kimi_k2"\n')
        shared.behave("kimi_k2", Behaviour(delay_s=0.3))
        under_way = asyncio.create_task(program.complete("user_chat", "hello"))
        await assert_eventually_async(lambda: shared.requests()["kimi_k2"] == 1)
        with refused("InvalidArgument") as text:
            await reload(shared, program, broken)
        assert text[0].startswith("the configuration stays as it was: ")
        assert said in text[0]
        for reply in (await under_way, await program.complete("user_chat", "hello")):
            assert reply.metadata["provider"] == "kimi_k2"
        await reload(shared, program, CONFIG)

    async def test_needs_an_administrator(self, shared: Shared) -> None:
        """The action is asked of polkit, and nothing is read."""
        logged = len(shared.daemon.log())
        shared.daemon.configure("[broken")
        async with programs_of("alice") as [alice]:
            with refused(UNASKED):
                await alice.call(MANAGER, "Reload")
        assert "the configuration stays as it was" not in shared.daemon.log()[logged:]
        shared.daemon.configure(CONFIG)


class TestVerifyProvider:
    @pytest.mark.parametrize(("provider", "model"), [("claude", "claude-sonnet-5-5"), ("kimi_k2", "kimi-k2.6")])
    async def test_one_that_answers(self, shared: Shared, program: Program, provider: str, model: str) -> None:
        """One real request to this provider alone, which the caller pays as any other."""
        result = await verify(program, provider)
        assert (result["ok"], result["provider"], result["model"]) == (True, provider, model)
        assert result["cost_nano_usd"] == shared.simulated.billed(provider).nano > 0
        assert result["latency_ms"] >= 0
        assert sum(shared.requests().values()) == shared.requests()[provider] == 1
        assert shared.books().rows[-1]["charged"] == result["cost_nano_usd"]

    @pytest.mark.parametrize(
        ("behaviour", "said"),
        [
            (Behaviour(keys=("sk-sim-another",)), "key"),
            (Behaviour(status=500), "500"),
            (Behaviour(fault=Fault.EMPTY_BODY), "no answer"),
        ],
    )
    async def test_one_that_fails(self, shared: Shared, program: Program, behaviour: Behaviour, said: str) -> None:
        """The reply says why, without the key; nobody else is asked instead."""
        shared.behave("claude", behaviour)
        result = await verify(program, "claude")
        assert (result["ok"], result["provider"]) == (False, "claude")
        assert said in result["error"]
        assert "sk-sim" not in result["error"]
        assert shared.requests() == {"claude": 1, "kimi_k2": 0}

    async def test_one_without_a_key(self, shared: Shared, program: Program) -> None:
        """The reply says what to set."""
        result = await verify(program, "deepseek")
        assert result["ok"] is False
        assert "DEEPSEEK_API_KEY" in result["error"]

    async def test_one_that_nobody_knows(self, shared: Shared, program: Program) -> None:
        """The error names those that there are."""
        with refused("UnknownProvider") as text:
            await verify(program, "cloude")
        assert "claude" in text[0]

    async def test_after_the_key_was_mended(self, shared: Shared, program: Program) -> None:
        """A breaker that is open does not stop the question, and a good answer closes it."""
        shared.behave("claude", Behaviour(status=401))
        assert not (await verify(program, "claude"))["ok"]
        assert (await program.providers())["claude"]["state"] == "open"
        shared.behave("claude", Behaviour())
        assert (await verify(program, "claude"))["ok"]
        assert (await program.providers())["claude"]["state"] == "ok"

    async def test_needs_an_administrator(self, shared: Shared) -> None:
        """Nobody else spends on it."""
        async with programs_of("alice") as [alice]:
            with refused(UNASKED):
                await verify(alice, "claude")
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}
