"""The applet under load: bursts, many signals, and a daemon that comes and goes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from cortexd.client import AsyncClient
from cortexd.domain.money import format_usd
from simulated import Behaviour
from tests.desktop.applet import Applet, applet
from tests.desktop.conftest import Router

REQUESTS = 200
A_SECOND = 4
MOST_PSS_MB = 25
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


async def day_in_words(client: AsyncClient) -> str:
    async with client.subscribe() as costs:
        return format_usd(round(costs.snapshot.day_usd * 1e9))


async def burst(client: AsyncClient, count: int) -> None:
    asked = [("user_chat", f"hello {number}") for number in range(count)]
    answers = await client.batch(asked, parallel=32)
    assert len(answers) == count


def of_kind(shown: Applet, member: str) -> int:
    return sum(heard.member == member for heard in shown.heard)


class TestBurst:
    async def test_right_at_the_end_and_few_redraws(self, installed: Path, session: str, router: Router) -> None:
        """After a burst of requests the label is right, and the panel was told no more than four times a second."""
        router.served.simulated.behave("claude", Behaviour(input_tokens=10, output_tokens=100))
        async with AsyncClient(router.address) as client, applet(installed, session, router.address) as shown:
            await shown.await_state("ok")
            before, began = (of_kind(shown, "NewToolTip"), of_kind(shown, "ItemsPropertiesUpdated")), time.monotonic()
            await burst(client, REQUESTS)
            await shown.await_label(await day_in_words(client))
            most = A_SECOND * (time.monotonic() - began) + 2
            assert 1 <= of_kind(shown, "NewToolTip") - before[0] <= most
            assert 1 <= of_kind(shown, "ItemsPropertiesUpdated") - before[1] <= most
            assert of_kind(shown, "LayoutUpdated") == 0

    async def test_memory(self, installed: Path, session: str, router: Router) -> None:
        """After that it holds less than 25 MB."""
        async with AsyncClient(router.address) as client, applet(installed, session, router.address) as shown:
            await burst(client, REQUESTS)
            await shown.await_label(await day_in_words(client))
            assert shown.pss_mb() < MOST_PSS_MB


class TestRestarts:
    @pytest.mark.parametrize("times", [3, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(400)])])
    async def test_right_after_each(self, installed: Path, session: str, router: Router, times: int) -> None:
        """The daemon is killed and started again and again: the applet follows each time, and starts it never."""
        async with AsyncClient(router.address) as client, applet(installed, session, router.address) as shown:
            for number in range(times):
                await shown.await_state("ok")
                if number % 10 == 0:
                    await client.complete("user_chat", f"hello {number}")
                    await shown.await_label(await day_in_words(client))
                router.served.stop(SIGNALS[number % 2])
                await shown.await_state("stale")
                router.assert_never_started_by_the_bus()
                router.served.start()
            await shown.await_state("ok")
            await shown.await_label(await day_in_words(client))
