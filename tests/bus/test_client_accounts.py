"""Batches, outcomes, sums, budgets, preferences and administration by the client, against the real daemon."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal

import pytest

from cortexd import errors
from cortexd.client import AsyncClient, BudgetThreshold, Client, Completion, CostEvent, Preferences
from simulated import Behaviour
from tests.bus.private_dbus import no_leaks_fixture  # noqa: F401
from tests.bus.served import Served, served_fixture, served_of_module_fixture  # noqa: F401
from tests.eventually import assert_eventually_async

DEADLINE_S = 20


class TestBatches:
    async def test_in_order(self, served: Served) -> None:
        """Answers come in the order of the requests; one that failed is its error, among the others."""
        served.simulated.behave("kimi_k2", Behaviour(status=500))
        served.simulated.behave("claude", Behaviour(delay_s=0.1, times=1), Behaviour())
        requests = [("user_chat", f"number {n}") for n in range(20)]
        requests[3] = ("nonsense", "hello")
        async with AsyncClient(served.address) as client:
            answers = await client.batch(requests, labels={"run": "nightly"}, parallel=4)
        assert isinstance(answers[3], errors.UnknownTaskType)
        for number, answer in enumerate(answers):
            if number != 3:
                assert isinstance(answer, Completion)
                assert answer.content == f"[claude-sonnet-5-5] You said: number {number}"
                assert answer.cost_nano_usd > 0

    async def test_repeated(self, served: Served) -> None:
        """A repeated batch with a request_id gets its answers again and pays for nothing twice."""
        requests = [("user_chat", [{"role": "user", "content": f"number {n}"}]) for n in range(5)]
        async with AsyncClient(served.address) as client:
            first = await client.batch(requests, request_id="batch-1")
            again = await client.batch(requests, request_id="batch-1")
        assert [answer.request_id for answer in first if isinstance(answer, Completion)] == [
            f"batch-1.{n}" for n in range(5)
        ]
        assert [str(answer) for answer in first] == [str(answer) for answer in again]
        assert served.simulated.counts("claude").requests == 5

    async def test_cancelled(self, served: Served) -> None:
        """A batch ends with the task that waits for it."""
        served.simulated.behave("claude", Behaviour(delay_s=DEADLINE_S))
        async with AsyncClient(served.address) as watcher, AsyncClient(served.address) as client:
            asking = asyncio.create_task(client.batch([("user_chat", "hello")] * 3))
            await assert_eventually_async(lambda: served.simulated.counts("claude").requests == 3)
            asking.cancel()
            async with asyncio.timeout(DEADLINE_S):
                while (await watcher.properties()).active_requests:
                    await asyncio.sleep(0.01)

    def test_from_a_thread(self, served: Served) -> None:
        """The synchronous client's are the same; an empty one is empty."""
        with Client(served.address) as client:
            [answer] = client.batch([("user_chat", "hello")])
            assert isinstance(answer, Completion)
            assert client.batch([]) == []


class TestUsage:
    async def test_groups(self, served: Served) -> None:
        """Sums are grouped as asked, and grow by what a request cost."""
        async with AsyncClient(served.address) as client:
            before = {row.label: row for row in await client.usage(group_by="label", label="team")}
            done = await client.complete("user_chat", "hello", labels={"team": "accounts"})
            assert "accounts" not in before
            rows = {row.label: row for row in await client.usage(group_by=["label"], label="team")}
            row = rows["accounts"]
            assert (row.requests, row.cost_nano_usd) == (1, done.cost_nano_usd)
            assert (row.input_tokens, row.output_tokens) == (done.tokens.input, done.tokens.output)
            assert row.cost_known
            by_two = await client.usage(date.today(), date.today(), ["day", "provider"])
            assert {(row.day, row.provider) for row in by_two} >= {(date.today().isoformat(), "claude")}
            [total] = await client.usage(since=date.today().isoformat())
            assert total.cost_nano_usd == sum(row.cost_nano_usd for row in by_two)
            before_today = await client.usage(until=date.today() - timedelta(days=1))
            assert [row.requests for row in before_today] in ([], [0])

    async def test_apps(self, served: Served) -> None:
        """A program is one row by the system's word, and another by its own."""
        async with AsyncClient(served.address) as client:
            for verified in ({}, {"app_verified": "snap"}):
                await client.complete("user_chat", "hello", labels={"app": "notes", **verified})
            rows = await client.usage(group_by="app", app="notes")
            assert [(row.app, row.app_verified, row.requests) for row in rows] == [
                ("notes", False, 1),
                ("notes", True, 1),
            ]

    async def test_wrong_question(self, served: Served) -> None:
        """What the service cannot group by is refused in words."""
        async with AsyncClient(served.address) as client:
            with pytest.raises(errors.InvalidArgument, match="colour"):
                await client.usage(group_by="colour")

    async def test_outcome(self, served: Served) -> None:
        """An outcome is reported for one's own request, and again; nobody else's."""
        async with AsyncClient(served.address) as client:
            done = await client.complete("user_chat", "hello")
            await client.report_outcome(done.request_id, 1)
            await client.report_outcome(done.request_id, 0.5, "half of it was wrong", {"reviewer": "me"})
            with pytest.raises(errors.RequestNotFound):
                await client.report_outcome("nothing-of-the-kind", 0.5)
            for score in (2.0, float("nan")):
                with pytest.raises(errors.InvalidArgument, match="score"):
                    await client.report_outcome(done.request_id, score)


class TestBudgets:
    async def test_life(self, served: Served) -> None:
        """A limit that is set binds, warns its subscribers once, stops what would pass it, and goes when removed."""
        async with AsyncClient(served.address) as client, client.subscribe() as costs:
            spent = Decimal(str(costs.snapshot.day_usd))
            try:
                await client.set_budget("each_user", day_usd=spent + Decimal("0.05"), month_usd=1000)
                [day] = [row for row in await client.budgets() if (row.scope, row.period) == ("user", "day")]
                assert day.limit_usd == pytest.approx(float(spent) + 0.05)
                assert day.spent_usd == pytest.approx(float(spent))
                assert day.resets_at
                served.simulated.behave("claude", Behaviour(input_tokens=1000, output_tokens=4600))
                await client.complete("user_chat", "hello", max_tokens=4600, fallback=False)
                async with asyncio.timeout(DEADLINE_S):
                    seen = [await costs.next_event(), await costs.next_event()]
                [warning] = [event for event in seen if isinstance(event, BudgetThreshold)]
                assert any(isinstance(event, CostEvent) for event in seen)
                assert warning.period == "day"
                assert warning.limit_usd == pytest.approx(day.limit_usd)
                assert warning.fraction < 1
                assert warning.spent_usd >= warning.fraction * warning.limit_usd
                with pytest.raises(errors.BudgetExceeded):
                    await client.complete("user_chat", "hello", max_tokens=4600, fallback=False)
            finally:
                await client.set_budget("each_user", remove=True)
            assert await client.ask("hello")


class TestPreferences:
    async def test_replace(self, served: Served) -> None:
        """Wishes hold for requests without options, are replaced as a whole, and are gone with an empty set."""
        async with AsyncClient(served.address) as client:
            assert await client.preferences() == Preferences(raw={})
            try:
                await client.set_preferences({"user_chat": "kimi_k2"}, strategy="cost", local_only=False)
                wishes = await client.preferences()
                assert (wishes.providers, wishes.strategy, wishes.local_only) == (
                    {"user_chat": "kimi_k2"},
                    "cost",
                    False,
                )
                assert (await client.complete("user_chat", "hello")).provider == "kimi_k2"
                with pytest.raises(errors.InvalidArgument):
                    await client.set_preferences(strategy="luck")
                await client.set_preferences(excluded=["claude", "qwen"])
                assert (await client.preferences()).excluded == ("claude", "qwen")
                assert (await client.complete("user_chat", "hello")).provider == "kimi_k2"
            finally:
                await client.set_preferences()
            assert (await client.preferences()).providers == {}


class TestAdministration:
    async def test_verify(self, served: Served) -> None:
        """A real, smallest request tells whether a provider answers, and why not."""
        served.simulated.behave("kimi_k2", Behaviour(status=401))
        async with AsyncClient(served.address) as client:
            good, bad = await client.verify_provider("claude"), await client.verify_provider("kimi_k2")
            assert (good.ok, good.provider, good.error) == (True, "claude", "")
            assert good.cost_nano_usd > 0
            assert good.model
            assert not bad.ok
            assert bad.error
            with pytest.raises(errors.UnknownProvider):
                await client.verify_provider("nobody")

    def test_reload(self, served: Served) -> None:
        """Reload, and the rest of it, from a thread."""
        with Client(served.address) as client:
            client.reload()
            assert client.verify_provider("claude").ok
            assert client.preferences().local_only is False
            client.set_preferences()
            client.set_budget("each_user", remove=True)
            assert isinstance(client.budgets(), list)
            assert client.usage()[0].requests > 0
            client.report_outcome(client.complete("user_chat", "hello").request_id, 1.0)


class TestCache:
    async def test_hit(self, served: Served) -> None:
        """Without a cache in the configuration the option is dropped, and no answer claims to be a hit."""
        async with AsyncClient(served.address) as client:
            done = await client.complete("user_chat", "hello", cache=True)
        assert not done.cache_hit
        assert "cache" in done.dropped_options
