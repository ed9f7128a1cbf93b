"""Which models the operator lets a user have, whichever way he asks; and whom the user himself excludes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from dbus_next import Variant

from simulated import Behaviour
from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.program import (  # noqa: F401
    MANAGER,
    NAME,
    STANDARD,
    Program,
    dictionary,
    messages,
    program_fixture,
    refused,
)
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream
from tests.system.test_preferences import prefer, preferences
from tests.system.users import programs_of

FREE = "[daemon]\npreload_sdks = true\n"
CONFIG = f"""{FREE}
[routing.allowed]
everybody = ["kimi_k2"]
[routing.allowed.groups]
students = ["claude/claude-haiku-5-5"]
[routing.allowed.users]
carol = ["*"]
"""
NOT_ALLOWED = f"{STANDARD}AccessDenied"


@pytest.fixture(scope="module", autouse=True)
def students(namespace: Path) -> Iterator[None]:
    """A group of alice alone, in the namespace's own user database."""
    file = namespace / "etc" / "group"
    before = file.read_text()
    file.write_text(f"{before}students:x:59200:alice\n")
    yield
    file.write_text(before)


@pytest.fixture
async def alice(shared: Shared) -> AsyncIterator[Program]:
    """A student without preferences, before and after."""
    async with programs_of("alice") as [program]:
        yield program
        await prefer(program)


async def answered_by(program: Program, **options: object) -> str:
    metadata = (await program.complete("user_chat", "hello", **options)).metadata
    return f"{metadata['provider']}/{metadata['model']}"


class TestAllowed:
    async def test_the_groups_and_everybodys_together(self, shared: Shared, alice: Program, program: Program) -> None:
        """A member has both, others what everybody has; root is no exception, and who has "*" may have all."""
        shared.reload(CONFIG.replace('everybody = ["kimi_k2"]', 'everybody = ["kimi_k2", "claude/claude-opus-5-5"]'))
        rows = {row["model"]: row["reason"] for row in (await alice.route("user_chat", "hello"))["left_out"]}
        assert rows["claude-sonnet-5-5"] == "is not allowed to you (routing.allowed)"
        assert await answered_by(alice, provider="claude", model="claude-opus-5-5") == "claude/claude-opus-5-5"
        shared.reload(CONFIG)
        async with programs_of("bob", "carol") as (bob, carol):
            assert await answered_by(carol) == "claude/claude-sonnet-5-5"
            for asking in (bob, program):
                assert (await answered_by(asking)).startswith("kimi_k2/")
                with refused(NOT_ALLOWED):
                    await asking.complete("user_chat", "hello", model="claude-haiku-5-5")
            assert await answered_by(alice, model="claude-haiku-5-5") == "claude/claude-haiku-5-5"

    async def test_every_way_to_ask(self, shared: Shared, alice: Program) -> None:
        """Calls, streams, batches, strategies, sessions and fallbacks: the cloud's dear model never gets a request."""
        shared.reload(CONFIG)
        await answered_by(alice, session="s")
        for options in ({}, {"strategy": "quality"}, {"strategy": "latency"}, {"session": "s"}, {"fallback": False}):
            assert (await answered_by(alice, **options)) in ("kimi_k2/kimi-k2.6", "claude/claude-haiku-5-5")
        events = await (await Stream.open(alice, "user_chat", "hello")).read()
        assert events[-1]["metadata"]["model"] != "claude-sonnet-5-5"
        [items] = await alice.call(NAME, "CompleteBatch", "a(saa{sv})a{sv}", [["user_chat", messages("hello")]] * 3, {})
        assert {item[1]["model"] for item in items} <= {"kimi-k2.6", "claude-haiku-5-5"}
        shared.behave("kimi_k2", Behaviour(status=500))
        assert await answered_by(alice) == "claude/claude-haiku-5-5"
        assert not [request for request in shared.simulated.received("claude") if "sonnet" in request.body]

    async def test_naming_what_is_not_allowed(self, shared: Shared, alice: Program) -> None:
        """AccessDenied with its cause, by every way to ask, and nothing is sent; a batch's item fails by itself."""
        shared.reload(CONFIG)
        options = {"provider": "claude", "model": "claude-opus-5-5", "fallback": True}
        with refused(NOT_ALLOWED) as text:
            await alice.complete("user_chat", "hello", **options)
        assert text[0].endswith("[cause=not_allowed provider=claude]")
        with refused(NOT_ALLOWED):
            await alice.route("user_chat", "hello", **options)
        with refused(NOT_ALLOWED):
            await Stream.open(alice, "user_chat", "hello", model="claude-opus-5-5")
        requests = [["user_chat", messages("hello")]]
        [items] = await alice.call(NAME, "CompleteBatch", "a(saa{sv})a{sv}", requests, dictionary(options))
        assert items[0][1]["error_name"] == NOT_ALLOWED
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}

    async def test_a_reload_counts_at_once(self, shared: Shared, alice: Program) -> None:
        """The next request goes by it; a session's model that is allowed no more answers no more."""
        shared.reload(FREE)
        assert await answered_by(alice, session="moving") == "claude/claude-sonnet-5-5"
        shared.reload(CONFIG)
        assert await answered_by(alice, session="moving") == "claude/claude-haiku-5-5"
        shared.reload(f"{FREE}[routing.allowed]\neverybody = []\n")
        with refused(NOT_ALLOWED) as text:
            await alice.complete("user_chat", "hello")
        assert "cause=not_allowed" in text[0]

    async def test_a_task_type(self, shared: Shared, alice: Program) -> None:
        """Its list narrows for everybody."""
        shared.reload(f'{FREE}[routing.allowed.task_types]\ncode_generation = ["claude"]\n')
        reply = await alice.complete("code_generation", "hello")
        assert reply.metadata["provider"] == "claude"
        assert "kimi_k2 is not allowed for code_generation" in reply.metadata["route_reason"]
        with refused(NOT_ALLOWED):
            await alice.complete("code_generation", "hello", provider="kimi_k2")
        assert (await answered_by(alice, provider="kimi_k2")).startswith("kimi_k2/")

    async def test_a_budgets_last_money(self, shared: Shared, alice: Program) -> None:
        """What is cheaper answers only where it is allowed."""
        budgets = '[budgets]\nat_limit = "downgrade"\n[budgets.each_user]\nday_usd = "0.012"\n'
        options = {"max_tokens": 2000, "strategy": "quality"}
        shared.reload(f'{FREE}{budgets}[routing.allowed]\neverybody = ["claude/claude-sonnet-5-5"]\n')
        with refused("BudgetExceeded"):
            await alice.complete("user_chat", "hello", **options)
        shared.reload(f'{FREE}{budgets}[routing.allowed]\neverybody = ["claude"]\n')
        assert await answered_by(alice, **options) == "claude/claude-haiku-5-5"

    async def test_verifying_is_the_managers(self, shared: Shared, program: Program) -> None:
        """Root may have nothing, and can still see whether a provider answers."""
        shared.reload(f"{FREE}[routing.allowed]\neverybody = []\n")
        [found] = await program.call(MANAGER, "VerifyProvider", "s", "claude")
        assert (found["ok"], found["provider"]) == (True, "claude")
        with refused(NOT_ALLOWED):
            await program.complete("user_chat", "hello")


class TestPreferences:
    async def test_what_is_not_allowed_cannot_be_preferred(self, shared: Shared, alice: Program) -> None:
        """The refusal names the key; nothing is taken of the rest."""
        shared.reload(CONFIG)
        with refused(NOT_ALLOWED) as text:
            await prefer(alice, providers={"user_chat": "kimi_k2, claude/claude-sonnet-5-5"}, strategy="cost")
        assert text[0].startswith("preferences.providers.user_chat: claude/claude-sonnet-5-5 is not allowed")
        assert text[0].endswith("[cause=not_allowed provider=claude]")
        assert await preferences(alice) == {}
        await prefer(alice, providers={"user_chat": "claude/claude-haiku-5-5"})
        assert await answered_by(alice) == "claude/claude-haiku-5-5"

    async def test_what_was_allowed_is_passed_over(self, shared: Shared, alice: Program) -> None:
        """The operator's row holds, the plan says why, and the other preferences can still be changed."""
        shared.reload(FREE)
        wish = {"user_chat": "claude/claude-opus-5-5"}
        await prefer(alice, providers=wish)
        shared.reload(CONFIG)
        decision = await alice.route("user_chat", "hello")
        assert decision["model"] == "claude-haiku-5-5"
        assert "claude/claude-opus-5-5 is not allowed to you" in decision["reason"]
        assert "claude-opus-5-5" in [row["model"] for row in decision["left_out"]]
        await prefer(alice, providers=wish, strategy="cost")
        assert await preferences(alice) == {"providers": wish, "strategy": "cost"}


class TestExcluded:
    async def test_is_asked_by_name_alone(self, shared: Shared, alice: Program) -> None:
        """Not by the table, not as a fallback; who is named answers, and the reason says so."""
        shared.reload(FREE)
        await prefer(alice, excluded=Variant("as", ["claude"]))
        assert await preferences(alice) == {"excluded": ["claude"]}
        assert (await answered_by(alice)).startswith("kimi_k2/")
        rows = (await alice.route("user_chat", "hello"))["left_out"]
        assert {row["provider"]: row["reason"] for row in rows}["claude"] == "is excluded (your preferences)"
        shared.behave("kimi_k2", Behaviour(status=500))
        with refused("NoProviderAvailable"):
            await alice.complete("user_chat", "hello")
        reply = await alice.complete("user_chat", "hello", provider="claude")
        assert reply.metadata["route_reason"] == "provider claude was asked for, though you have excluded it"

    async def test_survives(self, shared: Shared, alice: Program) -> None:
        """A restart changes nothing."""
        await prefer(alice, excluded=Variant("as", ["claude/claude-opus-5-5", "qwen"]))
        shared.daemon.kill()
        shared.daemon.start()
        assert await preferences(alice) == {"excluded": ["claude/claude-opus-5-5", "qwen"]}

    async def test_wrong_ones(self, shared: Shared, alice: Program) -> None:
        """Unknown providers, and who is preferred at the same time."""
        with refused("UnknownProvider") as text:
            await prefer(alice, excluded=Variant("as", ["cloud"]))
        assert text[0].startswith("preferences.excluded: unknown provider")
        with refused("InvalidArgument"):
            await prefer(alice, excluded=Variant("as", ["claude"]), providers={"user_chat": "claude/claude-opus-5-5"})
        assert await preferences(alice) == {}
