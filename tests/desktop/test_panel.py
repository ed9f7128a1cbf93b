"""The applet in Xfce's panel, on a screen: what a person sees of each state."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from pathlib import Path

from cortexd.client import AsyncClient
from cortexd.connection import BusError
from simulated import Behaviour
from tests.desktop.applet import PROPERTIES, Applet, applet, eventually
from tests.desktop.conftest import NEEDED_ON_SCREEN, ROOT, Desktop, Router, need
from tests.desktop.picture import Colour
from tests.desktop.programs import desktop_environment, xfce_panel
from tests.desktop.screen import screen

ICONS = ROOT / "desktop/data/icons/hicolor/scalable/status"
WATCHER, WATCHER_PATH = "org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher"
ITEMS = "RegisteredStatusNotifierItems"
LEAST_PIXELS = 30  # of an icon of 22 or so in the square


def colour_of(state: str) -> Colour:
    [shape] = [node for node in ET.parse(ICONS / f"cortex-llm-{state}.svg").getroot() if node.tag.endswith("path")]
    fill = shape.attrib["fill"]
    red, green, blue = (int(fill[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue


async def seen(desktop: Desktop, shown: Applet, state: str) -> None:
    """The applet says this state, and the panel shows its colour."""
    await shown.await_state(state)

    async def ask() -> int:
        return await asyncio.to_thread(desktop.screen.count, colour_of(state))

    await eventually(ask, lambda pixels: pixels >= LEAST_PIXELS, f"the icon of {state} on the screen")


async def registered(shown: Applet) -> list[str]:
    """The items that the panel knows; none without a panel."""
    try:
        [items] = await shown.call_on(WATCHER, WATCHER_PATH, PROPERTIES, "Get", "ss", WATCHER, ITEMS)
    except BusError:
        return []
    return [item.partition("/")[0] for item in items]


class TestPanel:
    async def test_states_on_the_screen(self, installed: Path, desktop: Desktop, router: Router) -> None:
        """A real panel shows the icon of each state as budgets, the router and its bus come and go."""
        router.served.simulated.behave("claude", Behaviour(input_tokens=10, output_tokens=20_000))  # $0.20
        async with AsyncClient(router.address) as client, applet(installed, desktop.session, router.address) as shown:
            await seen(desktop, shown, "ok")
            await client.set_budget("each_user", day_usd=0.25)
            await client.complete("user_chat", "hello", max_tokens=20_000)
            await seen(desktop, shown, "warn")
            await client.set_budget("each_user", day_usd=0.1)
            await shown.show_menu()  # of a new limit no signal tells
            await seen(desktop, shown, "over")
            await shown.await_entry("A budget is used up.")
            await client.set_budget("each_user", remove=True)
            router.served.stop()
            await seen(desktop, shown, "stale")
            router.served.end_bus()
            await seen(desktop, shown, "error")
            router.served.start_bus()

    async def test_panel_that_comes_later(self, installed: Path, session: str, router: Router, tmp_path: Path) -> None:
        """The applet registers with the panel that starts after it, and again with the next one."""
        need(NEEDED_ON_SCREEN)
        with screen(tmp_path) as shown_on:
            environment = desktop_environment(tmp_path, session, shown_on)
            async with applet(installed, session, router.address) as shown:
                for _time in range(2):
                    with xfce_panel(tmp_path, environment):
                        await eventually(lambda: registered(shown), lambda items: items == [shown.name], "the item")
                    await eventually(lambda: registered(shown), lambda items: items == [], "the panel's end")

    async def test_german(self, installed: Path, session: str, router: Router) -> None:
        """A person whose language is German reads German."""
        german = {"LANGUAGE": "de", "LC_ALL": "C.UTF-8", "LANG": "de_DE.UTF-8"}
        async with applet(installed, session, router.address, german) as shown:
            await shown.await_state("ok")
            labels = await shown.labels()
            assert "Beenden" in labels
            assert (await shown.properties())["Title"].startswith("Sprachmodelle heute: ")
