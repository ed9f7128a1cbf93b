"""Budgets as their users meet them: what is refused, what answers instead, who is told, what GetBudget shows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortexd.errors import BudgetExceeded
from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.crowd import USERS, budgets, crowd, ended, everybody_may_ask_fixture, set_budget, usd  # noqa: F401
from tests.system.entries import most_held, read_entries
from tests.system.program import ERROR, NAME, Program, dictionary, messages, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.users import programs_of, uid_of
from tests.system.zones import noon

PRELOAD = "[daemon]\npreload_sdks = true\n"
CONFIG = PRELOAD
ENVIRONMENT = noon()
CENT = 10**7  # nano-dollars
ANSWER = Behaviour(input_tokens=50, output_tokens=20)
ANSWER_NANO = 50 * 2_000 + 20 * 10_000


@contextmanager
def allowed(shared: Shared, user: str, nano: int, more: str = "") -> Iterator[None]:
    """So much of a day's budget is left to `user`, by the configuration; at its end there is no budget again."""
    limit = usd(shared.books().charged_to(uid_of(user)) + nano)
    shared.reload(f'{PRELOAD}[budgets]\n{more}\n[budgets.users.{user}]\nday_usd = "{limit}"\n')
    yield
    shared.reload(PRELOAD)


class TestEachUser:
    async def test_each_has_ones_own(self, shared: Shared, program: Program) -> None:
        """With a limit for each user, one user's flood takes nothing from another's."""
        shared.behave("claude", ANSWER)
        shared.reload(f'{PRELOAD}[budgets.each_user]\nday_usd = "0.01"\n')
        async with programs_of(*USERS) as programs:
            outcomes = await ended(crowd(programs, range(300)))
        entries = read_entries(shared.daemon.ledger_file)
        for user in USERS:
            assert CENT - 5 * ANSWER_NANO < most_held(entries, (uid_of(user),)) <= CENT
        assert len(outcomes.replies) + outcomes.errors["BudgetExceeded"] == 300
        await program.complete("user_chat", "root's own cent", max_tokens=100)
        shared.reload(PRELOAD)


class TestPrograms:
    async def test_each_has_ones_own(self, shared: Shared) -> None:
        """A program's limit binds it for each user apart, with what it spent before; others and unnamed ones go on."""
        shared.behave("claude", Behaviour(input_tokens=50, output_tokens=99))
        cost = 50 * 2_000 + 99 * 10_000
        by = {"labels": {"app": "glutton"}}
        async with programs_of("alice", "bob") as [alice, bob]:
            first = await alice.complete("user_chat", "hello", max_tokens=100, **by)
            assert first.cost_nano == cost
            shared.reload(f'{PRELOAD}[budgets.apps.glutton]\nday_usd = "{usd(2 * cost)}"\n')
            with refused("BudgetExceeded") as text:
                await alice.complete("user_chat", "again", max_tokens=1000, **by)
            assert BudgetExceeded.from_text(text[0]).details["app"] == "glutton"
            await alice.complete("user_chat", "another program", max_tokens=100, labels={"app": "modest"})
            await alice.complete("user_chat", "none", max_tokens=100)
            await bob.complete("user_chat", "hello", max_tokens=100, **by)
            own = (await budgets(alice))["app", "day"]
        figures = [own[f"{name}_nano_usd"] for name in ("spent", "reserved", "remaining")]
        assert (own["name"], figures) == ("glutton", [cost, 0, cost])
        shared.reload(PRELOAD)


class TestTruth:
    async def test_more_than_was_reserved_stops_the_next(self, shared: Shared) -> None:
        """What a provider bills beyond the most that it said it could is booked; nothing fits after it."""
        shared.behave("claude", Behaviour(input_tokens=10, output_tokens=5_000))
        with allowed(shared, "alice", CENT):
            async with programs_of("alice") as [alice]:
                reply = await alice.complete("user_chat", "hello", max_tokens=16)
                assert reply.cost_nano == 10 * 2_000 + 5_000 * 10_000 > CENT
                with refused("BudgetExceeded"):
                    await alice.complete("user_chat", "hello", max_tokens=16)
                own = (await budgets(alice))["user", "day"]
        assert own["spent_nano_usd"] == own["limit_nano_usd"] - CENT + reply.cost_nano
        assert (own["reserved_nano_usd"], own["remaining_nano_usd"], own["severity"]) == (0, 0, "exceeded")
        assert shared.requests()["claude"] == 1

    async def test_an_unknown_price_is_the_dearest(self, shared: Shared) -> None:
        """What would do for the dearest known model does not do for one that nobody knows the price of."""
        shared.behave("claude", Behaviour(models=("claude-next", "claude-opus-5-5")))
        async with programs_of("alice") as [alice]:
            opus = await alice.route("user_chat", "hello", model="claude-opus-5-5", max_tokens=1000)
            unknown = {"provider": "claude", "model": "claude-next", "max_tokens": 1000}
            dearest = (await alice.route("user_chat", "hello", **unknown))["candidates"][0]["worst_case_cost_usd"]
            assert dearest >= opus["candidates"][0]["worst_case_cost_usd"] >= 0.02
            with allowed(shared, "alice", round(dearest * 10**9) - 1):
                with refused("BudgetExceeded"):
                    await alice.complete("user_chat", "hello", **unknown)
                await alice.complete("user_chat", "hello", max_tokens=1000)
            with allowed(shared, "alice", round(dearest * 10**9)):
                reply = await alice.complete("user_chat", "hello", **unknown)
        assert (reply.cost_nano, reply.metadata["cost_known"]) == (round(dearest * 10**9), False)

    async def test_a_limit_of_ones_own(self, shared: Shared) -> None:
        """max_cost_usd refuses before anything is reserved, whatever the budget has left."""
        async with programs_of("alice") as [alice]:
            with allowed(shared, "alice", CENT), refused("BudgetExceeded") as text:
                await alice.complete("user_chat", "hello", max_tokens=100, max_cost_usd=0.0001)
        assert "max_cost_usd" in text[0]
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}

    async def test_a_fallback_has_to_fit_too(self, shared: Shared) -> None:
        """After a failure that may have been billed only what is left counts; nothing more is sent."""
        shared.behave("kimi_k2", Behaviour(status=500))
        with allowed(shared, "alice", 450_000):
            async with programs_of("alice") as [alice]:
                with refused("NoProviderAvailable") as text:
                    await alice.complete("code_generation", "hello", max_tokens=100)
        assert "a budget has no room for it" in text[0]
        assert shared.requests() == {"claude": 0, "kimi_k2": 1}


class TestBatch:
    async def test_each_request_counts(self, shared: Shared) -> None:
        """What no longer fits fails by itself, with the error's name, beside those that were answered."""
        shared.behave("claude", Behaviour(input_tokens=5, output_tokens=99))
        requests = [["user_chat", messages(f"item {number}")] for number in range(10)]
        options = dictionary({"max_tokens": 100, "parallel": 1})
        with allowed(shared, "alice", CENT // 2):
            async with programs_of("alice") as [alice]:
                [answers] = await alice.call(NAME, "CompleteBatch", "a(saa{sv})a{sv}", requests, options)
        errors = [metadata.get("error_name", "") for _, metadata in answers]
        answered = errors.count("")
        assert 3 <= answered <= 4  # a tenth of a cent each, and what the prompt may cost
        assert errors == [""] * answered + [f"{ERROR}.BudgetExceeded"] * (10 - answered)
        assert shared.requests()["claude"] == answered


class TestAtLimit:
    """For 1,000 tokens Sonnet may cost a cent, Haiku a quarter of one."""

    async def test_downgrade(self, shared: Shared) -> None:
        """A cheaper model answers and the metadata says why; a named one is refused; then nothing fits at all."""
        with allowed(shared, "alice", CENT // 2, 'at_limit = "downgrade"'):
            async with programs_of("alice") as [alice]:
                reply = await alice.complete("user_chat", "hello", max_tokens=1000)
                assert (reply.metadata["provider"], reply.metadata["model"]) == ("claude", "claude-haiku-5-5")
                assert reply.metadata["route_reason"].startswith("downgraded: a budget has $0.0050 left")
                with refused("BudgetExceeded"):
                    await alice.complete("user_chat", "hello", max_tokens=1000, model="claude-sonnet-5-5")
                with refused("BudgetExceeded"):
                    await alice.complete("user_chat", "hello", max_tokens=100_000)
        assert shared.requests() == {"claude": 1, "kimi_k2": 0}

    async def test_stop(self, shared: Shared) -> None:
        """By itself the limit refuses, and says which it is, what is left and until when."""
        with allowed(shared, "alice", CENT // 5):
            async with programs_of("alice") as [alice]:
                with refused("BudgetExceeded") as text:
                    await alice.complete("user_chat", "hello", max_tokens=1000)
                own = (await budgets(alice))["user", "day"]
        details = BudgetExceeded.from_text(text[0]).details
        assert (details["period"], details["resets_at"]) == ("day", own["resets_at"])
        assert text[0].startswith("This request may cost more than the $")
        assert "$0.002 left of your" in text[0]
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}


class TestThresholds:
    async def test_once_each_and_to_its_user_alone(self, shared: Shared, program: Program) -> None:
        """Half, four fifths and 95 % are told once, on each of the user's connections, to nobody else."""
        await program.hear_broadcasts()
        await program.subscribe()
        with allowed(shared, "carol", CENT):
            async with programs_of("carol", "carol", "bob") as programs:
                for one in programs:
                    await one.subscribe()
                    await one.hear_broadcasts()
                start = shared.books().charged_to(uid_of("carol"))
                limit = (start + CENT) / 10**9
                for share in (20, 40, 25, 5, 9):  # per cent of the cent; sums 20, 60, 85, 90, 99
                    shared.behave("claude", Behaviour(input_tokens=5, output_tokens=share * 10 - 1))
                    await programs[0].complete("user_chat", "hello", max_tokens=1)
                await programs[2].complete("user_chat", "hello", max_tokens=1)
                told = await programs[0].await_heard("BudgetThreshold", 3)
                await programs[1].await_heard("BudgetThreshold", 3)
                await programs[2].await_heard("CostIncurred")
                await program.stats()
        assert [body[:2] for body in told] == [["day", 0.5], ["day", 0.8], ["day", 0.95]]
        assert all(body[3] == pytest.approx(limit) for body in told)
        assert [round((body[2] - start / 10**9) * 100, 6) for body in told] == [0.6, 0.85, 0.99]
        assert programs[1].heard("BudgetThreshold") == told
        assert programs[2].heard("BudgetThreshold") == program.heard("BudgetThreshold") == []
        assert all(
            signal.destination == programs[0].connection.unique_name
            for signal in programs[0].signals
            if signal.member == "BudgetThreshold"
        )

    async def test_not_again_after_a_restart(self, shared: Shared) -> None:
        """One request may cross several; what was crossed before a restart is not crossed again."""
        shared.behave("claude", Behaviour(input_tokens=5, output_tokens=84_999))
        async with programs_of("bob") as [bob]:
            with allowed(shared, "bob", 100 * CENT):
                await bob.subscribe()
                await bob.complete("user_chat", "hello", max_tokens=1)
                told = await bob.await_heard("BudgetThreshold", 2)
                shared.daemon.restart()
                await bob.subscribe()
                shared.behave("claude", Behaviour(input_tokens=5, output_tokens=9))
                await bob.complete("user_chat", "hello", max_tokens=1)
                await bob.await_heard("CostIncurred", 2)
        assert [body[:2] for body in told] == [["day", 0.5], ["day", 0.8]]
        assert len(bob.heard("BudgetThreshold")) == 2


class TestSetBudget:
    async def test_during_a_flood(self, shared: Shared, program: Program) -> None:
        """A limit that is set while requests run binds the next one; those that run are paid."""
        shared.behave("claude", Behaviour(input_tokens=5, output_tokens=9, delay_s=0.5))
        async with programs_of("alice") as [alice]:
            tasks = crowd([alice], range(5000, 5020))
            await assert_eventually_async(lambda: shared.requests()["claude"] == 20)
            await set_budget(program, scope="user", name="alice", day_usd="0.000001")
            with refused("BudgetExceeded"):
                await alice.complete("user_chat", "hello", max_tokens=100)
            assert len((await ended(tasks)).replies) == 20
        await set_budget(program, scope="user", name="alice", remove=True)

    async def test_needs_an_administrator(self, shared: Shared) -> None:
        """Nobody else sets limits, his own neither."""
        async with programs_of("alice") as [alice]:
            with refused("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"):
                await set_budget(alice, scope="user", name="alice", day_usd="1000")


@pytest.fixture
def students(namespace: Path) -> Iterator[None]:
    """A group of alice and bob, in the namespace's own user database."""
    file = namespace / "etc" / "group"
    before = file.read_text()
    file.write_text(f"{before}students:x:59200:alice,bob\n")
    yield
    file.write_text(before)


@pytest.mark.usefixtures("students")
class TestGroups:
    async def test_members_share(self, shared: Shared, program: Program) -> None:
        """What one member spends another cannot; who is not in it is not bound."""
        shared.behave("claude", Behaviour(input_tokens=5, output_tokens=299))
        shared.reload(f"{PRELOAD}[budgets]\nshared_step = 0\n")  # the half cent that is left is no whole step
        spent = sum(shared.books().charged_to(uid_of(user)) for user in ("alice", "bob"))
        await set_budget(program, scope="group", name="students", month_usd=usd(spent + CENT // 2))
        async with programs_of(*USERS) as (alice, bob, carol):
            await alice.complete("user_chat", "hello", max_tokens=100)
            await bob.complete("user_chat", "hello", max_tokens=100)
            for member in (alice, bob):
                with refused("BudgetExceeded") as text:
                    await member.complete("user_chat", "hello", max_tokens=100)
                assert text[0].startswith("This request may cost more than the students group's")
                assert "left" not in text[0]
            await carol.complete("user_chat", "hello", max_tokens=100)
            [shown] = (await budgets(alice)).values()
            assert await budgets(carol) == {}
        assert (shown["scope"], shown["name"], shown["period"]) == ("group", "students", "month")
        assert shown["severity"] == "exceeded"
        assert not [key for key in shown if key.startswith(("spent", "reserved"))]
        assert shown["remaining_nano_usd"] == 0
        await set_budget(program, scope="group", name="students", remove=True)
        shared.reload(PRELOAD)


class TestFigures:
    async def test_what_is_reserved_shows(self, shared: Shared, program: Program) -> None:
        """The worst case of what runs is reserved, then its cost is spent; the machine's figures root alone sees."""
        shared.behave("claude", Behaviour(input_tokens=5, output_tokens=99, delay_s=1.0))
        before = shared.books().charged_to(uid_of("alice"))
        shared.reload(f'{PRELOAD}[budgets.machine]\nday_usd = "5"\n[budgets.each_user]\nday_usd = "2"\n')
        async with programs_of("alice") as [alice]:
            worst = (await alice.route("user_chat", "hello", max_tokens=100))["candidates"][0]["worst_case_cost_usd"]
            tasks = [asyncio.create_task(alice.complete("user_chat", "hello", max_tokens=100)) for _ in range(3)]
            await assert_eventually_async(lambda: shared.requests()["claude"] == 3)
            during = await budgets(alice)
            everybody = (await budgets(program))["machine", "day"]
            await asyncio.gather(*tasks)
            after = (await budgets(alice))["user", "day"]
        own = during["user", "day"]
        reserved = 3 * round(worst * 10**9)
        assert (own["spent_nano_usd"], own["reserved_nano_usd"]) == (before, reserved)
        assert own["remaining_nano_usd"] == 2 * 10**9 - before - reserved
        assert (own["limit_usd"], own["reserved_usd"]) == (2.0, pytest.approx(3 * worst))
        assert "spent_usd" not in during["machine", "day"]
        assert (everybody["reserved_nano_usd"], everybody["limit_usd"]) == (reserved, 5.0)
        assert (after["spent_nano_usd"], after["reserved_nano_usd"]) == (before + 3 * 100 * 10_000, 0)
        shared.reload(PRELOAD)
