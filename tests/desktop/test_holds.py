"""Being asked at one's own cap: buttons on a real server of notifications, the menu, and the pause."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.desktop.applet import PROPERTIES, Applet, applet, eventually
from tests.desktop.conftest import NEEDED_ON_SCREEN, Router, need
from tests.desktop.programs import chosen_button, desktop_environment, dunst
from tests.desktop.screen import screen
from tests.system.program import USAGE, Json, Program, Reply, dictionary

SERVER, SERVER_PATH = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
DUNST = "org.dunstproject.cmd0"
ROOM_NANO = 1_000_000  # less than the worst case of what is asked here
ANSWERS = ["Allow", "This once", "No"]


@dataclass(frozen=True, slots=True)
class Screenful:
    """The notifications on a screen, by dunst's own words."""

    session: str
    home: Path

    async def count(self, shown: Applet) -> int:
        [number] = await shown.call_on(SERVER, SERVER_PATH, PROPERTIES, "Get", "ss", DUNST, "displayedLength")
        return int(number)

    async def await_count(self, shown: Applet, count: int) -> None:
        await eventually(lambda: self.count(shown), lambda found: found == count, f"{count} notifications")

    def told(self, field: str) -> list[str]:
        """A field of each notification of a hold that was shown, in order."""
        log = (self.home / "dunst.log").read_text("utf-8", "replace")
        return list(re.findall(rf"\t{field}: '?(.*?)'?\n", log))

    async def press(self, shown: Applet, label: str) -> None:
        chosen_button(self.home).write_text(label)
        await self.call(shown, "ContextMenuCall")

    async def call(self, shown: Applet, member: str) -> None:
        await shown.call_on(SERVER, SERVER_PATH, DUNST, member, "")


@pytest.fixture(name="notifications")
def notifications_fixture(session: str, tmp_path: Path) -> Iterator[Screenful]:
    need(NEEDED_ON_SCREEN)
    with screen(tmp_path) as shown_on, dunst(tmp_path, desktop_environment(tmp_path, session, shown_on)):
        yield Screenful(session, tmp_path)


@pytest.fixture(name="person")
async def person_fixture(router: Router) -> AsyncIterator[Program]:
    """Who has used up the own cap but for a thousandth of a dollar."""
    async with await Program.open(router.address) as program:
        await set_own(program, day_usd="1000", at_limit="ask")
        spent = (await own_row(program))["spent_nano_usd"]
        await set_own(program, day_usd=f"{(spent + ROOM_NANO) / 1e9:.9f}")
        yield program
    if not router.served.running:
        router.served.start()
    async with await Program.open(router.address) as program:
        await set_own(program, remove=True)


async def set_own(program: Program, **budget: Any) -> None:
    await program.call(USAGE, "SetOwnBudget", "a{sv}", dictionary(budget))


async def own_row(program: Program) -> Json:
    [rows] = await program.call(USAGE, "GetBudget")
    [row] = [row for row in rows if row["scope"] == "own"]
    return dict(row)


async def hold(program: Program, requests: int = 1) -> Json:
    """The open question, once so many requests wait."""

    async def ask() -> list[Json]:
        [rows] = await program.call(USAGE, "ListHolds")
        return list(rows)

    [row] = await eventually(ask, lambda rows: [row["requests"] for row in rows] == [requests], "the question")
    return row


def asked(program: Program, prompt: str = "hello") -> asyncio.Task[Reply]:
    labels = {"app": "a <b>editor</b>"}
    return asyncio.create_task(
        program.complete("user_chat", prompt, max_tokens=1000, deadline_ms=60_000, labels=labels)
    )


async def await_labels(shown: Applet, *labels: str) -> None:
    await eventually(shown.labels, lambda found: set(labels) <= set(found), f"{labels} in the menu")


def usd(nano: int) -> str:
    return f"${nano / 1e9:.4f}" if nano < 10**9 else f"${nano / 1e9:.2f}"


class TestButtons:
    async def test_asks_once_as_it_grows_and_allows_what_the_button_says(
        self, installed: Path, notifications: Screenful, router: Router, person: Program
    ) -> None:
        """One notification that stays, with three buttons; further requests change it; a press allows the amount."""
        async with applet(installed, notifications.session, router.address) as shown:
            await shown.await_state("ok")
            first = asked(person)
            await notifications.await_count(shown, 1)
            second = asked(person, "and more")
            row = await hold(person, 2)
            question = f"2 requests may cost {usd(row['may_cost_nano_usd'])}. Go on?"
            allow = f"Allow {usd(row['more_nano_usd'])} more today"
            await await_labels(shown, question, allow, "This once", "No")
            await eventually(lambda: asyncio.sleep(0, notifications.told("summary")), lambda all: question in all, "")
            assert await shown.state() == "over"
            assert await notifications.count(shown) == 1
            await notifications.press(shown, allow)
            await asyncio.gather(first, second)
            await notifications.await_count(shown, 0)
            await eventually(shown.labels, lambda labels: "This once" not in labels, "a menu without the question")
