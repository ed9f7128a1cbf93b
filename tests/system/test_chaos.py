"""Four endpoints of one provider at a hundred requests a second, while one dies, one hangs, one is ten times slower
and one says 429, all at once in the middle: no caller notices, and the books are even."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from simulated import Behaviour, ControlClient, Fault
from simulated.billing import Bill
from tests.eventually import assert_eventually
from tests.system.books import read_books
from tests.system.daemon import Daemon
from tests.system.program import Program

PER_S, SECONDS = 100, 60
RECOVERY_S = 5
# when each begins to fail, in seconds; all are mended at HEALED
DIES, HANGS, SLOWS, LIMITED, HEALED = 10, 15, 20, 25, 35
NAMES = ("dying", "hanging", "slow", "limited")
PROGRAMS = 4  # the bus grants each 128 pending replies
WELL = Behaviour(delay_s=0.04)
KEY = "sk-sim-office-of-the-tests"
CONFIG = """
[daemon]
preload_sdks = true
log_requests = false
[limits]
max_active_requests_per_user = 500
[routing]
fallback = false
[routing.table]
user_chat = "office"
[providers.office]
api = "openai"
model = "kimi-k2.6"
max_tokens = 200
rate = { input_usd_per_million = "0.95", output_usd_per_million = "4" }
"""


class Endpoint:
    """A simulated server in a process of its own, which can be killed and comes back at the same address."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._billed = Bill()
        self.port = 0
        self.start()

    def start(self) -> None:
        port_file = self._directory / f"port-of-{self.name}"
        port_file.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "simulated", "--port-file", str(port_file), "--port", str(self.port)]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        assert_eventually(port_file.exists, 30, f"{self.name} to listen")
        self.port = int(port_file.read_text())
        self.control = ControlClient(f"http://127.0.0.1:{self.port}")
        self.behave(WELL)

    def kill(self) -> None:
        """What it has billed until a moment before is not lost."""
        assert self._process is not None
        self._billed = self.control.billed(self.name)
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def behave(self, behaviour: Behaviour) -> None:
        self.control.behave(self.name, behaviour)

    @property
    def url(self) -> str:
        return self.control.url(self.name)

    def answered(self) -> int:
        return self.control.counts(self.name).answered

    @property
    def billed_nano(self) -> int:
        return self._billed.nano + self.control.billed(self.name).nano


@pytest.fixture
def endpoints(namespace: Path) -> Iterator[dict[str, Endpoint]]:
    made = {name: Endpoint(namespace, name) for name in NAMES}
    yield made
    for endpoint in made.values():
        endpoint.stop()


@dataclass
class Load:
    """Requests at their times, whether earlier ones are answered or not. `took_s`: by the second in which each was
    asked; `failed`: what callers saw."""

    programs: list[Program]
    asked: int = 0
    took_s: list[tuple[float, float]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    providers: set[str] = field(default_factory=set)

    async def run(self) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(PER_S * SECONDS):
                await asyncio.sleep(max(0.0, began + number / PER_S - time.monotonic()))
                self.asked = number + 1
                group.create_task(self._ask(number, number / PER_S))

    async def _ask(self, number: int, at_s: float) -> None:
        program = self.programs[number % len(self.programs)]
        began = time.monotonic()
        try:
            reply = await program.complete("user_chat", f"request {number}")
        except Exception as error:
            self.failed.append(f"at {at_s:.1f} s: {error!r}")
        else:
            self.providers |= {attempt[0] for attempt in reply.attempts}
            self.took_s.append((at_s, time.monotonic() - began))

    async def reached(self, seconds: float) -> None:
        """Until so many seconds' requests have been asked."""
        while self.asked < seconds * PER_S:
            await asyncio.sleep(0.01)

    def p99_ms(self, begin_s: float, end_s: float) -> float:
        took = sorted(took for at, took in self.took_s if begin_s <= at < end_s)
        return took[len(took) * 99 // 100] * 1000


async def chaos(load: Load, endpoints: dict[str, Endpoint]) -> dict[str, int]:
    """Break and mend; after how many further requests each endpoint had answered one again."""
    steps: list[tuple[int, Callable[[], None]]] = [
        (DIES, endpoints["dying"].kill),
        (HANGS, lambda: endpoints["hanging"].behave(Behaviour(fault=Fault.HANG))),
        (SLOWS, lambda: endpoints["slow"].behave(Behaviour(delay_s=10 * WELL.delay_s))),
        (LIMITED, lambda: endpoints["limited"].behave(Behaviour(status=429, retry_after="1"))),
        (HEALED, lambda: _heal(endpoints)),
    ]
    for seconds, step in steps:
        await load.reached(seconds)
        await asyncio.to_thread(step)
    return await _recovery(load, endpoints)


def _heal(endpoints: dict[str, Endpoint]) -> None:
    endpoints["dying"].start()
    for endpoint in endpoints.values():
        endpoint.behave(WELL)


async def _recovery(load: Load, endpoints: dict[str, Endpoint]) -> dict[str, int]:
    mended_at = load.asked
    before = {name: await asyncio.to_thread(one.answered) for name, one in endpoints.items()}
    found: dict[str, int] = {}
    while len(found) < len(endpoints) and load.asked < PER_S * SECONDS:
        for name, endpoint in endpoints.items():
            if name not in found and await asyncio.to_thread(endpoint.answered) > before[name]:
                found[name] = load.asked - mended_at
        await asyncio.sleep(0.05)
    return found


@pytest.mark.slow
class TestChaos:
    async def test_no_caller_notices(
        self, daemon: Callable[..., Daemon], endpoints: dict[str, Endpoint], record_property: Callable[[str, Any], None]
    ) -> None:
        """Six thousand requests are all answered by the one provider; each endpoint answers again within five seconds'
        requests after it is mended; every try is in the books, and what the endpoints would bill is covered."""
        replicas = "".join(f'[[providers.office.replicas]]\nbase_url = "{one.url}"\n' for one in endpoints.values())
        running = daemon(CONFIG + replicas, keys={"office": KEY})
        async with AsyncExitStack() as stack:
            programs = [await stack.enter_async_context(await Program.open()) for _ in range(PROGRAMS)]
            await programs[0].complete("user_chat", "warm up")
            load = Load(programs)
            _, recovered = await asyncio.gather(load.run(), chaos(load, endpoints))

        figures = {
            "p99 while all are well": f"{load.p99_ms(0, DIES):.0f} ms",
            "p99 while they fail": f"{load.p99_ms(DIES, HEALED):.0f} ms",
            "p99 once they are mended": f"{load.p99_ms(HEALED + RECOVERY_S, SECONDS):.0f} ms",
            "added p99": f"{load.p99_ms(DIES, HEALED) - load.p99_ms(0, DIES):.0f} ms",
            "slowest": f"{max(took for _, took in load.took_s) * 1000:.0f} ms",
            "back after": ", ".join(f"{name} {number / PER_S:.1f} s" for name, number in recovered.items()),
        }
        print("".join(f"\n{name}: {value}" for name, value in figures.items()))
        for name, value in figures.items():
            record_property(name, value)

        assert not load.failed, f"{len(load.failed)} failed, the first {load.failed[0]}"
        assert (len(load.took_s), load.providers) == (PER_S * SECONDS, {"office"})
        assert recovered.keys() == endpoints.keys()
        assert max(recovered.values()) <= RECOVERY_S * PER_S, recovered

        books = read_books(running.ledger_file)
        books.assert_balanced()
        answered = [row for row in books.attempts if row["outcome"] == "ok"]
        assert len(answered) == len(books.rows) == PER_S * SECONDS + 1
        assert all(row["cost_known"] for row in answered)
        lost = [row for row in books.attempts if row["outcome"] != "ok"]
        print(f"tries that were lost and booked at their most: {len(lost)}")
        assert all(not row["cost_known"] and row["cost_nano"] > 0 for row in lost)
        assert books.charged_nano >= sum(one.billed_nano for one in endpoints.values())
