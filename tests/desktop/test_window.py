"""The window on a screen, as a screen reader tells it, over the life of a real daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cortexd.client import AsyncClient
from cortexd.domain.money import format_usd
from cortexd.errors import Cancelled
from simulated import Behaviour
from tests.desktop.applet import applet, eventually
from tests.desktop.conftest import Router, need_window
from tests.desktop.screen import Screen, screen
from tests.desktop.window import Window, session_with_reader, window


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
        argv = [str(program), "--bus", router.address, "--page", "providers"]
        async with window(argv, tmp_path, shown_on, {"LANGUAGE": "de"}) as shown:
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


async def cancellers(shown: Window) -> list[str]:
    spoken = await shown.reader.all()
    return [found.name for found in spoken if found.name.startswith("Cancel ")]
