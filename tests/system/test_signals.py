"""Costs as they arise: who hears what, how often, and what the figures are."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from simulated import Behaviour, Fault
from tests.eventually import assert_eventually, assert_eventually_async
from tests.system.calls import ask, call, results
from tests.system.namespace import PYTHON
from tests.system.people import Background, as_user
from tests.system.program import NAME, USAGE, Program, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = '[daemon]\npreload_sdks = true\n[signals]\npublish_totals = "exact"\n'
BY_DEFAULT = "[daemon]\npreload_sdks = true\n"
CLAUDE_COST = Behaviour(input_tokens=1_000, output_tokens=100)
CLAUDE_NANO = 1_000 * 2_000 + 100 * 10_000
KIMI_COST = Behaviour(input_tokens=1_000, output_tokens=100)
KIMI_NANO = 1_000 * 950 + 100 * 4_000
InBackground = Callable[..., Background]

# Subscribes and prints each signal that comes, until it is killed.
WATCH = """
import asyncio, json
from tests.system.program import Program

async def main():
    program = await Program.open()
    await program.hear_broadcasts()
    number, snapshot = await program.subscribe()
    print(json.dumps(["subscribed", number, snapshot]), flush=True)
    shown = 0
    while True:
        await asyncio.sleep(0.02)
        for signal in program.signals[shown:]:
            shown += 1
            print(json.dumps([signal.member, *signal.body]), flush=True)

asyncio.run(main())
"""


def watch(background: InBackground, user: str) -> Background:
    watcher = background(user, [PYTHON, "-c", WATCH])
    watcher.await_output('["subscribed"', 20)
    return watcher


def heard_by(watcher: Background, member: str) -> list[list[Any]]:
    lines = [json.loads(line) for line in watcher.output().splitlines() if line.endswith("]")]
    return [line[1:] for line in lines if line[0] == member]


def assert_heard(watcher: Background, member: str, at_least: int) -> None:
    assert_eventually(lambda: len(heard_by(watcher, member)) >= at_least)


def last_count(program: Program) -> int | None:
    """The requests that the last TotalsChanged told."""
    heard = program.heard("TotalsChanged")
    return heard[-1][0] if heard else None


class TestCosts:
    async def test_each_request_is_told(self, shared: Shared, program: Program) -> None:
        """To this connection alone, before the reply comes, with the reply's figures."""
        _, snapshot = await program.subscribe()
        shared.behave("claude", CLAUDE_COST)
        shared.behave("kimi_k2", KIMI_COST)
        spent = round(snapshot["day_usd"] * 10**9)
        for seq, (task, nano) in enumerate((("user_chat", CLAUDE_NANO), ("code_generation", KIMI_NANO)), 1):
            reply = await program.complete(task, "hello")
            spent += nano
            told = program.heard("CostIncurred")
            assert len(told) == seq
            *names, usd, details = told[-1]
            metadata = reply.metadata
            assert names == [metadata[name] for name in ("request_id", "task_type", "provider", "model")]
            assert (usd, details["cost_nano_usd"], details["cost_known"]) == (nano / 10**9, nano, True)
            assert details["seq"] == seq
            assert round(details["day_usd"] * 10**9) == spent
            assert details["month_usd"] >= details["day_usd"]
        assert {signal.destination for signal in program.signals} == {program.connection.unique_name}

    async def test_the_snapshot_says_where_figures_stand(self, shared: Shared, program: Program) -> None:
        """A new subscriber starts with the sums that the last signal named."""
        await program.subscribe()
        await program.complete("user_chat", "hello")
        [[*_, details]] = program.heard("CostIncurred")
        _, snapshot = await program.subscribe()
        assert [snapshot[name] for name in ("day_usd", "month_usd")] == [details["day_usd"], details["month_usd"]]
        stats = await program.stats()
        assert [snapshot[name] for name in ("total_requests", "total_cost_usd")] == [
            stats["total_requests"],
            stats["total_cost_usd"],
        ]

    async def test_a_failed_request_is_told_too(self, shared: Shared, program: Program) -> None:
        """With who failed last, and the worst case where the cost is not known."""
        await program.subscribe()
        shared.behave("claude", Behaviour(status=500))
        shared.behave("kimi_k2", Behaviour(fault=Fault.MALFORMED_JSON))
        with refused("NoProviderAvailable"):
            await program.complete("user_chat", "hello", request_id="failed")
        [[request_id, _, provider, model, usd, details]] = program.heard("CostIncurred")
        assert (request_id, provider, model, details["cost_known"]) == ("failed", "kimi_k2", "kimi-k2.6", False)
        assert round(usd * 10**9) == details["cost_nano_usd"] == shared.books().request("failed")["cost_nano"]

    async def test_a_joined_request_is_told_once(self, shared: Shared, program: Program) -> None:
        """Ten callers of one request are one cost; a replay is none."""
        await program.subscribe()
        shared.behave("claude", Behaviour(delay_s=0.2))
        await asyncio.gather(*(program.complete("user_chat", "hello", request_id="ten") for _ in range(10)))
        await program.complete("user_chat", "hello", request_id="ten")
        assert len(program.heard("CostIncurred")) == 1

    async def test_a_burst(self, shared: Shared, program: Program) -> None:
        """Fifty at once: every one is told, numbered without a gap, the last with the sum of all."""
        _, snapshot = await program.subscribe()
        shared.behave("claude", CLAUDE_COST)
        await asyncio.gather(*(program.complete("user_chat", f"hello {number}") for number in range(50)))
        told = [body[-1] for body in program.heard("CostIncurred")]
        assert [details["seq"] for details in told] == list(range(1, 51))
        sums = [round((details["day_usd"] - snapshot["day_usd"]) * 10**9) for details in told]
        assert sums == [CLAUDE_NANO * number for number in range(1, 51)]


class TestSubscriptions:
    async def test_a_filter(self, shared: Shared, program: Program) -> None:
        """A second subscription that names a provider or a task type hears only those, and counts them alone."""
        everything, _ = await program.subscribe()
        kimi, _ = await program.subscribe(provider="kimi_k2")
        chat, _ = await program.subscribe(task_type="user_chat")
        both, _ = await program.subscribe(task_type="user_chat", provider="kimi_k2")
        for task in ("user_chat", "code_generation", "user_chat"):
            await program.complete(task, "hello")
        told: dict[int, list[tuple[str, int]]] = {number: [] for number in (everything, kimi, chat, both)}
        for _, _, provider, _, _, details in program.heard("CostIncurred"):
            told[details["subscription"]].append((provider, details["seq"]))
        assert told == {
            everything: [("claude", 1), ("kimi_k2", 2), ("claude", 3)],
            kimi: [("kimi_k2", 1)],
            chat: [("claude", 1), ("claude", 2)],
            both: [],
        }

    async def test_a_filter_that_is_none(self, shared: Shared, program: Program) -> None:
        """A key that is not known is named."""
        with refused("InvalidArgument") as text:
            await program.subscribe(user="alice")
        assert text[0].startswith("filter.user: unknown key")

    async def test_unsubscribe(self, shared: Shared, program: Program) -> None:
        """It ends that subscription and no other; one that is not this connection's is not found."""
        first, _ = await program.subscribe()
        second, _ = await program.subscribe()
        stranger = await Program.open()
        for who, number in ((stranger, first), (program, second + 1000)):
            with refused("RequestNotFound"):
                await who.call(USAGE, "Unsubscribe", "u", number)
        await program.call(USAGE, "Unsubscribe", "u", first)
        await program.complete("user_chat", "hello")
        assert [body[-1]["subscription"] for body in program.heard("CostIncurred")] == [second]
        with refused("RequestNotFound"):
            await program.call(USAGE, "Unsubscribe", "u", first)
        await stranger.close()

    async def test_it_ends_with_its_connection(self, shared: Shared, program: Program) -> None:
        """The places of a connection that has left are free again."""
        shared.reload(f"{CONFIG}[limits]\nmax_subscribers = 4\nmax_subscriptions_per_connection = 2\n")
        try:
            leaving = await Program.open()
            for _ in range(2):
                await leaving.subscribe()
            with refused("RateLimited") as text:
                await leaving.subscribe()
            assert text[0].endswith("[retry_after_ms=1000]")
            with refused("RateLimited"):
                await program.subscribe()
            await leaving.close()
            await self.subscribe_eventually(program)
            await program.subscribe()
        finally:
            shared.reload(CONFIG)

    async def subscribe_eventually(self, program: Program) -> None:
        async with asyncio.timeout(10):
            while True:
                try:
                    await program.subscribe()
                except Exception:
                    await asyncio.sleep(0.01)
                else:
                    return


class TestUsers:
    def test_each_hears_ones_own(self, shared: Shared, background: InBackground) -> None:
        """alice does not hear what bob or root asks, nor they her; all hear the totals."""
        watchers = {user: watch(background, user) for user in ("alice", "bob", "root")}
        for user in ("alice", "bob", "root", "alice"):
            done = as_user(user, ask("user_chat"), agent="allow" if user == "bob" else None)
            assert done.returncode == 0, done.stderr
        for user, watcher in watchers.items():
            count = 2 if user == "alice" else 1
            assert_heard(watcher, "CostIncurred", count)
        owners = {row["request_id"]: row["user"] for row in shared.books().rows}
        for user, watcher in watchers.items():
            assert_heard(watcher, "TotalsChanged", 1)
            assert {owners[body[0]] for body in heard_by(watcher, "CostIncurred")} == {user}
        assert len(heard_by(watchers["alice"], "CostIncurred")) == 2

    def test_statistics_are_ones_own(self, shared: Shared) -> None:
        """GetStats counts the caller's requests; ResetStats starts the caller's again and nobody else's."""

        def count(user: str) -> int:
            [stats] = results(as_user(user, call(USAGE, "GetStats", flags=("--json=short",))).stdout)
            return int(stats["total_requests"])

        before = count("alice"), count("root"), count("bob")
        assert as_user("alice", ask("user_chat")).returncode == 0
        assert (count("alice"), count("root"), count("bob")) == (before[0] + 1, before[1], before[2])
        assert as_user("alice", call(USAGE, "ResetStats")).returncode == 0
        assert (count("alice"), count("root"), count("bob")) == (0, before[1], before[2])


class TestTotals:
    async def test_everybody_hears_them(self, shared: Shared, program: Program) -> None:
        """TotalsChanged and PropertiesChanged are broadcast, with the machine's figures and nothing about anybody."""
        await program.hear_broadcasts()
        await program.complete("user_chat", "hello", request_id="secret-id")
        rows = shared.books().rows
        await assert_eventually_async(lambda: last_count(program) == len(rows))
        count, usd, details = program.heard("TotalsChanged")[-1]
        total = shared.books().charged_nano
        assert (count, round(usd * 10**9), details) == (len(rows), total, {"total_cost_nano_usd": total})
        await assert_eventually_async(lambda: self.properties(program).get("TotalRequests") == len(rows))
        properties = self.properties(program)
        assert round(properties["TotalCostUsd"] * 10**9) == total
        assert await program.property("TotalRequests") == len(rows)
        assert not program.heard("CostIncurred")
        broadcasts = [signal for signal in program.signals if signal.destination is None]
        assert "secret-id" not in str(broadcasts)
        assert len(broadcasts) == len(program.signals)

    def properties(self, program: Program) -> dict[str, Any]:
        """The latest values that PropertiesChanged told."""
        values: dict[str, Any] = {}
        for _, changed, _ in program.heard("PropertiesChanged"):
            values |= changed
        return values

    def test_gdbus_monitor_shows_them(self, shared: Shared, background: InBackground) -> None:
        """bob's monitor shows the totals while alice asks, and neither her costs nor her request."""
        monitor = background("bob", ["gdbus", "monitor", "--system", "--dest", NAME])
        monitor.await_output("is owned by")
        assert as_user("alice", ask("user_chat")).returncode == 0
        monitor.await_output("LLMRouter.TotalsChanged (uint64 ")
        monitor.await_output("Properties.PropertiesChanged")
        assert "CostIncurred" not in monitor.output()
        assert "alice" not in monitor.output()
        assert shared.books().rows[-1]["request_id"] not in monitor.output()

    async def test_at_most_four_a_second(self, shared: Shared, program: Program) -> None:
        """During a burst of fifty requests, and the last one has the last figures."""
        await program.hear_broadcasts()
        shared.behave("claude", *(Behaviour(times=1, delay_s=0.04 * number) for number in range(50)))
        began = time.monotonic()
        await asyncio.gather(*(program.complete("user_chat", f"hello {number}") for number in range(50)))
        rows = len(shared.books().rows)
        await assert_eventually_async(lambda: last_count(program) == rows)
        await assert_eventually_async(lambda: self.properties(program).get("ActiveRequests") == 0)
        seconds = time.monotonic() - began
        for member in ("TotalsChanged", "PropertiesChanged"):
            heard = len(program.heard(member))
            assert 3 <= heard <= seconds * 4 + 1, f"{heard} times {member} in {seconds:.1f} s"

    async def test_active_requests(self, shared: Shared, program: Program) -> None:
        """The property counts requests under way."""
        shared.behave("claude", Behaviour(delay_s=0.5))
        asked = [asyncio.create_task(program.complete("user_chat", f"hello {number}")) for number in range(3)]
        await assert_eventually_async(lambda: shared.simulated.counts("claude").active == 3)
        assert await program.property("ActiveRequests") == 3
        await asyncio.gather(*asked)
        assert await program.property("ActiveRequests") == 0


class TestPublishTotals:
    @pytest.fixture(autouse=True)
    def exact_again(self, shared: Shared) -> Any:
        yield
        shared.reload(CONFIG)

    async def totals(self, program: Program) -> tuple[int, float]:
        return await program.property("TotalRequests"), await program.property("TotalCostUsd")

    @pytest.mark.parametrize("more", ["", '[signals]\npublish_totals = "rounded"\n'], ids=["by default", "said"])
    async def test_rounded(self, shared: Shared, program: Program, more: str) -> None:
        """Whole cents and no exact figure, from the reload on; a request is counted at once, and its cost is not."""
        shared.behave("claude", CLAUDE_COST)
        await program.complete("user_chat", "hello")
        await program.hear_broadcasts()
        shared.reload(BY_DEFAULT + more)
        _, usd = await self.totals(program)
        cents = round(usd * 100)
        assert usd == cents / 100
        assert 0 <= shared.books().charged_nano - cents * 10**7 < 2 * 10**7  # what was before the start, and since
        for _ in range(5):
            await program.complete("user_chat", "hello")
        rows = len(shared.books().rows)
        assert await self.totals(program) == (rows, usd)
        await assert_eventually_async(lambda: last_count(program) == rows)
        for _, told, details in program.heard("TotalsChanged"):
            assert (told, details) == (usd, {})

    async def test_rounded_after_a_restart(self, shared: Shared, program: Program) -> None:
        """The figures do not start from nothing."""
        await program.complete("user_chat", "hello")
        shared.reload(BY_DEFAULT)
        shared.daemon.restart()
        books = shared.books()
        assert await self.totals(program) == (len(books.rows), books.charged_nano // 10**7 / 100)

    async def test_off(self, shared: Shared, program: Program) -> None:
        """No figure, in signal or property; one's own costs are told as ever."""
        await program.complete("user_chat", "hello")
        shared.reload(f'{BY_DEFAULT}[signals]\npublish_totals = "off"\n')
        await program.hear_broadcasts()
        await program.subscribe()
        await program.complete("user_chat", "hello")
        assert await self.totals(program) == (0, 0.0)
        assert not program.heard("TotalsChanged")
        assert "Total" not in str(program.heard("PropertiesChanged"))
        assert len(program.heard("CostIncurred")) == 1

    async def test_exact_again(self, shared: Shared, program: Program) -> None:
        """Turning it back on shows the exact figures without another request."""
        shared.reload(f'{BY_DEFAULT}[signals]\npublish_totals = "off"\n')
        await program.complete("user_chat", "hello")
        await program.hear_broadcasts()
        shared.reload(CONFIG)
        await program.complete("user_chat", "hello")
        rows = len(shared.books().rows)
        await assert_eventually_async(lambda: last_count(program) == rows)
        assert round((await self.totals(program))[1] * 10**9) == shared.books().charged_nano


class TestProviderStates:
    async def test_failure_and_recovery(self, shared: Shared, program: Program) -> None:
        """degraded at the first failure, open when a fifth request fails, ok with the next answer; each told once."""
        await program.hear_broadcasts()
        shared.behave("claude", Behaviour(times=7, status=500))
        for number in range(7):
            with refused("ProviderFailed"):
                await program.complete("user_chat", f"hello {number}", provider="claude")
        await program.complete("user_chat", "hello", provider="claude")
        failure = {"last_failure": "server_error"}
        assert program.heard("ProviderStateChanged") == [
            ["claude", "degraded", failure],
            ["claude", "open", failure],
            ["claude", "ok", {}],
        ]

    async def test_a_refused_key_opens_at_once(self, shared: Shared, program: Program) -> None:
        """And ListProviders agrees."""
        await program.hear_broadcasts()
        shared.behave("kimi_k2", Behaviour(status=401))
        await program.complete("code_generation", "hello")
        assert program.heard("ProviderStateChanged") == [["kimi_k2", "open", {"last_failure": "authentication"}]]
        row = (await program.providers())["kimi_k2"]
        assert (row["state"], row["last_failure"]) == ("open", "authentication")

    async def test_an_empty_account_has_its_word(self, shared: Shared, program: Program) -> None:
        """`quota`, which no wait of seconds mends."""
        await program.hear_broadcasts()
        shared.behave("claude", Behaviour(status=402))
        await program.complete("user_chat", "hello")
        assert program.heard("ProviderStateChanged") == [["claude", "open", {"last_failure": "quota"}]]
        assert (await program.providers())["claude"]["last_failure"] == "quota"

    async def test_one_callers_prompt_closes_it_for_nobody(self, shared: Shared, program: Program) -> None:
        """Nine failures of one prompt tell of a degraded provider, and no more."""
        await program.hear_broadcasts()
        shared.behave("claude", Behaviour(times=9, status=500))
        for _ in range(9):
            with refused("ProviderFailed"):
                await program.complete("user_chat", "hello", provider="claude")
        assert program.heard("ProviderStateChanged") == [["claude", "degraded", {"last_failure": "server_error"}]]
        assert (await program.complete("user_chat", "hello")).metadata["provider"] == "claude"

    async def test_a_refused_request_says_nothing_of_the_provider(self, shared: Shared, program: Program) -> None:
        """A 400 is about the request."""
        await program.hear_broadcasts()
        shared.behave("claude", Behaviour(status=400))
        await program.complete("user_chat", "hello")
        assert not program.heard("ProviderStateChanged")
        assert (await program.providers())["claude"]["state"] == "ok"

    async def test_words_of_the_provider_are_not_broadcast(self, shared: Shared, program: Program) -> None:
        """Everybody hears the kind of failure, not its text."""
        await program.hear_broadcasts()
        shared.behave("claude", Behaviour(status=500, error_message="about alice's request"))
        await program.complete("user_chat", "hello")
        assert "alice" not in str(program.signals)
        assert program.heard("ProviderStateChanged")
