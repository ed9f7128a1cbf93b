"""The applet in the panel over the life of a real daemon: figures, states, menu, and who is never started."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cortexd.client import AsyncClient
from cortexd.domain.money import format_usd
from simulated import Behaviour
from tests.desktop.applet import Applet, applet, eventually
from tests.desktop.conftest import Router

DEAR = Behaviour(input_tokens=1_000, output_tokens=100)
DEAR_NANO = 1_000 * 2_000 + 100 * 10_000


@pytest.fixture(name="shown")
async def shown_fixture(installed: Path, session: str, router: Router) -> AsyncIterator[Applet]:
    async with applet(installed, session, router.address) as shown:
        yield shown


class TestFigures:
    async def test_a_cost_shows_as_it_is_settled(self, shown: Applet, router: Router) -> None:
        """Label, title and menu have today's sum after a request, with what it was for and what it cost."""
        router.served.simulated.behave("claude", DEAR)
        async with AsyncClient(router.address) as client:
            answer = await client.complete("user_chat", "hello")
            assert answer.cost_nano_usd == DEAR_NANO
            async with client.subscribe() as costs:
                sum_usd = format_usd(round(costs.snapshot.day_usd * 1e9))
        await shown.await_label(sum_usd)
        labels = await eventually(shown.labels, lambda found: f"Today: {sum_usd}" in found, "the menu")
        assert f"This month: {sum_usd}" in labels
        assert f"user_chat   {answer.model}   {format_usd(DEAR_NANO)}" in labels
        assert (await shown.properties())["Title"] == f"Language models today: {sum_usd}"
        assert await shown.state() == "ok"

    async def test_last_five_requests(self, shown: Applet, router: Router) -> None:
        """No more than five are kept, the newest first."""
        tasks = ("user_chat", "code_generation", "configuration", "user_chat", "error_debugging", "requirement_parsing")
        async with AsyncClient(router.address) as client:
            for number, task in enumerate(tasks):
                await client.complete(task, f"hello {number}")
        costs = await eventually(
            shown.labels, lambda labels: any(label.startswith(tasks[-1]) for label in labels), "the last request"
        )
        shown_tasks = [label.split()[0] for label in costs if label.split()[0] in tasks]
        assert shown_tasks == [*reversed(tasks[1:])]


class TestRunning:
    async def test_click_cancels(self, shown: Applet, router: Router) -> None:
        """A request under way stands in the menu; a click ends it for whoever waits for it."""
        router.served.simulated.behave("claude", Behaviour(delay_s=60))
        async with AsyncClient(router.address) as client:
            waiting = asyncio.create_task(client.complete("user_chat", "hello"))
            [label] = await eventually(
                lambda: cancellable(shown),
                lambda labels: len(labels) == 1 and labels[0].endswith(")"),  # its model is known a moment later
                "the running request in the menu",
            )
            await shown.show_menu()
            await shown.click(label)
            with pytest.raises(Exception, match="cancel") as caught:
                await waiting
            assert type(caught.value).__name__ == "Cancelled"
            await eventually(shown.labels, lambda labels: "Ended: user_chat" in labels, "the end in the open menu")
            await shown.event(0, "closed")
            await eventually(shown.labels, lambda labels: "Ended: user_chat" not in labels, "a menu without it")

    async def test_more_than_fit(self, shown: Applet, router: Router) -> None:
        """Of seven requests five have an entry, and the rest a number."""
        for name in ("claude", "kimi_k2"):
            router.served.simulated.behave(name, Behaviour(delay_s=60))
        async with AsyncClient(router.address) as client:
            waiting = [asyncio.create_task(client.complete("user_chat", f"hello {number}")) for number in range(7)]
            await eventually(shown.labels, lambda labels: "and 2 more" in labels, "two more")
            assert len(await cancellable(shown)) == 5
            for request in await client.requests():
                await client.cancel(request.request_id)
            await asyncio.gather(*waiting, return_exceptions=True)
        await eventually(lambda: cancellable(shown), lambda labels: labels == [], "an empty menu")


async def cancellable(shown: Applet) -> list[str]:
    return [label for label in await shown.labels() if label.startswith("Cancel ")]


class TestComingsAndGoings:
    async def test_stale_when_the_router_is_gone(self, shown: Applet, router: Router) -> None:
        """The last sum stays, marked as stale with the next step; the return is seen, and nobody was started."""
        await shown.await_state("ok")
        before = await shown.label()
        router.served.stop()
        await shown.await_state("stale")
        assert await shown.label() == before
        await shown.await_entry("cortexd does not run now.")
        await shown.show_menu()  # opening the menu starts nobody either
        router.assert_never_started_by_the_bus()
        router.served.start()
        await shown.await_state("ok")

    async def test_killed(self, shown: Applet, router: Router) -> None:
        """A daemon that is killed is as gone as one that was stopped."""
        await shown.await_state("ok")
        router.served.stop(signal.SIGKILL)
        await shown.await_state("stale")

    async def test_begins_without_a_router(self, installed: Path, session: str, router: Router) -> None:
        """Where no figure was ever known it is a dash, not 0, until the router comes."""
        router.served.stop()
        async with applet(installed, session, router.address) as shown:
            await shown.await_state("stale")
            assert await shown.label() == "—"
            await shown.await_entry("Today: —")
            router.served.start()
            await shown.await_state("ok")
            assert await shown.label() != "—"

    async def test_bus_of_the_router_ends(self, installed: Path, session: str, router: Router) -> None:
        """Without the router's bus it says so, and comes back with it."""
        async with applet(installed, session, router.address) as shown:
            await shown.await_state("ok")
            router.served.end_bus()
            await shown.await_state("error")
            await shown.await_entry("The system bus cannot be reached.")
            router.served.start_bus()
            router.served.start()
            await shown.await_state("ok")

    async def test_quit(self, shown: Applet, router: Router) -> None:
        """The menu's last entry ends it."""
        await shown.click("Quit")
        await eventually(lambda: asyncio.sleep(0, shown.process.poll()), lambda status: status == 0, "the end")
