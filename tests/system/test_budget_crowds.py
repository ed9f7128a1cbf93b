"""Budgets against crowds, crashes, restarts and midnight, each on a daemon of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, time, timedelta

import pytest

from cortexd.errors import BudgetExceeded
from simulated import Behaviour, ControlClient
from tests.eventually import assert_eventually_async
from tests.system.books import read_books
from tests.system.crowd import (  # noqa: F401
    USERS,
    budgets,
    crowd,
    ended,
    everybody_may_ask_fixture,
    set_budget,
    usd,
    worst_nano,
)
from tests.system.daemon import SIMULATED_KEYS, Daemon
from tests.system.entries import most_held, read_entries
from tests.system.program import Program, Reply, program_fixture, refused  # noqa: F401
from tests.system.test_holds import answer, asked, one_hold, set_own
from tests.system.users import programs_of, uid_of
from tests.system.zones import noon, zone_where_it_is

MakeDaemon = Callable[..., Daemon]
PRELOAD = '[signals]\npublish_totals = "exact"\n[daemon]\npreload_sdks = true\n'
EXACT = "[budgets]\nshared_step = 0\nown_share = 1\n"  # so that it is used to its last nano-dollar
NOON = noon()
ANSWER = Behaviour(input_tokens=50, output_tokens=20)
ANSWER_NANO = 50 * 2_000 + 20 * 10_000
BUDGET_NANO = 100_000_000


def answered(task: asyncio.Task[Reply]) -> bool:
    return task.done() and task.exception() is None


class TestCrowd:
    """1,000 concurrent requests of three users against ten cents, of which few can be paid."""

    CONNECTIONS = USERS * 3  # the bus lets one connection wait for 128 replies

    @pytest.mark.parametrize(("how", "least"), [(EXACT, 1.0), ("", 0.2)], ids=["exact", "in_steps_and_shares"])
    async def test_spends_no_more_than_the_budget(
        self, daemon: MakeDaemon, simulated: ControlClient, how: str, least: float
    ) -> None:
        """Spent and reserved together never pass it, the rest get BudgetExceeded, and every sum agrees."""
        simulated.behave("claude", ANSWER)
        running = daemon(f'{PRELOAD}{how}[budgets.machine]\nday_usd = "0.10"\n', environment=NOON)
        async with programs_of(*self.CONNECTIONS) as programs:
            worst = await worst_nano(programs[0])
            outcomes = await ended(crowd(programs, range(1000)))
            [total] = {await programs[number].property("TotalCostUsd") for number in range(3)}
            stats = [await programs[number].stats() for number in range(3)]
        count = len(outcomes.replies)
        assert outcomes.errors == {"BudgetExceeded": 1000 - count}
        assert int(least * BUDGET_NANO) // worst <= count <= BUDGET_NANO // ANSWER_NANO
        assert {refusal.details["period"] for refusal in outcomes.refusals} == {"day"}
        assert {refusal.details["limit_usd"] for refusal in outcomes.refusals} == {"0.10"}
        assert most_held(read_entries(running.ledger_file)) <= BUDGET_NANO
        books = read_books(running.ledger_file)
        books.assert_balanced()
        sums = {books.charged_nano, simulated.billed("claude").nano, count * ANSWER_NANO, round(total * 10**9)}
        assert sums == {outcomes.cost_nano}
        for user, own in zip(USERS, stats, strict=True):
            assert own["total_cost_nano_usd"] == books.charged_to(uid_of(user))

    async def test_nor_where_cheaper_models_step_in(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """With at_limit = "downgrade" Haiku answers for what no longer pays for Sonnet; the budget holds as well."""
        for provider in SIMULATED_KEYS:
            simulated.behave(provider, ANSWER)
        running = daemon(f'{PRELOAD}{EXACT}at_limit = "downgrade"\n', environment=NOON)
        async with programs_of(*USERS, "root") as (*programs, root):
            budget_nano = 109 * await worst_nano(root) // 10
            await set_budget(root, scope="machine", day_usd=usd(budget_nano))
            outcomes = await ended(crowd(programs, range(200)))
        assert outcomes.errors == {"BudgetExceeded": 200 - len(outcomes.replies)}
        models = Counter(reply.metadata["model"] for reply in outcomes.replies)
        assert models["claude-sonnet-5-5"] >= 10
        assert models["claude-haiku-5-5"] > 0
        assert most_held(read_entries(running.ledger_file)) <= budget_nano
        books = read_books(running.ledger_file)
        books.assert_balanced()
        billed = sum(simulated.billed(provider).nano for provider in SIMULATED_KEYS)
        assert books.charged_nano == outcomes.cost_nano == billed

    async def test_nor_across_a_crash(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """The same with kill -9 in between: what was lost counts as its reservation, all repeated ids are paid once."""
        simulated.behave("claude", Behaviour(times=45, input_tokens=50, output_tokens=20), Behaviour(delay_s=30))
        running = daemon(f'{PRELOAD}{EXACT}[budgets.machine]\nday_usd = "0.10"\n', environment=NOON)
        async with programs_of(*self.CONNECTIONS) as programs:
            tasks = crowd(programs, range(1000))
            await assert_eventually_async(lambda: sum(map(answered, tasks)) >= 30, 30)
            running.kill()
            before = await ended(tasks)
            simulated.behave("claude", ANSWER)
            running.start()
            again = await ended(crowd(programs, range(1000)))
            total = await programs[0].property("TotalCostUsd")
        books = read_books(running.ledger_file)
        states = Counter(row["state"] for row in books.rows)
        assert states["lost"] > 0, "the kill hit no request under way"
        assert set(before.errors) <= {"BudgetExceeded", "NoReply", "ServiceUnknown"}
        assert set(again.errors) == {"BudgetExceeded", "AnswerExpired"}
        assert again.errors["AnswerExpired"] == states["lost"] + states["done"] - len(again.replies)
        assert most_held(read_entries(running.ledger_file)) <= BUDGET_NANO
        lost_nano = sum(row["cost_nano"] for row in books.rows if row["state"] == "lost")
        done_nano = states["done"] * ANSWER_NANO
        assert books.charged_nano == lost_nano + done_nano == round(total * 10**9)
        assert all((row["open"], row["charged"]) == (0, row["cost_nano"]) for row in books.rows)
        assert before.cost_nano + again.cost_nano <= done_nano


class TestPeriods:
    @pytest.mark.slow
    async def test_midnight(self, daemon: MakeDaemon, simulated: ControlClient, program: Program) -> None:
        """In the machine's own time zone: a spent day is over at its end, to the second, while the month goes on unless
        it ends too, and PeriodStarted is broadcast within half a minute."""
        simulated.behave("claude", Behaviour(input_tokens=5, output_tokens=1_999))
        midnight = datetime.now().astimezone() + timedelta(seconds=20)
        config = f'{PRELOAD}[budgets.users.alice]\nday_usd = "0.01"\nmonth_usd = "5"\n'
        daemon(config, environment={"TZ": zone_where_it_is(time(23, 59, 40))})
        await program.hear_broadcasts()
        async with programs_of("alice") as [alice]:
            await alice.complete("user_chat", "hello", max_tokens=1)
            with refused("BudgetExceeded") as text:
                await alice.complete("user_chat", "hello", max_tokens=1)
            resets_at = datetime.fromisoformat(str(BudgetExceeded.from_text(text[0]).details["resets_at"]))
            assert abs(resets_at - midnight) < timedelta(seconds=2)
            assert (await budgets(alice))["user", "day"]["severity"] == "exceeded"
            await asyncio.sleep(max(0.0, (resets_at - datetime.now().astimezone()).total_seconds()) + 0.05)
            after = await budgets(alice)
            assert (after["user", "day"]["spent_nano_usd"], after["user", "day"]["severity"]) == (0, "ok")
            begun = ["day", "month"] if resets_at.day == 1 else ["day"]
            assert after["user", "month"]["spent_nano_usd"] == (0 if "month" in begun else 2_000 * 10_000)
            await alice.complete("user_chat", "hello", max_tokens=1)
        assert await program.await_heard("PeriodStarted", len(begun), timeout=75) == [[period] for period in begun]
        assert {signal.destination for signal in program.signals if signal.member == "PeriodStarted"} == {None}

    @pytest.mark.slow
    async def test_a_word_after_midnight(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """What was held before goes on with it, and is paid that day; the day before stays within its cap."""
        simulated.behave("claude", ANSWER)
        running = daemon(PRELOAD, environment={"TZ": zone_where_it_is(time(23, 59, 45))})
        async with programs_of("alice") as [alice]:
            await asked(alice)
            await set_own(alice, day_usd=usd(ANSWER_NANO + 1), at_limit="ask")
            request = asked(alice)
            hold = await one_hold(alice)
            before = (await budgets(alice))["own", "day"]
            resets_at = datetime.fromisoformat(str(before["resets_at"]))
            await asyncio.sleep(max(0.0, (resets_at - datetime.now().astimezone()).total_seconds()) + 0.05)
            assert (await budgets(alice))["own", "day"]["spent_nano_usd"] == 0
            await answer(alice, hold["hold_id"], "once")
            await request
            assert (await budgets(alice))["own", "day"]["spent_nano_usd"] == ANSWER_NANO
        assert [row["day"] for row in read_books(running.ledger_file).rows] == [
            (resets_at - timedelta(days=1)).date().isoformat(),
            resets_at.date().isoformat(),
        ]


class TestSetBudget:
    async def test_stands_above_the_file_and_survives(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """What is set holds at once, after a reload and after kill -9; removed, the file's limit holds again."""
        simulated.behave("claude", Behaviour(input_tokens=5, output_tokens=99))
        running = daemon('[budgets.each_user]\nday_usd = "0.50"\n', environment=NOON)
        async with programs_of("alice", "root") as (alice, root):
            await set_budget(root, scope="user", name="alice", day_usd="0.0005", month_usd=0.75)
            for number in range(3):
                if number == 1:
                    running.reload()
                if number == 2:
                    running.kill()
                    running.start()
                with refused("BudgetExceeded"):
                    await alice.complete("user_chat", "hello", max_tokens=100)
                limits = {key: row["limit_nano_usd"] for key, row in (await budgets(alice)).items()}
                assert limits == {("user", "day"): 500_000, ("user", "month"): 750_000_000}
            await root.complete("user_chat", "hello", max_tokens=100)
            await set_budget(root, scope="user", name="alice", remove=True)
            await alice.complete("user_chat", "hello", max_tokens=100)
            assert {key: row["limit_usd"] for key, row in (await budgets(alice)).items()} == {("user", "day"): 0.5}
