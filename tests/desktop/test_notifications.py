"""Notifications on a real server of them: a threshold once, also with two applets, a provider that is down and back."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from cortexd.client import AsyncClient
from simulated import Behaviour
from tests.desktop.applet import Applet, applet, eventually
from tests.desktop.conftest import Desktop, Router

NANO_A_TOKEN = 10_000  # of claude's answers
FIRST_TOKENS = 20_000


def told(desktop: Desktop) -> list[str]:
    """The summaries of our notifications that were shown, in order."""
    found = re.findall(r"summary: '(.*)'", desktop.notifications.read_text("utf-8", "replace"))
    return [summary for summary in found if "budget" in summary or "claude" in summary]


async def await_told(desktop: Desktop, *summaries: str) -> None:
    async def ask() -> list[str]:
        return told(desktop)

    await eventually(ask, lambda found: found == list(summaries), f"the notifications {summaries}")


async def spend(router: Router, client: AsyncClient, tokens: int, *applets: Applet) -> None:
    """One request with so long an answer; returns when each applet has drawn the new sum."""
    before = [await one.label() for one in applets]
    router.served.simulated.behave("claude", Behaviour(input_tokens=0, output_tokens=tokens))
    await client.complete("user_chat", "hello", max_tokens=tokens)
    for one, label in zip(applets, before, strict=True):
        await drawn(one, label)


async def drawn(shown: Applet, before: str) -> None:
    await eventually(shown.label, lambda label: label not in (before, "—"), "a new sum")


class TestThresholds:
    async def test_once_with_two_applets(self, installed: Path, desktop: Desktop, router: Router) -> None:
        """Two applets hear of each threshold, one tells it, and goes on when the other has left."""
        async with (
            AsyncClient(router.address) as client,
            AsyncExitStack() as stack,
            applet(installed, desktop.session, router.address) as speaks,
        ):
            other = await stack.enter_async_context(applet(installed, desktop.session, router.address))
            for one in (speaks, other):
                await drawn(one, "")
            async with client.subscribe() as costs:
                spent_nano = round(costs.snapshot.day_usd * 1e9)
            half_nano = spent_nano + FIRST_TOKENS * NANO_A_TOKEN
            await client.set_budget("each_user", day_usd=2 * half_nano / 1e9)
            try:
                await spend(router, client, FIRST_TOKENS, speaks, other)
                await await_told(desktop, "50% of today's budget is used")
                await stack.aclose()
                await spend(router, client, -(-6 * half_nano // 10 // NANO_A_TOKEN), speaks)
                await speaks.await_state("warn")
                await spend(router, client, 1, speaks)
                await await_told(desktop, "50% of today's budget is used", "80% of today's budget is used")
            finally:
                await client.set_budget("each_user", remove=True)

    async def test_the_other_speaks_when_the_first_has_left(
        self, installed: Path, desktop: Desktop, router: Router
    ) -> None:
        """The name on the session bus goes to the next applet, and with it the say."""
        async with AsyncClient(router.address) as client, AsyncExitStack() as stack:
            await stack.enter_async_context(applet(installed, desktop.session, router.address))
            async with applet(installed, desktop.session, router.address) as other:
                await drawn(other, "")
                await stack.aclose()
                async with client.subscribe() as costs:
                    spent_nano = round(costs.snapshot.day_usd * 1e9)
                half_nano = spent_nano + FIRST_TOKENS * NANO_A_TOKEN
                await client.set_budget("each_user", day_usd=2 * half_nano / 1e9)
                try:
                    await spend(router, client, FIRST_TOKENS, other)
                    await await_told(desktop, "50% of today's budget is used")
                finally:
                    await client.set_budget("each_user", remove=True)


@pytest.mark.slow
class TestOutage:
    @pytest.mark.timeout(200)
    async def test_down_for_a_minute_and_back(self, installed: Path, desktop: Desktop, router: Router) -> None:
        """A provider that refuses its key for over a minute is told of once, and its return once."""
        async with AsyncClient(router.address) as client, applet(installed, desktop.session, router.address) as shown:
            await drawn(shown, "")
            router.served.simulated.behave("claude", Behaviour(status=401))
            await client.complete("user_chat", "hello")
            await told_within_minutes(desktop, 1)
            await await_told(desktop, "claude has been down for over a minute")
            router.served.simulated.reset("claude")
            await client.complete("user_chat", "hello again", provider="claude")
            await client.complete("user_chat", "and again")
            await await_told(desktop, "claude has been down for over a minute", "claude is back")


async def told_within_minutes(desktop: Desktop, count: int) -> None:
    async with asyncio.timeout(150):
        while len(told(desktop)) < count:
            await asyncio.sleep(0.1)
