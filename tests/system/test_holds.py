"""One's own cap, and being asked: what is held, whom it is told, what each answer does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cortexd.errors import BudgetExceeded
from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.crowd import budgets, crowd, ended, everybody_may_ask_fixture, set_budget, usd, worst_nano  # noqa: F401
from tests.system.entries import most_held, read_entries
from tests.system.program import ERROR, NAME, USAGE, Json, Program, dictionary, messages, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream
from tests.system.users import programs_of, uid_of
from tests.system.zones import noon

CONFIG = "[daemon]\npreload_sdks = true\n"
ENVIRONMENT = noon()
ANSWER = Behaviour(input_tokens=50, output_tokens=20)
ANSWER_NANO = 50 * 2_000 + 20 * 10_000
ROOM_NANO = 1_000_000


async def set_own(program: Program, **budget: Any) -> None:
    assert await program.call(USAGE, "SetOwnBudget", "a{sv}", dictionary(budget)) == []


async def holds(program: Program) -> list[Json]:
    [rows] = await program.call(USAGE, "ListHolds")
    assert isinstance(rows, list)
    return rows


async def answer(program: Program, hold_id: str, said: str, **options: Any) -> None:
    assert await program.call(USAGE, "AnswerHold", "ssa{sv}", hold_id, said, dictionary(options)) == []


async def one_hold(program: Program, requests: int = 1) -> Json:
    """The open question, once so many requests wait."""
    found: list[Json] = []

    async def is_held() -> bool:
        found[:] = await holds(program)
        return bool(found) and found[0]["requests"] == requests

    async with asyncio.timeout(20):
        while not await is_held():
            await asyncio.sleep(0.02)
    [row] = found
    return row


@pytest.fixture(name="alice")
async def alice_fixture(shared: Shared) -> AsyncIterator[Program]:
    """Who has used up the own cap but for a thousandth of a dollar, and listens."""
    shared.behave("claude", ANSWER)
    async with programs_of("alice") as [alice]:
        await alice.subscribe()
        await set_own(alice, day_usd=usd(shared.books().charged_to(uid_of("alice")) + ROOM_NANO), at_limit="ask")
        yield alice
        await set_own(alice, remove=True)


def asked(program: Program, deadline_ms: int = 60_000, **options: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(
        program.complete("user_chat", "hello", max_tokens=1000, deadline_ms=deadline_ms, **options)
    )


class TestHeld:
    async def test_nothing_leaves_meanwhile(self, shared: Shared, alice: Program) -> None:
        """The question says what waits; the request shows as held, nothing is reserved, nobody is asked."""
        request = asked(alice, request_id="wait", labels={"app": "editor"})
        hold = await one_hold(alice)
        [[hold_id, may_cost_usd, details]] = await alice.await_heard("BudgetHeld")
        assert details == hold
        assert hold_id == hold["hold_id"]
        assert may_cost_usd == hold["may_cost_usd"] > ROOM_NANO / 10**9
        assert {key: hold[key] for key in ("scope", "period", "request_id", "task_type", "app", "provider")} == {
            "scope": "own",
            "period": "day",
            "request_id": "wait",
            "task_type": "user_chat",
            "app": "editor",
            "provider": "claude",
        }
        assert hold["left_nano_usd"] == ROOM_NANO
        [[row]] = await alice.call(NAME, "ListRequests")
        assert row["state"] == "held"
        assert shared.requests()["claude"] == 0
        assert (await budgets(alice))["own", "day"]["reserved_nano_usd"] == 0
        await answer(alice, hold_id, "once")
        assert (await request).cost_nano == ANSWER_NANO
        assert await alice.await_heard("HoldEnded") == [[hold_id, "once"]]
        assert await holds(alice) == []

    async def test_once_is_for_what_was_told_alone(self, alice: Program) -> None:
        """The next request is asked about anew."""
        first = asked(alice)
        await answer(alice, (await one_hold(alice))["hold_id"], "once")
        await first
        second = asked(alice)
        await answer(alice, (await one_hold(alice))["hold_id"], "refuse")
        with refused("BudgetExceeded"):
            await second

    async def test_today_raises_the_cap_until_midnight(self, alice: Program) -> None:
        """By the amount that is named, from what is used now; the next request has room."""
        before = (await budgets(alice))["own", "day"]
        first = asked(alice)
        await answer(alice, (await one_hold(alice))["hold_id"], "today", more_usd="0.50")
        await first
        after = (await budgets(alice))["own", "day"]
        assert after["limit_nano_usd"] == before["spent_nano_usd"] + 500_000_000
        await asked(alice)
        assert len(alice.heard("BudgetHeld")) == 1

    async def test_refuse_is_told_with_what_to_do(self, shared: Shared, alice: Program) -> None:
        """Nobody was asked at a provider; for a while nobody is asked at the computer either, until the cap changes."""
        request = asked(alice)
        await answer(alice, (await one_hold(alice))["hold_id"], "refuse")
        with refused("BudgetExceeded") as text:
            await request
        details = BudgetExceeded.from_text(text[0]).details
        assert (details["cause"], details["answer"], details["period"]) == ("own_cap", "refuse", "day")
        with refused("BudgetExceeded"):
            await asked(alice)
        assert shared.requests()["claude"] == 0
        assert len(alice.heard("BudgetHeld")) == 1
        await set_own(alice, more_usd="0.5")
        await asked(alice)

    async def test_silence_is_a_no(self, shared: Shared, alice: Program) -> None:
        """At the request's deadline, with a word of its own."""
        with refused("BudgetExceeded") as text:
            await asked(alice, deadline_ms=600)
        assert BudgetExceeded.from_text(text[0]).details["answer"] == "none"
        [[hold_id, end]] = await alice.await_heard("HoldEnded")
        assert end == "none"
        assert shared.requests()["claude"] == 0
        with refused("RequestNotFound"):
            await answer(alice, hold_id, "once")

    async def test_a_cancelled_request_asks_no_longer(self, alice: Program) -> None:
        """The question goes with the last request that it is about."""
        request = asked(alice, request_id="gone")
        await one_hold(alice)
        await alice.call(NAME, "Cancel", "s", "gone")
        with refused("Cancelled"):
            await request
        assert [end for _, end in await alice.await_heard("HoldEnded")] == ["gone"]

    async def test_a_stream_is_held_before_it_opens(self, shared: Shared, alice: Program) -> None:
        """And flows once it may; refused it never opens."""
        opening = asyncio.create_task(Stream.open(alice, "user_chat", "hello", max_tokens=1000))
        hold = await one_hold(alice)
        assert not opening.done()
        assert shared.requests()["claude"] == 0
        await answer(alice, hold["hold_id"], "once")
        *_pieces, done = await (await opening).read()
        assert done["type"] == "done"
        refusing = asyncio.create_task(Stream.open(alice, "user_chat", "hello", max_tokens=1000))
        await answer(alice, (await one_hold(alice))["hold_id"], "refuse")
        with refused("BudgetExceeded"):
            await refusing

    async def test_items_of_a_batch(self, alice: Program) -> None:
        """Those that come up are one question; the next ones are asked about anew."""
        rows = [["user_chat", messages(f"hello {number}")] for number in range(5)]
        options = dictionary({"parallel": 3, "max_tokens": 1000})
        batch = asyncio.create_task(alice.call(NAME, "CompleteBatch", "a(saa{sv})a{sv}", rows, options))
        await answer(alice, (await one_hold(alice, 3))["hold_id"], "once")
        await answer(alice, (await one_hold(alice, 2))["hold_id"], "refuse")
        [answers] = await batch
        refusals = [metadata["error_name"] for content, metadata in answers if not content]
        assert refusals == [f"{ERROR}.BudgetExceeded"] * 2

    async def test_a_dear_fallback_is_left_out(self, shared: Shared, alice: Program) -> None:
        """Nobody is asked a second time: what `once` allowed is for what was told."""
        shared.behave("kimi_k2", Behaviour(status=500))
        request = asked(alice, provider="kimi_k2", fallback=True)
        await answer(alice, (await one_hold(alice))["hold_id"], "once")
        with refused("NoProviderAvailable", "ProviderFailed"):
            await request
        assert shared.requests() == {"claude": 0, "kimi_k2": 1}
        assert len(alice.heard("BudgetHeld")) == 1


class TestCrowd:
    async def test_a_hundred_ask_once_and_never_pass_it(self, shared: Shared, alice: Program) -> None:
        """One question of all of them; the amount that it names lets all of them through, and no more is spent."""
        await set_own(alice, day_usd=usd(shared.books().charged_to(uid_of("alice"))))
        tasks = crowd([alice], range(100))
        hold = await one_hold(alice, 100)
        assert len({row[0] for row in alice.heard("BudgetHeld")}) == 1
        await answer(alice, hold["hold_id"], "today")
        outcomes = await ended(tasks)
        assert (len(outcomes.replies), outcomes.errors) == (100, {})
        own = (await budgets(alice))["own", "day"]
        assert most_held(read_entries(shared.daemon.ledger_file), (uid_of("alice"),)) <= own["limit_nano_usd"]
        assert [end for _, end in alice.heard("HoldEnded")] == ["today"]
        shared.books().assert_balanced()

    async def test_too_little_asks_about_the_rest(self, shared: Shared, alice: Program) -> None:
        """What was allowed is never passed by what waits beside it."""
        worst = await worst_nano(alice)
        await set_own(alice, day_usd=usd(shared.books().charged_to(uid_of("alice"))))
        shared.behave("claude", Behaviour(delay_s=1.0, input_tokens=50, output_tokens=20))
        tasks = crowd([alice], range(200, 210))
        hold = await one_hold(alice, 10)
        await answer(alice, hold["hold_id"], "today", more_usd=usd(4 * worst))
        rest = await one_hold(alice, 6)
        assert rest["hold_id"] != hold["hold_id"]
        await answer(alice, rest["hold_id"], "refuse")
        outcomes = await ended(tasks)
        assert (len(outcomes.replies), outcomes.errors) == (4, {"BudgetExceeded": 6})


class TestWhose:
    async def test_nobody_else_hears_or_answers(self, alice: Program) -> None:
        """bob gets no signal, sees no question, and has no say."""
        async with programs_of("bob") as [bob]:
            await bob.subscribe()
            request = asked(alice)
            hold = await one_hold(alice)
            assert await holds(bob) == []
            with refused("RequestNotFound"):
                await answer(bob, hold["hold_id"], "today")
            await answer(alice, hold["hold_id"], "refuse")
            with refused("BudgetExceeded"):
                await request
            assert not bob.heard("BudgetHeld")
            assert not bob.heard("HoldEnded")

    async def test_the_operators_limit_stays(self, shared: Shared, alice: Program) -> None:
        """What the operator does not allow is refused unasked, whatever the own cap says."""
        spent = shared.books().charged_to(uid_of("alice"))
        shared.reload(f'{CONFIG}[budgets.users.alice]\nday_usd = "{usd(spent + ROOM_NANO // 2)}"\n')
        await set_own(alice, day_usd=1000)
        with refused("BudgetExceeded") as text:
            await asked(alice)
        assert "cause" not in BudgetExceeded.from_text(text[0]).details
        assert not alice.heard("BudgetHeld")
        shared.reload(CONFIG)

    async def test_the_operators_limit_of_the_end_of_the_wait(self, shared: Shared, alice: Program) -> None:
        """A budget that is set meanwhile binds what is held, whatever its user then says."""
        request = asked(alice)
        hold = await one_hold(alice)
        async with programs_of("root") as [root]:
            await set_budget(root, scope="user", name="alice", day_usd=usd(ROOM_NANO))
            await answer(alice, hold["hold_id"], "today")
            with refused("BudgetExceeded") as text:
                await request
            await set_budget(root, scope="user", name="alice", remove=True)
        assert "cause" not in BudgetExceeded.from_text(text[0]).details
        assert shared.requests()["claude"] == 0


class TestPause:
    async def test_nothing_may_cost_anything(self, shared: Shared, alice: Program) -> None:
        """A pause refuses at once, without a question, shows in GetBudget, and ends when it is told to."""
        await set_own(alice, day_usd=10, pause_s=3600)
        with refused("BudgetExceeded") as text:
            await asked(alice)
        assert BudgetExceeded.from_text(text[0]).details["cause"] == "paused"
        assert ("pause", "day") in await budgets(alice)
        assert not alice.heard("BudgetHeld")
        await set_own(alice, pause_s=0)
        await asked(alice)
        assert shared.requests()["claude"] == 1


class TestAtLimit:
    async def test_downgrade_takes_what_fits(self, shared: Shared, alice: Program) -> None:
        """By the own wish, though the operator says to refuse."""
        decision = await alice.route("user_chat", "hello", max_tokens=1000, provider="claude", model="claude-haiku-5-5")
        cheaper = round(decision["candidates"][0]["worst_case_cost_usd"] * 10**9)
        day = usd(shared.books().charged_to(uid_of("alice")) + cheaper)
        await set_own(alice, day_usd=day, at_limit="downgrade")
        reply = await asked(alice)
        assert reply.metadata["model"] != "claude-sonnet-5-5"
        assert not alice.heard("BudgetHeld")

    async def test_refuse_asks_nobody(self, alice: Program) -> None:
        """And says that it is one's own cap."""
        await set_own(alice, at_limit="refuse")
        with refused("BudgetExceeded") as text:
            await asked(alice)
        assert BudgetExceeded.from_text(text[0]).details["cause"] == "own_cap"
        assert not alice.heard("BudgetHeld")

    @pytest.mark.parametrize(
        "budget",
        [
            {},
            {"at_limit": "later"},
            {"day_usd": -1.0},
            {"remove": True, "day_usd": 1.0},
            {"pause_s": 10**9},
            {"scope": "user"},
        ],
    )
    async def test_refuses_what_it_cannot_mean(self, alice: Program, budget: Json) -> None:
        """Each with InvalidArgument, and nothing changes."""
        before = await budgets(alice)
        with refused("InvalidArgument"):
            await set_own(alice, **budget)
        assert await budgets(alice) == before


class TestRestart:
    async def test_the_cap_stays_and_the_question_does_not(self, shared: Shared, alice: Program) -> None:
        """A killed daemon leaves nothing reserved; after its return the same request is asked about again."""
        await set_own(alice, more_usd="0.0001")
        own = (await budgets(alice))["own", "day"]
        request = asked(alice)
        hold = await one_hold(alice)
        shared.daemon.kill()
        with refused("org.freedesktop.DBus.Error.NoReply"):
            await request
        shared.daemon.start()
        assert (await budgets(alice))["own", "day"] == own
        assert await holds(alice) == []
        await alice.subscribe()
        again = asked(alice)
        anew = await one_hold(alice)
        assert anew["hold_id"] != hold["hold_id"]
        with refused("RequestNotFound"):
            await answer(alice, hold["hold_id"], "today")
        await answer(alice, anew["hold_id"], "once")
        assert (await again).cost_nano == ANSWER_NANO

    async def test_a_stop_ends_the_wait(self, shared: Shared, alice: Program) -> None:
        """Whoever is held is told that the service has shut down; it does not wait for a person."""
        request = asked(alice)
        await one_hold(alice)
        shared.daemon.stop()
        with refused("ShuttingDown"):
            await request
        shared.daemon.start()
        await assert_eventually_async(lambda: shared.daemon.ledger_file.exists())
