"""GNOME Shell's extension without a shell, with a real daemon: pictures, cancelling, and who is never started."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cortexd.client import AsyncClient
from cortexd.connection import Connection
from cortexd.domain.money import format_usd
from cortexd.errors import Cancelled
from simulated import Behaviour
from tests.desktop.conftest import Router, need
from tests.desktop.test_gnome_logic import DRIVERS
from tests.desktop.test_machine import SYSTEMD, Systemd
from tests.eventually import assert_eventually_async

DEAR = Behaviour(input_tokens=1_000, output_tokens=100)
DEAR_NANO = 1_000 * 2_000 + 100 * 10_000
REQUESTS, A_SECOND = 60, 4


@dataclass(slots=True)
class Shown:
    """What a panel would have drawn, the last picture last, and what a person does to it."""

    process: asyncio.subprocess.Process
    pictures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        return [entry["label"] for entry in self.pictures[-1]["menu"] if entry["visible"] and entry["label"]]

    def do(self, **deed: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(deed).encode() + b"\n")

    def click(self, start: str) -> None:
        """On the entry that begins so: a request's model may be known a moment later."""
        [id] = [entry["id"] for entry in self.pictures[-1]["menu"] if entry["label"].startswith(start)]
        self.do(click=id)

    async def until(self, key: str, value: Any) -> None:
        await assert_eventually_async(lambda: self.pictures[-1][key] == value, 20, f"{key} to be {value}")

    async def until_said(self, label: str) -> None:
        await assert_eventually_async(lambda: label in self.labels, 20, f"{label!r} in the menu")

    async def until_gone(self, label: str) -> None:
        await assert_eventually_async(lambda: label not in self.labels, 20, f"a menu without {label!r}")

    async def read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            self.pictures.append(json.loads(line))


@pytest.fixture(name="shown")
async def shown_fixture(router: Router) -> AsyncIterator[Shown]:
    need({"gjs": "gjs"})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "gjs", "-m", DRIVERS / "follow.js", router.address, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 20
    )
    shown = Shown(process)
    reading = asyncio.create_task(shown.read())
    assert process.stdin
    assert process.stderr
    try:
        await assert_eventually_async(lambda: bool(shown.pictures), 20, "a picture")
        yield shown
    finally:
        process.stdin.close()
        complaints = await process.stderr.read()
        status = await process.wait()
        await reading
    assert (status, complaints) == (0, b"")


class TestFollowing:
    async def test_a_cost_shows_as_it_is_settled(self, shown: Shown, router: Router) -> None:
        """Label and menu have today's sum after a request, with what it was for and what it cost."""
        router.served.simulated.behave("claude", DEAR)
        async with AsyncClient(router.address) as client:
            answer = await client.complete("user_chat", "hello")
            async with client.subscribe() as costs:
                sum_usd = format_usd(round(costs.snapshot.day_usd * 1e9))
        await shown.until("label", sum_usd)
        await shown.until("state", "ok")
        assert f"user_chat   {answer.model}   {format_usd(DEAR_NANO)}" in shown.labels

    async def test_click_cancels(self, shown: Shown, router: Router) -> None:
        """A request under way stands in the menu; a click ends it for whoever waits for it."""
        router.served.simulated.behave("claude", Behaviour(delay_s=60))
        async with AsyncClient(router.address) as client:
            waiting = asyncio.create_task(client.complete("user_chat", "hello"))
            entry = "Cancel user_chat"
            await assert_eventually_async(
                lambda: any(label.startswith(entry) for label in shown.labels), 20, "the request"
            )
            shown.do(menu=True)
            shown.click(entry)
            with pytest.raises(Cancelled):
                await waiting
            await shown.until_said("Ended: user_chat")
            shown.do(menu=False)
            await shown.until_gone("Ended: user_chat")

    async def test_daemon_that_comes_and_goes(self, shown: Shown, router: Router) -> None:
        """It says so each time, keeps the sum, and makes nobody start it."""
        for number in (signal.SIGKILL, signal.SIGTERM):
            await shown.until("state", "ok")
            label = shown.pictures[-1]["label"]
            router.served.stop(number)
            await shown.until("state", "stale")
            assert shown.pictures[-1]["label"] == label
            router.assert_never_started_by_the_bus()
            router.served.start()
        await shown.until("state", "ok")

    async def test_budget(self, shown: Shown, router: Router) -> None:
        """The daemon's own thresholds make the states; of a new limit no signal tells, so the opened menu asks."""
        router.served.simulated.behave("claude", Behaviour(input_tokens=10, output_tokens=20_000))  # $0.20
        async with AsyncClient(router.address) as client:
            await client.set_budget("each_user", day_usd=0.25)
            await client.complete("user_chat", "hello", max_tokens=20_000)
            await shown.until("state", "warn")
            await client.set_budget("each_user", day_usd=0.1)
            shown.do(menu=True)
            await shown.until("state", "over")
            await client.set_budget("each_user", remove=True)
            shown.do(menu=True)
            await shown.until("state", "ok")

    async def test_absence_with_its_next_step(self, shown: Shown, router: Router) -> None:
        """Why the daemon is away is told as systemd says it."""
        async with await Connection.open(router.address) as connection:
            systemd = Systemd(connection)
            await connection.request_name(SYSTEMD)
            await shown.until("state", "ok")
            router.served.stop()
            await shown.until_said("cortexd does not run now.")
            systemd.tell(ActiveState="activating", SubState="auto-restart", NRestarts=2)
            await shown.until_said("cortexd fails and is started again and again.")
            systemd.reload(LoadState="masked", ActiveState="inactive")
            await shown.until_said("An administrator has switched cortexd off.")
            await shown.until("state", "error")
            router.served.start()
            await shown.until("state", "ok")

    async def test_burst(self, shown: Shown, router: Router) -> None:
        """Of many requests at once the last picture is right, and there are few."""
        async with AsyncClient(router.address) as client:
            await shown.until("state", "ok")
            before, loop = len(shown.pictures), asyncio.get_running_loop()
            began = loop.time()
            await client.batch([("user_chat", f"hello {number}") for number in range(REQUESTS)], parallel=16)
            async with client.subscribe() as costs:
                await shown.until("label", format_usd(round(costs.snapshot.day_usd * 1e9)))
        assert 1 <= len(shown.pictures) - before <= A_SECOND * (loop.time() - began) + 2
