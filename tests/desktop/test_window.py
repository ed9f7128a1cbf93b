"""The window on a screen, as a screen reader tells it, over the life of a real daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import date
from pathlib import Path

import pytest
from cortex_llm_applet.logic.dates import day_in_full

from cortexd.client import AsyncClient
from cortexd.domain.money import format_usd
from cortexd.errors import Cancelled
from simulated import Behaviour
from tests.desktop.applet import applet, eventually
from tests.desktop.conftest import Router, need_window
from tests.desktop.programs import running
from tests.desktop.screen import Screen, screen
from tests.desktop.window import Window, session_with_reader, window

DEAR = Behaviour(input_tokens=1_000, output_tokens=100)
LEFT_BEHIND = """
[providers.gone]
api = "openai"
base_url = "http://127.0.0.1:9/v1"
model = "small"
local = true
"""
MARK = "2020-01-01"


@pytest.fixture(name="shown_on", scope="module")
def shown_on_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    need_window()
    with screen(tmp_path_factory.mktemp("screen"), 900, 800) as shown_on:
        yield shown_on


@pytest.fixture(name="program")
def program_fixture(installed: Path) -> Path:
    return installed.with_name("cortex-llm-window")


@pytest.fixture(name="shown")
async def shown_fixture(program: Path, shown_on: Screen, router: Router, tmp_path: Path) -> AsyncIterator[Window]:
    async with window([str(program), "--bus", router.address], tmp_path, shown_on) as shown:
        yield shown


class TestWindow:
    async def test_a_request_runs_and_is_cancelled(self, shown: Window, router: Router) -> None:
        """What runs has a button that ends it for whoever waits, and is gone then."""
        await shown.await_texts("Nothing runs now")
        router.served.simulated.behave("claude", Behaviour(delay_s=60))
        async with AsyncClient(router.address) as client:
            waiting = asyncio.create_task(client.complete("user_chat", "hello"))
            buttons = await eventually(lambda: cancellers(shown), lambda found: bool(found and "(" in found[0]), "it")
            await shown.reader.press(buttons[0])
            with pytest.raises(Cancelled):
                await waiting
            await shown.await_texts("Nothing runs now")

    async def test_follows_the_router(self, shown: Window, router: Router) -> None:
        """A cost shows as it is settled; without the router there is the next step, and with its return all is well."""
        async with AsyncClient(router.address) as client:
            await client.complete("code_generation", "hello")
            async with client.subscribe() as costs:
                today = format_usd(round(costs.snapshot.day_usd * 1e9))
        await shown.await_texts("code_generation", today)
        router.served.stop()
        names = await shown.await_texts("cortexd does not run now.", "Copy the Command")
        assert today in names  # the last one known
        router.served.start()
        await shown.await_no_text("cortexd does not run now.")

    async def test_pages_in_german(self, program: Path, shown_on: Screen, router: Router, tmp_path: Path) -> None:
        """A second start shows its page in the window that is there."""
        async with AsyncClient(router.address) as client:
            await client.complete("user_chat", "hello")
        async with window(on(program, router, "providers"), tmp_path, shown_on, {"LANGUAGE": "de"}) as shown:
            await shown.await_texts("claude", "Nicht eingerichtet")
            await shown.second(program, "--page", "last_route")
            names = await shown.await_texts("Die letzte Anfrage", "Nicht gefragt")
            assert any(name.startswith("1. claude") for name in names)

    async def test_opened_from_the_panel(
        self, installed: Path, shown_on: Screen, router: Router, tmp_path: Path
    ) -> None:
        """The menu of the panel's item has an entry that opens it, on the same bus."""
        async with session_with_reader(tmp_path, shown_on) as session:
            address = session.environment["DBUS_SESSION_BUS_ADDRESS"]
            async with applet(installed, address, router.address, session.environment) as item:
                await item.click("Open the Window")
                await eventually(session.reader.names, lambda names: "Nothing runs now" in names, "the window")
                await session.quit_window()
                await eventually(session.reader.names, lambda names: names == set(), "its end")


class TestSpend:
    async def test_bar_of_today_grows(self, program: Path, shown_on: Screen, router: Router, tmp_path: Path) -> None:
        """A bar says when, how much and to whom, and more after another request; hours are a click away."""
        router.served.simulated.behave("claude", DEAR)
        async with (
            AsyncClient(router.address) as client,
            window(on(program, router, "spend"), tmp_path, shown_on) as shown,
        ):
            today = day_in_full(date.today())
            for _number in range(2):
                await client.complete("user_chat", "hello", provider="claude")
                [row] = await client.usage(since=date.today(), until=date.today())
                most = "" if row.cost_known else "at most "  # a cancelled request may have been billed
                await until_said(shown, f"{today}: {most}{format_usd(row.cost_nano_usd)} (claude $")
            await shown.reader.press("Today")
            await until_said(shown, "23:00 to 00:00: ")

    async def test_asks_nothing_while_nobody_looks(
        self, program: Path, shown_on: Screen, router: Router, tmp_path: Path
    ) -> None:
        """While another page is shown no sums are asked for, whatever is spent."""
        log = tmp_path / "calls.log"
        argv = ["dbus-monitor", "--address", router.address, "member='GetUsage'"]
        async with (
            AsyncClient(router.address) as client,
            window(on(program, router, "now"), tmp_path, shown_on) as shown,
        ):
            with running(argv, {}, log):
                await eventually(lambda: marked(client, log), bool, "the monitor's first line")
                await client.complete("error_debugging", "hello")
                await shown.await_texts("error_debugging")
                await client.usage(since=date(2021, 1, 1), until=date(2021, 1, 1))
                await shown.second(program, "--page", "spend")
                calls = await eventually(lambda: read(log), lambda text: "group_by" in text, "the page's question")
        assert calls.index("2021-01-01") < calls.index("group_by")


class TestPreferences:
    async def test_given_up_and_taken_back(
        self, program: Path, shown_on: Screen, router: Router, tmp_path: Path
    ) -> None:
        """A switch is kept at once; all can be given up, and that taken back."""
        async with AsyncClient(router.address) as client:
            await client.set_preferences(providers={"user_chat": "claude,kimi_k2"}, strategy="cost")
            async with window(on(program, router, "preferences"), tmp_path, shown_on) as shown:
                await shown.await_texts("Only local models", "claude, then kimi_k2", "The cheapest")
                await shown.reader.press("Only local models")
                before = await eventually(client.preferences, lambda kept: bool(kept.local_only), "the wish kept")
                assert (before.strategy, dict(before.providers)) == ("cost", {"user_chat": "claude, kimi_k2"})
                await shown.reader.press("Give all up")
                await eventually(client.preferences, lambda kept: not kept.raw, "no wish")
                await shown.await_no_text("claude, then kimi_k2")
                await shown.await_texts("Undo")
                await shown.reader.press("Undo")
                await eventually(client.preferences, lambda kept: kept.raw == before.raw, "the wishes of before")
                await shown.await_texts("claude, then kimi_k2")
            await client.set_preferences()

    async def test_refusal(self, program: Path, shown_on: Screen, router: Router, tmp_path: Path) -> None:
        """What the router does not take is said in its words with the next step, and what is kept is shown again."""
        async with AsyncClient(router.address) as client:
            with router.served.written(LEFT_BEHIND):
                await client.reload()
                await client.set_preferences(providers={"user_chat": "gone"})
            await client.reload()
            async with window(on(program, router, "preferences"), tmp_path, shown_on) as shown:
                await shown.await_texts("Only local models", "gone")
                await shown.reader.press("Only local models")
                names = await eventually(shown.reader.names, says_unknown, "the refusal")
                assert any("cortexctl providers" in name for name in names)
                assert not (await client.preferences()).local_only
                await client.set_preferences()


def on(program: Path, router: Router, page: str) -> list[str]:
    return [str(program), "--bus", router.address, "--page", page]


async def cancellers(shown: Window) -> list[str]:
    spoken = await shown.reader.all()
    return [found.name for found in spoken if found.name.startswith("Cancel ")]


async def until_said(shown: Window, begin: str) -> None:
    """Until something is called what begins so."""
    await eventually(
        shown.reader.names, lambda names: any(name.startswith(begin) for name in names), f"the text {begin}…"
    )


def says_unknown(names: set[str]) -> bool:
    return any("unknown provider" in name for name in names)


async def marked(client: AsyncClient, log: Path) -> bool:
    """Whether the monitor writes down what is asked."""
    day = date.fromisoformat(MARK)
    await client.usage(since=day, until=day)
    return MARK in await read(log)


async def read(log: Path) -> str:
    return log.read_text("utf-8") if log.exists() else ""
