"""Being asked at one's own cap: buttons on a real server of notifications, the menu, and the pause."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from dbus_next import Variant

from cortexd.domain.money import format_usd
from cortexd.errors import BudgetExceeded
from tests.desktop.applet import PROPERTIES, Applet, applet, eventually
from tests.desktop.conftest import NEEDED_ON_SCREEN, Router, need
from tests.desktop.programs import chosen_button, desktop_environment, dunst, running
from tests.desktop.screen import screen
from tests.system.program import USAGE, Json, Program, Reply, dictionary, refused

SERVER, SERVER_PATH = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
DUNST = "org.dunstproject.cmd0"
ROOM_NANO = 1_000_000  # less than the worst case of what is asked here


@dataclass(frozen=True, slots=True)
class Screenful:
    """The notifications on a screen, by dunst's own words."""

    session: str
    home: Path

    async def count(self, shown: Applet) -> int:
        [number] = await shown.call_on(SERVER, SERVER_PATH, PROPERTIES, "Get", "ss", DUNST, "displayedLength")
        return int(number)

    async def await_told(self, field: str, value: str) -> None:
        await eventually(lambda: awaitable(self.told(field)), lambda found: value in found, f"{field} {value}")

    async def await_count(self, shown: Applet, count: int) -> None:
        await eventually(lambda: self.count(shown), lambda found: found == count, f"{count} notifications")

    def told(self, field: str) -> list[str]:
        """A field of each notification of a hold that was shown, in order."""
        log = (self.home / "dunst.log").read_text("utf-8", "replace")
        return list(re.findall(rf"\t{field}: '?(.*?)'?\n", log))

    async def press(self, shown: Applet, label: str) -> None:
        chosen_button(self.home).write_text(label)
        await shown.call_on(SERVER, SERVER_PATH, DUNST, "ContextMenuCall", "")

    async def dismiss(self, shown: Applet) -> None:
        await shown.call_on(SERVER, SERVER_PATH, DUNST, "NotificationCloseAll", "")


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
        if router.served.running:
            await set_own(program, remove=True)


async def set_own(program: Program, **budget: Any) -> None:
    await program.call(USAGE, "SetOwnBudget", "a{sv}", dictionary(budget))


async def budgets(program: Program) -> list[Json]:
    [rows] = await program.call(USAGE, "GetBudget")
    return list(rows)


async def own_row(program: Program) -> Json:
    [row] = [row for row in await budgets(program) if row["scope"] == "own"]
    return row


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


async def awaitable(found: list[str]) -> list[str]:
    return found


class TestButtons:
    async def test_asks_once_as_it_grows_and_allows_what_the_button_says(
        self, installed: Path, notifications: Screenful, router: Router, person: Program
    ) -> None:
        """One notification that stays, with three buttons; further requests change it; a press allows the amount."""
        async with applet(installed, notifications.session, router.address) as shown:
            first = asked(person)
            await notifications.await_count(shown, 1)
            second = asked(person, "and more")
            row = await hold(person, 2)
            question = f"2 requests may cost {format_usd(row['may_cost_nano_usd'])}. Go on?"
            allow = f"Allow {format_usd(row['more_nano_usd'])} more today"
            await notifications.await_told("summary", question)
            await await_labels(shown, question, allow, "This once", "No")
            assert await shown.state() == "over"
            assert await notifications.count(shown) == 1
            assert set(notifications.told("timeout")) == {"0"}
            assert set(notifications.told("urgency")) == {"CRITICAL"}
            used = await own_row(person)
            await notifications.press(shown, allow)
            await asyncio.gather(first, second)
            raised = used["spent_nano_usd"] + used["reserved_nano_usd"] + row["more_nano_usd"]
            assert (await own_row(person))["limit_nano_usd"] == raised
            await notifications.await_count(shown, 0)
            await eventually(shown.labels, lambda labels: "This once" not in labels, "a menu without the question")

    async def test_one_of_two_applets_asks(
        self, installed: Path, notifications: Screenful, router: Router, person: Program
    ) -> None:
        """One that begins later knows of the question, and asks it when the first has left; a no is for both."""
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(applet(installed, notifications.session, router.address))
            request = asked(person)
            await notifications.await_count(first, 1)
            async with applet(installed, notifications.session, router.address) as other:
                await await_labels(other, "No")
                assert await notifications.count(other) == 1
                await stack.aclose()
                await eventually(
                    lambda: awaitable(notifications.told("summary")), lambda found: len(found) == 2, "the other's"
                )
                await notifications.await_count(other, 1)
                await notifications.press(other, "No")
                with refused("BudgetExceeded") as text:
                    await request
                assert BudgetExceeded.from_text(text[0]).details["answer"] == "refuse"
                await notifications.await_count(other, 0)
                await eventually(other.labels, lambda labels: "No" not in labels, "a menu without the question")

    async def test_closing_it_is_no_answer(
        self, installed: Path, notifications: Screenful, router: Router, person: Program
    ) -> None:
        """Who closes it is asked in the menu still, where a click answers; an answer from elsewhere closes the next."""
        async with applet(installed, notifications.session, router.address) as shown:
            request = asked(person)
            await notifications.await_count(shown, 1)
            await notifications.dismiss(shown)
            await notifications.await_count(shown, 0)
            assert (await hold(person))["requests"] == 1
            await shown.show_menu()
            await shown.click("This once")
            await request
            await shown.event(0, "closed")
            request = asked(person, "again")
            await notifications.await_count(shown, 1)
            await person.call(USAGE, "AnswerHold", "ssa{sv}", (await hold(person))["hold_id"], "once", {})
            await request
            await notifications.await_count(shown, 0)


class TestPause:
    async def test_from_the_menu(self, installed: Path, session: str, router: Router, person: Program) -> None:
        """An hour in which nothing may cost anything; tooltip and entry say until when, and the entry ends it."""
        async with applet(installed, session, router.address) as shown:
            await set_own(person, day_usd="1000")
            await shown.await_state("ok")
            await shown.click("Pause my spending for an hour")
            ends = await eventually(lambda: ends_in_menu(shown), bool, "the end of the pause")
            [row] = [row for row in await budgets(person) if row["scope"] == "pause"]
            until = datetime.fromisoformat(row["resets_at"])
            today = datetime.now().astimezone().date()
            day = "" if until.date() == today else f"{until:%Y-%m-%d} "  # late in the evening
            assert ends == [f"End the pause (until {day}{until:%H:%M})"]
            await eventually(lambda: tooltip(shown), lambda text: "is paused until" in text, "the pause in the tooltip")
            assert await shown.state() == "ok"
            with refused("BudgetExceeded") as text:
                await asked(person)
            assert BudgetExceeded.from_text(text[0]).details["cause"] == "paused"
            await shown.click(ends[0])
            await await_labels(shown, "Pause my spending for an hour")
            assert "pause" not in [row["scope"] for row in await budgets(person)]

    async def test_ends_by_itself(self, installed: Path, session: str, router: Router, person: Program) -> None:
        """Nobody tells of it, and nobody has to ask."""
        await set_own(person, pause_s=Variant("x", 2))
        async with applet(installed, session, router.address) as shown:
            await eventually(lambda: ends_in_menu(shown), bool, "the pause")
            await await_labels(shown, "Pause my spending for an hour")


async def tooltip(shown: Applet) -> str:
    return str((await shown.properties())["ToolTip"][3])


async def ends_in_menu(shown: Applet) -> list[str]:
    return [label for label in await shown.labels() if label.startswith("End the pause")]


class TestWithoutButtons:
    async def test_says_what_to_type(
        self, installed: Path, session: str, router: Router, person: Program, tmp_path: Path
    ) -> None:
        """A server that cannot show buttons gets none; nor does a program's name for itself become markup. The question
        ends with the router."""
        log = tmp_path / "notifications"

        async def calls() -> list[list[Any]]:
            return [json.loads(line) for line in log.read_text().splitlines()]

        program = ["/usr/bin/python3", str(Path(__file__).with_name("plain_notifications.py"))]
        with running(program, {"DBUS_SESSION_BUS_ADDRESS": session}, log):
            async with applet(installed, session, router.address):
                request = asked(person)
                await eventually(calls, lambda found: "Notify" in [call[0] for call in found], "the notification")
                [[_, _, replaced, _, summary, body, buttons, hints, timeout]] = [
                    call for call in await calls() if call[0] == "Notify"
                ]
                assert (replaced, buttons, hints["urgency"], timeout) == (0, [], 2, 0)
                assert summary.startswith("a <b>editor</b> (user_chat) may cost ")
                assert body.splitlines()[-1].startswith("Answer in a terminal: cortexctl budget answer today")
                router.served.stop()
                with refused("ShuttingDown"):
                    await request
                await eventually(calls, lambda found: ["CloseNotification", 7] in found, "its end")
