"""Whom a user wants to be answered by: lasting preferences, strategies, and sessions that stay where they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from simulated import Behaviour
from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.program import MANAGER, Json, Program, dictionary, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.users import programs_of

CONFIG = "[daemon]\npreload_sdks = true\n"


async def prefer(program: Program, **wishes: object) -> None:
    assert await program.call(MANAGER, "SetPreferences", "a{sv}", dictionary(wishes)) == []


async def preferences(program: Program) -> Json:
    [found] = await program.call(MANAGER, "GetPreferences")
    assert isinstance(found, dict)
    return found


@pytest.fixture
async def alice(shared: Shared) -> AsyncIterator[Program]:
    """Without preferences, before and after."""
    async with programs_of("alice") as [program]:
        yield program
        await prefer(program)


class TestProvider:
    async def test_the_preferred_one_answers(self, shared: Shared, alice: Program, program: Program) -> None:
        """For that task type and that user; what a request says itself stands above it."""
        await prefer(alice, providers={"user_chat": "kimi_k2"})
        assert await preferences(alice) == {"providers": {"user_chat": "kimi_k2"}}
        reply = await alice.complete("user_chat", "hello")
        assert reply.metadata["provider"] == "kimi_k2"
        assert reply.metadata["route_reason"] == "you prefer kimi_k2 for user_chat"
        others = [
            await alice.complete("requirement_parsing", "hello"),
            await alice.complete("user_chat", "hello", provider="claude"),
            await program.complete("user_chat", "hello"),
        ]
        assert [other.metadata["provider"] for other in others] == ["claude"] * 3
        assert await preferences(program) == {}

    async def test_it_is_no_more_than_a_wish(self, shared: Shared, alice: Program) -> None:
        """Where the preferred one fails or has no key another answers."""
        await prefer(alice, providers={"user_chat": "kimi_k2", "requirement_parsing": "deepseek"})
        shared.behave("kimi_k2", Behaviour(status=500))
        reply = await alice.complete("user_chat", "hello")
        assert reply.attempts == [("kimi_k2", "server_error"), ("claude", "ok")]
        reply = await alice.complete("requirement_parsing", "hello")
        assert reply.metadata["provider"] == "claude"
        assert "deepseek" in reply.metadata["route_reason"]

    async def test_they_survive(self, shared: Shared, alice: Program) -> None:
        """kill -9 and a new start change nothing; empty ones give all up, and each replaces the last."""
        await prefer(alice, providers={"user_chat": "kimi_k2"}, strategy="cost", local_only=False)
        shared.daemon.kill()
        shared.daemon.start()
        assert await preferences(alice) == {
            "providers": {"user_chat": "kimi_k2"},
            "strategy": "cost",
            "local_only": False,
        }
        assert (await alice.complete("user_chat", "hello")).metadata["provider"] == "kimi_k2"
        await prefer(alice, strategy="table")
        assert await preferences(alice) == {"strategy": "table"}
        assert (await alice.complete("user_chat", "hello")).metadata["provider"] == "claude"
        await prefer(alice)
        assert await preferences(alice) == {}

    async def test_wrong_ones(self, shared: Shared, alice: Program) -> None:
        """The error names the key, and nothing is taken of the rest."""
        with refused("UnknownProvider") as text:
            await prefer(alice, providers={"user_chat": "kimi"}, strategy="cost")
        assert text[0].startswith("preferences.providers.user_chat: unknown provider")
        for wishes, named in (
            ({"strategy": "cheap"}, "preferences.strategy"),
            ({"local": True}, "local_only"),
            ({"providers": {"chat": "claude"}}, "preferences.providers"),
        ):
            with refused("InvalidArgument") as text:
                await prefer(alice, **wishes)
            assert named in text[0]
        assert await preferences(alice) == {}


MODELS = f"""{CONFIG}
[routing.table]
code_generation = ["kimi_k2/kimi-k2.7-code", "claude/claude-haiku-5-5"]
[routing.strategies]
configuration = "quality"
[providers.claude.models.claude-opus-5-5]
quality = {{ configuration = 0.9 }}
"""


@pytest.fixture
def with_models(shared: Shared) -> Iterator[None]:
    """Rows that name models, and a graded one."""
    shared.reload(MODELS)
    yield
    shared.reload(CONFIG)


@pytest.mark.usefixtures("with_models")
class TestModels:
    async def test_a_row_in_its_order(self, shared: Shared, alice: Program) -> None:
        """The first model answers; where its endpoint fails the next of the row."""
        assert (await alice.complete("code_generation", "hello")).metadata["model"] == "kimi-k2.7-code"
        shared.behave("kimi_k2", Behaviour(status=500))
        reply = await alice.complete("code_generation", "hello")
        assert (reply.attempts, reply.metadata["model"]) == (
            [("kimi_k2", "server_error"), ("claude", "ok")],
            "claude-haiku-5-5",
        )

    async def test_a_preference_in_its_order(self, shared: Shared, alice: Program) -> None:
        """Kept as it was understood, shown by the route, and followed."""
        await prefer(alice, providers={"user_chat": "claude/claude-opus-5-5,kimi_k2"})
        assert await preferences(alice) == {"providers": {"user_chat": "claude/claude-opus-5-5, kimi_k2"}}
        assert (await alice.complete("user_chat", "hello")).metadata["model"] == "claude-opus-5-5"
        decision = await alice.route("user_chat", "hello")
        assert [row["model"] for row in decision["candidates"]] == ["claude-opus-5-5", "kimi-k2.6"]

    async def test_a_strategy_by_task_type(self, shared: Shared, alice: Program) -> None:
        """The best for the task answers; other tasks go by the table."""
        reply = await alice.complete("configuration", "hello")
        assert reply.metadata["model"] == "claude-opus-5-5"
        assert (await alice.route("configuration", "hello"))["strategy"] == "quality"
        assert (await alice.route("user_chat", "hello"))["strategy"] == "table"

    async def test_a_session_stays_with_its_model(self, shared: Shared, alice: Program) -> None:
        """Across task types; but one that was asked for by name is so for that call alone."""
        await alice.complete("code_generation", "hello", session="s")
        assert (await alice.complete("user_chat", "hello", session="s")).metadata["model"] == "kimi-k2.7-code"
        await alice.complete("user_chat", "hello", session="s", model="claude-opus-5-5")
        assert (await alice.complete("user_chat", "hello", session="s")).metadata["model"] == "claude-sonnet-5-5"


class TestLocalOnly:
    async def test_nothing_leaves_the_machine(self, shared: Shared, alice: Program, program: Program) -> None:
        """Without a local endpoint nobody answers; with one it does, for whichever task; others are not bound."""
        await prefer(alice, local_only=True)
        with refused("NoProviderAvailable") as text:
            await alice.complete("user_chat", "hello")
        assert "is not local (you prefer local_only)" in text[0]
        url = shared.simulated.url("office")
        shared.simulated.reset("office")
        shared.behave("office", Behaviour(keys=("none",)))
        local = f'[providers.office]\napi = "openai"\nbase_url = "{url}"\nmodel = "llama-9"\nlocal = true\n'
        shared.reload(f"{CONFIG}{local}")
        try:
            for task in ("user_chat", "code_generation"):
                reply = await alice.complete(task, "hello")
                assert (reply.metadata["provider"], reply.cost_nano) == ("office", 0)
            with refused("NoProviderAvailable"):
                await alice.complete("user_chat", "hello", provider="claude")
            assert shared.requests() == {"claude": 0, "kimi_k2": 0}
            assert (await program.complete("user_chat", "hello")).metadata["provider"] == "claude"
        finally:
            shared.reload(CONFIG)


class TestStrategy:
    async def test_cost(self, shared: Shared, alice: Program) -> None:
        """The likely cheapest answers, as an option and as a preference; an option stands above a preference."""
        for number in range(2):
            options = {} if number else {"strategy": "cost"}
            reply = await alice.complete("user_chat", "hello", **options)
            assert reply.metadata["provider"] == "kimi_k2"
            assert reply.metadata["route_reason"].startswith("cheapest: likely $")
            await prefer(alice, strategy="cost")
        reply = await alice.complete("user_chat", "hello", strategy="table")
        assert reply.metadata["provider"] == "claude"
        decision = await alice.route("user_chat", "hello")
        assert (decision["strategy"], decision["provider"]) == ("cost", "kimi_k2")
        scores = [row["score"] for row in decision["candidates"]]
        assert scores == sorted(scores)

    async def test_cost_knows_the_cheapest_of_all(self, shared: Shared, alice: Program) -> None:
        """A rate of the operator's own counts as any other price."""
        rate = '{ input_usd_per_million = "0.01", output_usd_per_million = "0.02" }'
        shared.reload(f"{CONFIG}[providers.claude]\nrate = {rate}\n")
        reply = await alice.complete("code_generation", "hello", strategy="cost")
        assert reply.metadata["provider"] == "claude"
        shared.reload(CONFIG)

    async def test_latency(self, shared: Shared, alice: Program) -> None:
        """The quickest of late answers, whoever that becomes."""
        shared.reload(CONFIG)  # which forgets what was quick before
        # An answer twenty answers ago still counts half: what comes second has to outweigh what came first.
        for slow, quick, delay_s in (("claude", "kimi_k2", 0.5), ("kimi_k2", "claude", 2.0)):
            shared.behave(slow, Behaviour(delay_s=delay_s))
            shared.behave(quick, Behaviour())
            for _ in range(3):
                for provider in (slow, quick):
                    await alice.complete("user_chat", "hello", provider=provider)
            reply = await alice.complete("user_chat", "hello", strategy="latency")
            assert reply.metadata["provider"] == quick, await alice.route("user_chat", "hello", strategy="latency")
            assert reply.metadata["route_reason"].startswith("quickest of late: ")


class TestSession:
    async def test_stays_with_its_provider(self, shared: Shared, alice: Program, program: Program) -> None:
        """Whoever answered it last answers it again, whatever the task type; other sessions and users are free."""
        await alice.complete("user_chat", "hello", session="talk", provider="kimi_k2")
        reply = await alice.complete("user_chat", "and then?", session="talk")
        assert (reply.metadata["provider"], reply.metadata["route_reason"]) == ("kimi_k2", "session stays with kimi_k2")
        others = [
            await alice.complete("user_chat", "hello", session="another"),
            await program.complete("user_chat", "hello", session="talk"),
            await alice.complete("user_chat", "hello"),
        ]
        assert [other.metadata["provider"] for other in others] == ["claude"] * 3
        code = await alice.complete("code_generation", "now as code", session="another")
        assert code.metadata["provider"] == "claude"

    async def test_moves_when_its_provider_fails(self, shared: Shared, alice: Program) -> None:
        """The fallback that answered keeps it, also when the first one is well again."""
        shared.behave("claude", Behaviour(times=1, status=529), Behaviour())
        reply = await alice.complete("user_chat", "hello", session="moved")
        assert reply.metadata["provider"] == "kimi_k2"
        reply = await alice.complete("user_chat", "and then?", session="moved")
        assert reply.metadata["provider"] == "kimi_k2"

    async def test_stands_above_preference_and_strategy(self, shared: Shared, alice: Program) -> None:
        """Its cache is worth more than a cheaper price; a provider that is asked for stands above it."""
        await alice.complete("user_chat", "hello", session="kept")
        await prefer(alice, providers={"user_chat": "kimi_k2"}, strategy="cost")
        reply = await alice.complete("user_chat", "and then?", session="kept")
        assert reply.metadata["provider"] == "claude"
        reply = await alice.complete("user_chat", "and then?", session="kept", provider="kimi_k2")
        assert reply.metadata["provider"] == "kimi_k2"
