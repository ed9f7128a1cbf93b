"""The desktop applet: from a cost to the panel, under a burst, over many signals, at rest, and after restarts."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.figures import Case, Figure, Values
from bench.lab import CHECKOUT, Lab
from bench.processes import CannotMeasure, Child, pss_mb
from cortexd.client import AsyncClient, CostEvent
from cortexd.connection import Connection, Message, system_address, wire

_DEADLINE_S = 30.0
_TOTALS_S = 90.0
_BURST, _BATCH = 200, 1_000
StartDaemon = Callable[[], AbstractContextManager[Child]]
_OWNER = f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{wire.BUS_NAME}'"


class Panel:
    """What a panel on the session bus hears of the applet: when, and which signal."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.heard: list[tuple[float, str]] = []
        self._news = asyncio.Event()
        connection.on_signal = self._hear

    async def listen(self) -> None:
        for path in ("/StatusNotifierItem", "/MenuBar"):
            await self._connection.add_match(f"type='signal',path='{path}'")

    async def next(self, member: str, since: float) -> float:
        """When the first such signal at or after `since` came."""
        async with asyncio.timeout(_DEADLINE_S):
            while True:
                self._news.clear()
                for at, name in self.heard:
                    if name == member and at >= since:
                        return at
                await self._news.wait()

    async def quiet(self, seconds: float = 1.5) -> None:
        """Until nothing has been told for so long."""
        while self.heard and time.monotonic() - self.heard[-1][0] < seconds:
            await asyncio.sleep(seconds)

    def most_a_second(self, member: str, since: float) -> int:
        times = [at for at, name in self.heard if name == member and at >= since]
        return max((sum(begin <= at < begin + 1 for at in times) for begin in times), default=0)

    def _hear(self, message: Message) -> None:
        self.heard.append((time.monotonic(), message.member))
        self._news.set()


def run(lab: Lab) -> Values:
    if not shutil.which("msgfmt") or not Path("/usr/lib/python3/dist-packages/gi").is_dir():
        raise CannotMeasure("needs the packages gettext and python3-gi: script/bootstrap --tests installs them")
    with tempfile.TemporaryDirectory() as place, session_bus(lab) as session:
        subprocess.run([CHECKOUT / "desktop/install", place], check=True, timeout=60)
        with lab.upstream() as upstream, lab.made_ledger(upstream) as ledger:
            environ = {"DBUS_SESSION_BUS_ADDRESS": session, "DBUS_SYSTEM_BUS_ADDRESS": system_address()}
            program = Path(place) / "usr/bin/cortex-llm-applet"
            with lab.running([program], "applet", environ=environ) as applet:

                @contextmanager
                def daemon() -> Iterator[Child]:
                    with lab.daemon(upstream, ledger) as child:
                        lab.wait_for(child)
                        yield child

                return asyncio.run(_measured(lab, applet, session, daemon))


@contextmanager
def session_bus(lab: Lab) -> Iterator[str]:
    command = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address"]
    with lab.running(command, "session-bus", talks=True) as bus:
        yield bus.stdout.readline().strip()


async def _measured(lab: Lab, applet: Child, session: str, daemon: StartDaemon) -> Values:
    async with await Connection.open(session) as connection:
        panel = Panel(connection)
        await panel.listen()
        with daemon():
            async with AsyncClient() as client:
                await client.complete("user_chat", "hello")
                latency_ms = await _latencies(panel, client, 10 if lab.quick else 60)
                redraws = await _burst(panel, client)
                grown_kb = await _growth(panel, client, applet, 1_000 if lab.quick else 10_000)
                await panel.quiet()
                if not lab.quick:
                    await _totals_told()
                woken = await _woken(applet, 10 if lab.quick else 60)
                held_mb = pss_mb(applet.pid)
        back_ms = await _restarts(panel, daemon, 5 if lab.quick else 50)
    return {
        "applet.label_p95_ms": statistics.quantiles(latency_ms, n=20)[-1],
        "applet.redraws_a_second": redraws,
        "applet.grown_kb": grown_kb,
        "applet.wakes": woken,
        "applet.pss_mb": held_mb,
        "applet.back_ms": max(back_ms),
    }


async def _latencies(panel: Panel, client: AsyncClient, times: int) -> list[float]:
    """From the signal's arrival at a program to the applet's own to the panel, while nothing else happens."""
    found = []
    async with client.subscribe() as costs:
        for number in range(times):
            await panel.quiet(0.6)
            answer = asyncio.create_task(client.complete("user_chat", f"hello {number}"))
            while not isinstance(await costs.next_event(), CostEvent):
                pass
            came = time.monotonic()
            told = await panel.next("XAyatanaNewLabel", came - 0.05)  # it may hear of the cost first
            found.append(max(0.0, 1e3 * (told - came)))
            await answer
    return found


async def _burst(panel: Panel, client: AsyncClient) -> int:
    """Of so many requests at once: the most redraws in one second."""
    await panel.quiet(0.6)
    began = time.monotonic()
    await client.batch([("user_chat", f"burst {number}") for number in range(_BURST)], parallel=32)
    await panel.quiet()
    return panel.most_a_second("NewToolTip", began)


async def _growth(panel: Panel, client: AsyncClient, applet: Child, signals: int) -> float:
    """Memory added by so many costs, after as many as a batch have been heard."""
    await _spend(client, _BATCH)
    await panel.quiet()
    before = pss_mb(applet.pid)
    await _spend(client, signals)
    await panel.quiet()
    return 1024 * (pss_mb(applet.pid) - before)


async def _spend(client: AsyncClient, requests: int) -> None:
    for first in range(0, requests, _BATCH):
        asked = [("user_chat", f"many {number}") for number in range(first, min(first + _BATCH, requests))]
        await client.batch(asked, parallel=32)


async def _totals_told() -> None:
    """Until the daemon has told everybody the totals, once, which it does within a minute of the last request."""
    told = asyncio.Event()
    async with await Connection.open(system_address()) as bus:
        bus.on_signal = lambda message: told.set() if message.member == "TotalsChanged" else None
        await bus.add_match(f"type='signal',interface='{wire.INTERFACE}',member='TotalsChanged'")
        async with asyncio.timeout(_TOTALS_S):
            await told.wait()


async def _woken(applet: Child, seconds: float) -> int:
    """How often a thread of it was put on a processor."""
    before = _switches(applet.pid)
    await asyncio.sleep(seconds)
    return _switches(applet.pid) - before


def _switches(pid: int) -> int:
    lines = [
        line for task in Path(f"/proc/{pid}/task").iterdir() for line in (task / "status").read_text().splitlines()
    ]
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


async def _restarts(panel: Panel, daemon: StartDaemon, times: int) -> list[float]:
    """From the daemon's name on the bus to an icon that says so."""
    came: list[float] = []

    def owner_changed(message: Message) -> None:
        if message.member == "NameOwnerChanged" and message.body[2]:
            came.append(time.monotonic())

    found = []
    async with await Connection.open(system_address()) as bus:
        bus.on_signal = owner_changed
        await bus.add_match(_OWNER)
        for number in range(times):
            began = time.monotonic()
            await asyncio.to_thread(_start_and_hold, daemon, panel, asyncio.get_running_loop(), began)
            assert len(came) == number + 1
            found.append(1e3 * (await panel.next("NewIcon", came[-1] - 0.05) - came[-1]))
            await panel.quiet(0.6)
    return found


def _start_and_hold(daemon: StartDaemon, panel: Panel, loop: asyncio.AbstractEventLoop, began: float) -> None:
    with daemon():
        asyncio.run_coroutine_threadsafe(panel.next("NewIcon", began), loop).result(_DEADLINE_S)


CASE = Case(
    name="applet",
    summary="the desktop applet: from a cost to the panel, bursts, memory, wake-ups, restarts",
    figures=(
        Figure("applet.label_p95_ms", "ms", "from a cost's signal to the panel's, p95", at_most=100),
        Figure("applet.redraws_a_second", "/s", "redraws in the busiest second of 200 requests at once", at_most=4),
        Figure("applet.grown_kb", "KB", "memory added by 10,000 costs", at_most=512),
        Figure("applet.wakes", "", "wake-ups in 60 s of quiet", at_most=0),
        Figure("applet.pss_mb", "MB", "its memory after all that (PSS)", at_most=25),
        Figure("applet.back_ms", "ms", "from the daemon's return to the panel, the slowest of 50", at_most=1_000),
    ),
    run=run,
)
