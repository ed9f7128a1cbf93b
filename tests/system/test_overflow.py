"""Baseline local, spikes to the cloud: what a local endpoint has no place for goes to the next candidate at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.program import Program, Reply, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = "[daemon]\npreload_sdks = true\n"
PLACES, AT_ONCE = 8, 32
OFFICE = """
[providers.office]
api = "openai"
base_url = "{url}"
model = "llama-9"
local = true
max_in_flight = {places}
max_queued = {queued}
[routing.table]
user_chat = ["office", "claude"]
"""


@pytest.fixture
def office(shared: Shared) -> Iterator[str]:
    """A local endpoint with eight places, before claude."""
    shared.simulated.reset("office")
    url = shared.simulated.url("office")
    shared.reload(CONFIG + OFFICE.format(url=url, places=PLACES, queued=16))
    shared.behave("office", Behaviour(keys=("none",)))
    yield "office"
    shared.reload(CONFIG)
    shared.simulated.reset("office")


def slow(shared: Shared, delay_s: float) -> None:
    shared.behave("office", Behaviour(keys=("none",), delay_s=delay_s))


async def spike(program: Program, shared: Shared, **options: Any) -> list[asyncio.Task[Reply]]:
    """Thirty-two requests at once, of which eight are at the local endpoint when this returns."""
    asked = [asyncio.create_task(program.complete("user_chat", f"call {n}", **options)) for n in range(AT_ONCE)]
    await assert_eventually_async(lambda: shared.simulated.counts("office").active == PLACES)
    return asked


class TestOverflow:
    async def test_a_spike_goes_to_the_cloud(self, shared: Shared, program: Program, office: str) -> None:
        """Of thirty-two at once the eight that have a place are answered locally for nothing, the rest by the cloud at
        its price; nobody is marked, the books are even to the nano-dollar, and the next one is local again."""
        before = len(shared.books().rows)
        slow(shared, 4.0)
        asked = await spike(program, shared)
        decision = await program.route("user_chat", "one more")
        assert (decision["provider"], decision["stands_in_for"]) == ("claude", "office")
        assert "8 of 8 places are taken" in decision["reason"]
        [row] = [item for item in decision["candidates"] if item["provider"] == office]
        assert (row["state"], row["reason"]) == ("ok", "8 of 8 places are taken")

        replies = await asyncio.gather(*asked)
        by = Counter(reply.metadata["provider"] for reply in replies)
        assert by == {"office": PLACES, "claude": AT_ONCE - PLACES}
        assert shared.simulated.counts("office").max_concurrent == PLACES
        books = shared.books()
        books.assert_balanced()
        mine = books.rows[before:]
        assert sum(row["charged"] for row in mine) == shared.simulated.billed("claude").nano > 0
        full = [row for row in books.attempts if row["outcome"] == "at_capacity"]
        assert all((row["provider"], row["cost_nano"], row["cost_known"]) == ("office", 0, 1) for row in full)
        assert (await program.providers())[office]["state"] == "ok"

        slow(shared, 0.0)
        back = await program.complete("user_chat", "room again")
        assert (back.metadata["provider"], back.metadata["route_reason"]) == ("office", "user_chat goes to office")

    async def test_a_session_returns(self, shared: Shared, program: Program, office: str) -> None:
        """One that was answered elsewhere for want of a place alone goes back with its next request."""
        slow(shared, 4.0)
        asked = await spike(program, shared)
        away = await program.complete("user_chat", "away", session="mine")
        assert away.metadata["provider"] == "claude"
        await asyncio.gather(*asked)
        slow(shared, 0.0)
        assert (await program.complete("user_chat", "home", session="mine")).metadata["provider"] == office


class TestWaiting:
    async def test_without_another_choice_they_wait(self, shared: Shared, program: Program, office: str) -> None:
        """Who wants this provider, or no fallback, waits for a place; eight at a time, all are answered."""
        slow(shared, 0.1)
        for options in ({"provider": office}, {"fallback": False}, {"privacy": "local"}):
            asked = [program.complete("user_chat", f"{options} {n}", **options) for n in range(20)]
            replies = await asyncio.gather(*asked)
            assert {reply.metadata["provider"] for reply in replies} == {office}
        assert shared.simulated.counts("office").max_concurrent == PLACES
        shared.books().assert_balanced()

    async def test_the_queue_is_bounded(self, shared: Shared, program: Program, office: str) -> None:
        """Past eight places and sixteen that wait the error says at_capacity, costs nothing, and marks nobody."""
        slow(shared, 2.0)
        asked = [asyncio.create_task(program.complete("user_chat", f"{n}", provider=office)) for n in range(24)]
        await assert_eventually_async(lambda: shared.simulated.counts("office").active == PLACES)
        await assert_eventually_async(lambda: _all_wait(shared, 24))
        with refused("ProviderFailed") as text:
            await program.complete("user_chat", "too many", provider=office, request_id="too-many")
        assert "tried=office:at_capacity" in text[0]
        assert shared.books().request("too-many")["cost_nano"] == 0
        assert all(reply.content for reply in await asyncio.gather(*asked))
        assert (await program.providers())[office]["state"] == "ok"

    async def test_the_deadline_ends_the_wait(self, shared: Shared, program: Program) -> None:
        """Nothing was sent: it is Timeout, and costs nothing, also where answers have a price."""
        shared.reload(f"{CONFIG}[providers.claude]\nmax_in_flight = 1\n")
        try:
            shared.behave("claude", Behaviour(delay_s=2.0))
            first = asyncio.create_task(program.complete("user_chat", "first", provider="claude"))
            await assert_eventually_async(lambda: shared.simulated.counts("claude").active == 1)
            with refused("Timeout"):
                await program.complete("user_chat", "late", provider="claude", deadline_ms=300, request_id="late")
            [attempt] = shared.books().attempts_of("late")
            assert (attempt["outcome"], attempt["cost_nano"], attempt["cost_known"]) == ("timeout", 0, 1)
            assert (await first).cost_nano > 0
        finally:
            shared.reload(CONFIG)


def _all_wait(shared: Shared, number: int) -> bool:
    """So many requests are reserved, so that they have their places or wait for one."""
    return [row["state"] for row in shared.books().rows].count("pending") == number
