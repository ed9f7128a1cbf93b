"""script/demo --desktop: tray item, notifications, a panel's line and the window, before the real daemon on a bus of
its own.

In the user's session they appear there. Without one they appear on a screen of Xvfb, and each step leaves a picture.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cortexd.client import AsyncClient, Completion
from demo.desktop.bars import snippets
from demo.desktop.place import Place, own_place, own_session, served_on_bus, users_place
from demo.desktop.tray import colour_of
from demo.screen import Screen
from simulated import Behaviour
from tests.bus.served import Served
from tests.desktop.applet import Applet, applet, eventually

_ROOT = Path(__file__).resolve().parents[2]
_DEAR = Behaviour(input_tokens=1_000, output_tokens=20_000)  # $0.20 of claude's
_SLOW = Behaviour(delay_s=600)
_BUDGET_USD, _LESS_USD = 0.35, 0.15
_WITHOUT_GPU = {"GSK_RENDERER": "cairo"}
_POLYBAR = """[bar/main]
bottom = true
width = 100%
height = 28
background = #222222
foreground = #dddddd
font-0 = DejaVu Sans:size=11
modules-right = llm
{snippet}"""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a step acts on."""

    place: Place
    served: Served
    tray: Applet
    client: AsyncClient
    tasks: list[asyncio.Task[Completion]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """`look` says what there is to see; `name` is its picture's."""

    name: str
    heading: str
    look: str
    act: Callable[[Scene], Awaitable[None]]
    after: Callable[[Scene], Awaitable[None]] | None = None


async def _first_cost(scene: Scene) -> None:
    await scene.tray.await_state("ok")
    await scene.client.complete("user_chat", "Hello! What can you help me with?")
    await scene.client.complete("error_debugging", "Why did apt install fail?")
    await scene.client.set_budget("each_user", day_usd=_BUDGET_USD)


async def _menu(scene: Scene) -> None:
    scene.served.simulated.behave("claude", _SLOW)
    scene.tasks.append(asyncio.create_task(scene.client.complete("user_chat", "Write a long story.")))
    begun = "Cancel user_chat"
    await eventually(
        scene.tray.labels, lambda labels: any(label.startswith(begun) for label in labels), "the request in the menu"
    )
    if scene.place.shown:
        scene.place.click(scene.place.find(colour_of("ok")))


async def _close_menu(scene: Scene) -> None:
    if scene.place.shown:
        scene.place.press("Escape")
    for request in await scene.client.requests():
        await scene.client.cancel(request.request_id)
    await asyncio.gather(*scene.tasks, return_exceptions=True)
    scene.served.simulated.reset("claude")


async def _warn(scene: Scene) -> None:
    scene.served.simulated.behave("claude", _DEAR)
    await scene.client.complete("user_chat", "Tell me everything.", max_tokens=20_000)
    await scene.tray.await_state("warn")


async def _over(scene: Scene) -> None:
    await scene.client.set_budget("each_user", day_usd=_LESS_USD)
    await scene.tray.show_menu()  # of a new limit no signal tells
    await scene.tray.await_state("over")


async def _ask(scene: Scene) -> None:
    scene.served.simulated.reset("claude")
    await scene.client.set_budget("each_user", remove=True)
    await scene.client.set_own_budget(day_usd=_LESS_USD, at_limit="ask")
    scene.tasks.append(asyncio.create_task(scene.client.complete("user_chat", "One more question.")))
    await eventually(scene.client.holds, bool, "the question")
    await eventually(scene.tray.labels, lambda labels: "This once" in labels, "the answers in the menu")


async def _allow(scene: Scene) -> None:
    for hold in await scene.client.holds():
        await scene.client.answer_hold(hold.hold_id, "once")
    await asyncio.gather(*scene.tasks, return_exceptions=True)
    await scene.client.set_own_budget(remove=True)


async def _stop(scene: Scene) -> None:
    await asyncio.to_thread(scene.served.stop)
    await scene.tray.await_state("stale")


async def _start(scene: Scene) -> None:
    await asyncio.to_thread(scene.served.start)
    await scene.tray.await_state("ok")


STEPS = (
    Step(
        "item",
        "Today's spend stands in the panel",
        "A disc with a tick: all is well. The sum is in its tooltip, and beside it where the panel reads labels.",
        _first_cost,
    ),
    Step(
        "menu",
        "Its menu: where it went, what runs, what is left",
        "Click the icon. A request is under way; clicking its entry would cancel it.",
        _menu,
        _close_menu,
    ),
    Step(
        "warn",
        "A threshold of the budget is passed: said once, and the icon is a triangle",
        "The notification says how much is spent of how much.",
        _warn,
    ),
    Step("over", "The budget is used up", "An octagon; nothing more leaves the computer today.", _over),
    Step(
        "held",
        "At a cap of one's own the computer asks before it spends more",
        "The notification and the menu have the answers; the request waits, and nothing of it has left.",
        _ask,
        _allow,
    ),
    Step(
        "stale",
        "cortexd stops: the last sum stays, marked as old, and nobody starts it",
        "A ring with a pause sign; the menu says the next step.",
        _stop,
    ),
    Step("back", "cortexd is back, and so is the icon", "", _start),
)


async def _walk(screen: Screen, served: Served, place: Place, program: Path, pictures: Path | None) -> None:
    kept = {name: os.environ[name] for name in ("LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES") if name in os.environ}
    async with AsyncClient(served.address) as client, applet(program, place.session, served.address, kept) as tray:
        scene = Scene(place, served, tray, client)
        for step in STEPS:
            screen.heading(step.heading)
            await step.act(scene)
            await asyncio.to_thread(_look, screen, step.name, step.look, place, pictures)
            if step.after:
                await step.after(scene)
        window = program.with_name("cortex-llm-window")
        if window.exists():
            screen.heading("The window: what runs, what was spent, providers, preferences")
            await asyncio.to_thread(_show_window, screen, served, place, window, pictures)


def _show_window(screen: Screen, served: Served, place: Place, window: Path, pictures: Path | None) -> None:
    before = place.still() if place.shown else None
    with place.program([str(window), "--bus", served.address], _WITHOUT_GPU if before else None):
        if before:
            place.until_other(before)
        _look(screen, "window", "A window opens.", place, pictures)


def _look(screen: Screen, name: str, text: str, place: Place, pictures: Path | None) -> None:
    if text:
        screen.text(text)
    if pictures:
        file = pictures / f"{name}.png"
        place.still().save(file)
        screen.text(f"picture: {file}")
    elif sys.stdin.isatty():
        input("(Enter goes on) ")


def _cortexctl(directory: Path, address: str) -> Path:
    """A directory for PATH in which cortexctl speaks to our daemon."""
    file = directory / "bin/cortexctl"
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\ncd {_ROOT} && exec {sys.executable} -m cortexd.cli --bus {address} "$@"\n')
    file.chmod(0o755)
    return file.parent


@contextmanager
def _panel_line(screen: Screen, place: Place, path: Path) -> Iterator[None]:
    """On our own screen polybar has it; a user's panel is the user's, so that its lines are printed."""
    with_ours = {"PATH": f"{path}:{os.environ['PATH']}"}
    if place.shown:
        config = place.directory / "polybar.ini"
        config.write_text(_POLYBAR.format(snippet=snippets()["polybar"]["ini"]))
        with place.program(["polybar", "-c", str(config), "main"], with_ours):
            yield
        return
    argv = [str(path / "cortexctl"), "watch", "--format", "plain"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        threading.Thread(target=_relay, args=(screen, process), daemon=True).start()
        try:
            yield
        finally:
            process.terminate()


def _relay(screen: Screen, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        screen.live("a panel's line", line.rstrip())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="script/demo --desktop", description=__doc__)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="Xvfb's screen, whose pictures go there")
    options = parser.parse_args(arguments)
    screen, pictures = Screen(), options.pictures
    if pictures is None and not own_session(os.environ):
        pictures = Path(tempfile.mkdtemp(prefix="cortexd-desktop-"))
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="desktop-")))
        served = stack.enter_context(served_on_bus(directory))
        place = stack.enter_context(own_place(directory)) if pictures else users_place(directory)
        subprocess.run([_ROOT / "desktop/install", directory / "installed"], check=True)
        stack.enter_context(_panel_line(screen, place, _cortexctl(directory, served.address)))
        screen.text(f"They appear on a screen of Xvfb; pictures are in {pictures}." if pictures else _IN_SESSION)
        program = directory / "installed/usr/bin/cortex-llm-applet"
        asyncio.run(_walk(screen, served, place, program, pictures))
    print("\nThe end. Only the pictures are left." if pictures else "\nThe end. Nothing is left behind.")
    return 0


_IN_SESSION = "They appear in your session: look at your panel. Models are simulated, the daemon is real."

if __name__ == "__main__":
    sys.exit(main())
