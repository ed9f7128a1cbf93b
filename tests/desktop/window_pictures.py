"""Pictures of the window, one a row of PICTURES: python -m tests.desktop.window_pictures [DIRECTORY [NAME…]]."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cortexd.client import AsyncClient
from cortexd.errors import CortexError
from simulated import Behaviour
from tests.bus.served import Served, service
from tests.desktop.applet import eventually
from tests.desktop.screen import Screen, screen
from tests.desktop.spent_month import spend_a_month
from tests.desktop.window import Window, window

ROOT = Path(__file__).resolve().parents[2]
OF_VIEW = Path(__file__).with_name("window_of_view.py")
OF_HEIGHT = Path(__file__).with_name("window_of_height.py")
PYTHON = "/usr/bin/python3"
WIDTH, HEIGHT, TALL = 760, 640, 1240
DARK = {"ADW_DEBUG_COLOR_SCHEME": "prefer-dark"}
GERMAN = {"LANGUAGE": "de"}
RIGHT_TO_LEFT = {"LANGUAGE": "ar"}  # no catalogue: English texts, mirrored
LARGE_TEXT = {"TEXT": "2"}  # see _look
_DEAR = Behaviour(input_tokens=4_000, output_tokens=3_000)
_TASKS = ("user_chat", "code_generation", "error_debugging", "configuration", "requirement_parsing")

Stage = Callable[[Served, AsyncClient], Awaitable[None]]


async def calm(served: Served, client: AsyncClient) -> None:
    """Some requests, and a budget."""
    await client.set_budget("each_user", day_usd=2)
    served.simulated.behave("claude", _DEAR)
    for number, task in enumerate(_TASKS):
        await client.complete(task, f"hello {number}")


async def busy(served: Served, client: AsyncClient) -> None:
    """And two under way until the picture is taken."""
    await calm(served, client)
    for name in ("claude", "kimi_k2"):
        served.simulated.behave(name, Behaviour(delay_s=300))
    for task in ("user_chat", "code_generation"):
        _under_way.add(asyncio.create_task(_unanswered(served, task)))


async def failing(served: Served, client: AsyncClient) -> None:
    """One of the providers has failed so often that it is avoided."""
    await calm(served, client)
    served.simulated.behave("claude", Behaviour(status=401))
    for number in range(8):
        await client.complete("user_chat", f"hello again {number}")


async def spent(served: Served, client: AsyncClient) -> None:
    """A month of work, and budgets."""
    await spend_a_month(served)
    await client.set_budget("each_user", day_usd=20, month_usd=250)
    await client.set_budget("machine", month_usd=2_000)


async def spent_freely(served: Served, _client: AsyncClient) -> None:
    """The same without a budget."""
    await spend_a_month(served)


async def spent_up(served: Served, client: AsyncClient) -> None:
    """A budget that is passed, and another that soon will be."""
    await spend_a_month(served)
    await client.set_budget("each_user", day_usd=1, month_usd=96)


async def wishful(_served: Served, client: AsyncClient) -> None:
    await client.set_preferences(providers={"code_generation": "kimi_k2, claude"}, strategy="cost", secrets="redact")


async def untouched(_served: Served, _client: AsyncClient) -> None:
    pass


_under_way: set[asyncio.Task[None]] = set()


async def _unanswered(served: Served, task: str) -> None:
    async with AsyncClient(served.address) as client:
        with contextlib.suppress(CortexError):
            await client.complete(task, "a long question")


@dataclass(frozen=True, slots=True)
class Picture:
    """`first` comes before the window opens, `stage` after. `texts` are awaited, in the language of `look`, and what is
    called as in `pressed` is pressed then. `view`: shown without a daemon, as window_of_view names it. `height`: of the
    window, in pixels."""

    name: str
    page: str = "now"
    stage: Stage = untouched
    texts: tuple[str, ...] = ()
    look: Mapping[str, str] = field(default_factory=dict)
    view: str = ""
    first: Stage = untouched
    pressed: tuple[str, ...] = ()
    height: int = HEIGHT


_RUNNING = ("Running", "Cancel code_generation (kimi-k2.6)", "Cancel user_chat (claude-sonnet-5-5)")
_SPENT = ("Your budget today", "claude")
_WISHES = ("Only local models", "The cheapest")
_BOTH = {**GERMAN, **DARK}


def _spend(name: str, *texts: str, first: Stage = spent, **others: Any) -> Picture:
    return Picture(name, "spend", texts=texts or _SPENT, first=first, height=TALL, **others)


def _wishes(name: str, *texts: str, **others: Any) -> Picture:
    return Picture(name, "preferences", texts=texts or _WISHES, first=wishful, height=TALL, **others)


PICTURES = (
    Picture("now", "now", busy, _RUNNING),
    Picture("now-dark", "now", busy, _RUNNING, DARK),
    Picture("now-german", "now", busy, ("Läuft", "Heute ausgegeben", "kimi-k2.6 · wird beantwortet"), GERMAN),
    Picture("now-right-to-left", "now", busy, _RUNNING, RIGHT_TO_LEFT),
    Picture("now-large-text", "now", busy, _RUNNING, LARGE_TEXT),
    Picture("providers", "providers", failing, ("In use",)),
    Picture("providers-german-dark", "providers", failing, ("In Gebrauch",), {**GERMAN, **DARK}),
    Picture("last-route", "last_route", calm, ("Asked again now",)),
    Picture("last-route-large-text", "last_route", calm, ("Asked again now",), LARGE_TEXT),
    Picture("last-route-right-to-left", "last_route", calm, ("Asked again now",), RIGHT_TO_LEFT),
    _spend("spend"),
    _spend("spend-today", pressed=("Today",)),
    _spend("spend-month", pressed=("30 days",)),
    _spend("spend-german-dark", "Ihr Budget heute", "claude", look=_BOTH),
    _spend("spend-right-to-left", look=RIGHT_TO_LEFT),
    _spend("spend-large-text", look=LARGE_TEXT),
    _spend("spend-used-up", first=spent_up),
    _spend("spend-no-budget", "No budget is set for you", "claude", first=spent_freely),
    Picture("spend-nothing", "spend", texts=("Nothing was asked in this time",)),
    _wishes("preferences"),
    _wishes("preferences-german-dark", "Nur lokale Modelle", "Das billigste", look=_BOTH),
    _wishes("preferences-right-to-left", look=RIGHT_TO_LEFT),
    _wishes("preferences-large-text", look=LARGE_TEXT),
    _wishes("preferences-given-up", pressed=("Give all up",)),
    *(
        Picture(view.replace("_", "-"), view=view, texts=("Spent",))
        for view in (
            "no_bus", "not_installed", "masked", "stopped", "failed", "restarting", "refused", "ledger_full",
            "not_allowed", "no_key", "clock_wrong", "used_up",
        )
    ),
    Picture("no-key-german-dark", view="no_key", texts=("Ausgegeben",), look={**GERMAN, **DARK}),
    Picture("not-installed-large-text", view="not_installed", texts=("Spent",), look=LARGE_TEXT),
)  # fmt: skip


async def take(picture: Picture, share: Path, directory: Path, shown_on: Screen) -> None:
    with TemporaryDirectory() as name:
        home = Path(name)
        if picture.view:
            argv = [PYTHON, str(OF_VIEW), str(share), picture.view]
            async with window(argv, home, shown_on, _look(picture, home)) as shown:
                await _keep(picture, shown, directory, shown_on)
            return
        async with _daemon() as served, AsyncClient(served.address) as client:
            await picture.first(served, client)
            options = ["--bus", served.address, "--page", picture.page]
            argv = [PYTHON, str(OF_HEIGHT), str(share), str(picture.height), *options]
            async with window(argv, home, shown_on, _look(picture, home)) as shown:
                await picture.stage(served, client)
                await _keep(picture, shown, directory, shown_on)


async def _keep(picture: Picture, shown: Window, directory: Path, shown_on: Screen) -> None:
    await shown.await_texts(*picture.texts)
    for name in picture.pressed:
        await shown.reader.press(name)
    await eventually(lambda: _two_frames(shown_on), lambda frames: frames[0] == frames[1], "a picture at rest")
    shown_on.picture().cut(height=picture.height).save(directory / f"{picture.name}.png")


def _look(picture: Picture, home: Path) -> dict[str, str]:
    """The environment; the size of texts is the screen's, for which there is no variable."""
    (home / ".Xdefaults").write_text(f"Xft.dpi: {96 * int(picture.look.get('TEXT', 1))}\n")
    return dict(picture.look)


async def _two_frames(shown_on: Screen) -> tuple[object, object]:
    first = shown_on.picture()
    await asyncio.sleep(0.6)  # longer than the toolkit's longest transition
    return first, shown_on.picture()


@asynccontextmanager
async def _daemon() -> AsyncIterator[Served]:
    """One of its own."""
    with service() as served:
        served.start()
        try:
            yield served
        finally:
            for task in _under_way:
                task.cancel()
            await asyncio.gather(*_under_way, return_exceptions=True)
            _under_way.clear()


async def main(directory: Path, *names: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as name, screen(Path(name), WIDTH, TALL) as shown_on:
        subprocess.run([ROOT / "desktop/install", f"{name}/root"], check=True)
        for picture in PICTURES:
            if not names or picture.name in names:
                await take(picture, Path(name) / "root/usr/share", directory, shown_on)
                print(directory / f"{picture.name}.png")


if __name__ == "__main__":
    place, *wanted = sys.argv[1:] or [str(ROOT / "docs/pictures/window")]
    asyncio.run(main(Path(place), *wanted))
