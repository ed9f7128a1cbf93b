"""script/try-tray: the item's menu in Xfce's panel, in each of its states and in several looks of a desktop.

A picture of each look has all states. Texts are not read back by AT-SPI: the process in which Xfce's panel has its tray
shows screen readers nothing of it.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cortexd.client import AsyncClient
from demo.desktop.place import Place, own_place, served_on_bus
from demo.desktop.tray import colour_of
from simulated import Behaviour
from tests.bus.served import Served
from tests.desktop.applet import Applet, applet
from tests.desktop.picture import Picture, beside, stacked

_ROOT = Path(__file__).resolve().parents[2]
_DEAR = Behaviour(input_tokens=1_000, output_tokens=20_000)  # $0.20 of claude's
_IN_A_ROW = 3
_ASIDE = (600, 270)  # where the pointer brings up nothing


@dataclass(frozen=True, slots=True)
class Look:
    """`locale` is of panel and applet, as he_IL; `panel` are variables of the panel. `size` is the screen's."""

    name: str
    panel: Mapping[str, str] = field(default_factory=dict)
    locale: str = ""
    size: tuple[int, int] = (640, 290)


LOOKS = (
    Look("light"),
    Look("dark", {"GTK_THEME": "Adwaita:dark"}),
    Look("german", locale="de_DE"),
    Look("right-to-left", locale="he_IL"),
    Look("large-text", {"GDK_DPI_SCALE": "2"}, size=(1000, 480)),
)


@dataclass(frozen=True, slots=True)
class Stand:
    served: Served
    tray: Applet
    client: AsyncClient


async def _unconfigured(stand: Stand) -> None:
    await asyncio.to_thread(stand.served.stop)
    await asyncio.to_thread(lambda: stand.served.start(keys=False))


async def _ok(stand: Stand) -> None:
    await asyncio.to_thread(stand.served.stop)
    await asyncio.to_thread(stand.served.start)
    stand.served.simulated.behave("claude", _DEAR)
    await stand.client.complete("user_chat", "Tell me everything.", max_tokens=20_000)
    await stand.client.complete("error_debugging", "Why did apt install fail?")


def _budget(share: float) -> Callable[[Stand], Awaitable[None]]:
    """So much of it is used."""

    async def set_budget(stand: Stand) -> None:
        async with stand.client.subscribe() as costs:
            day_usd = costs.snapshot.day_usd
        await stand.client.set_budget("each_user", day_usd=day_usd / share)
        await stand.tray.show_menu()  # of a new limit no signal tells
        await stand.tray.event(0, "closed")

    return set_budget


async def _stale(stand: Stand) -> None:
    await stand.client.set_budget("each_user", remove=True)
    await asyncio.to_thread(stand.served.stop)


async def _error(stand: Stand) -> None:
    await asyncio.to_thread(stand.served.end_bus)


# in this order, after loading, which lasts while the daemon is held
_STATES: dict[str, Callable[[Stand], Awaitable[None]]] = {
    "unconfigured": _unconfigured,
    "ok": _ok,
    "warn": _budget(0.7),
    "over": _budget(1.2),
    "stale": _stale,
    "error": _error,
}


async def _look(place: Place, served: Served, program: Path, variables: dict[str, str]) -> list[Picture]:
    """A picture of each state."""
    pictures = []
    async with AsyncClient(served.address) as client, AsyncExitStack() as stack:
        with served.held():
            tray = await stack.enter_async_context(applet(program, place.session, served.address, variables))
            pictures.append(await _open_menu(place, tray, "loading"))
        for name, bring_about in _STATES.items():
            await bring_about(Stand(served, tray, client))
            pictures.append(await _open_menu(place, tray, name))
    return pictures


async def _open_menu(place: Place, tray: Applet, state: str) -> Picture:
    await tray.await_state(state)
    await asyncio.to_thread(place.click, await asyncio.to_thread(place.find, colour_of(state)))
    picture = await asyncio.to_thread(place.still)
    await asyncio.to_thread(place.press, "Escape")
    await asyncio.to_thread(place.move, _ASIDE)
    return picture


def _locale(name: str, directory: Path) -> dict[str, str]:
    """Variables that lead programs to a locale that is made for them."""
    if not name:
        return {}
    directory.mkdir()
    subprocess.run(["localedef", "-i", name, "-f", "UTF-8", directory / f"{name}.UTF-8"], check=True)
    return {"LOCPATH": str(directory), "LC_ALL": f"{name}.UTF-8"}


def _picture(look: Look, pictures: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="tray-") as name:
        directory = Path(name)
        subprocess.run([_ROOT / "desktop/install", directory / "installed"], check=True)
        program = directory / "installed/usr/bin/cortex-llm-applet"
        variables = _locale(look.locale, directory / "locales")
        with (
            served_on_bus(directory) as served,
            own_place(directory, {**look.panel, **variables}, look.size) as place,
        ):
            shown = asyncio.run(_look(place, served, program, variables))
    rows = [beside(shown[first : first + _IN_A_ROW]) for first in range(0, len(shown), _IN_A_ROW)]
    file = pictures / f"tray-{look.name}.png"
    stacked(rows).save(file)
    print(f"{look.name}: loading, {', '.join(_STATES)}: {file}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="script/try-tray", description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="where pictures go")
    parser.add_argument("looks", nargs="*", metavar="LOOK", help=f"of {', '.join(look.name for look in LOOKS)}; all")
    options = parser.parse_args(arguments)
    for look in LOOKS:
        if not options.looks or look.name in options.looks:
            _picture(look, options.pictures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
