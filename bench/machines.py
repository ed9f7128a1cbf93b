"""Machines of a fleet, simulated: each a ledger of its own as a daemon has it, without a bus, on one database.

    python -m bench.machines DOCUMENT    a JSON object, see Wish; says "ready", begins with a line of standard input

Prints a JSON object: `pairs` (reserve and settle) that were done, `refused` reservations, `took_ms` of each pair.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cortexd.config.settings import LedgerSettings
from cortexd.domain.messages import Usage
from cortexd.ledger import AttemptRecord, Ledger, Limit, NewRequest, OverBudget, Period
from cortexd.ledger.keeping.machine import Machine

HELD, COST = 9_000, 5_000  # nano-dollars of a request
USERS = 4  # of each machine
_OPENED_AT_ONCE = 8
_WARM_UP = (1, 1, 4, 8, 8)  # pairs at a time
_ANSWER = AttemptRecord("claude", "claude-sonnet-5-5", "ok", COST, True, Usage(100, 20, 10, 0, 5), 900)


@dataclass(frozen=True)
class Wish:
    """`machines` numbers, `seconds` long. Either `wide` pairs at a time, whoever's turn it is, or `per_s` pairs begun
    a second, whether or not others have ended. `budget_nano`: of all machines together, None for no limit.

    `path`: a file in the place of a database at `url`, for one machine."""

    machines: list[int]
    seconds: float
    url: str = ""
    path: str = ""
    directory: str = ""
    wide: float = 0
    per_s: float = 0
    budget_nano: int | None = None


@dataclass
class Told:
    """`cpu_s`: of this process."""

    pairs: int = 0
    cpu_s: float = 0
    refused: int = 0
    took_ms: list[float] = field(default_factory=list)


class Fleet:
    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._told = Told()
        self._numbers = itertools.count(1)
        most = wish.budget_nano
        self._limits = () if most is None else (Limit("machine", "", Period.MONTH, most, None, marks=(most // 2,)),)
        self._ledgers: list[Ledger] = []

    async def run(self) -> Told:
        few = asyncio.Semaphore(_OPENED_AT_ONCE)
        self._ledgers = await asyncio.gather(*(self._opened(number, few) for number in self._wish.machines))
        await self._warm_up()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began = time.process_time()
        await (self._at_a_pace() if self._wish.per_s else self._as_fast_as_it_goes())
        self._told.cpu_s = time.process_time() - began
        await asyncio.gather(*(ledger.close() for ledger in self._ledgers))
        return self._told

    async def _opened(self, number: int, few: asyncio.Semaphore) -> Ledger:
        place = Path(self._wish.path or f"{self._wish.directory}/{number}/ledger.sqlite3")
        machine = Machine(sha256(f"bench {number}".encode()).hexdigest()[:32], f"machine{number}", time_zone="UTC")
        async with few:
            return await Ledger.open(LedgerSettings(path=place, url=self._wish.url), machine=machine)

    async def _warm_up(self) -> None:
        """Each machine asks for what it will: with its first requests its connection learns the statements."""
        for turn in range(len(self._ledgers)):
            for wide in _WARM_UP:
                await asyncio.gather(*(self._pair(turn, time.perf_counter()) for _ in range(wide)))
        self._told = Told()

    async def _as_fast_as_it_goes(self) -> None:
        end = time.perf_counter() + self._wish.seconds
        turns = itertools.cycle(range(len(self._ledgers)))

        async def go_on() -> None:
            while (now := time.perf_counter()) < end:
                await self._pair(next(turns), now)

        await asyncio.gather(*(go_on() for _ in range(int(self._wish.wide))))

    async def _at_a_pace(self) -> None:
        due, under_way = time.perf_counter(), set[asyncio.Task[None]]()
        end, turns = due + self._wish.seconds, itertools.cycle(range(len(self._ledgers)))
        while due < end:
            task = asyncio.ensure_future(self._pair(next(turns), due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            due += 1 / self._wish.per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await asyncio.gather(*under_way)

    async def _pair(self, turn: int, due: float) -> None:
        ledger, number, machine = self._ledgers[turn], next(self._numbers), self._wish.machines[turn]
        uid = 1000 + machine * USERS + number % USERS
        made = NewRequest(uid, f"u{uid}", f"m{machine}-{number}-{due}", False, b"\x07" * 32, "user_chat", _now())
        try:
            key = await ledger.reserve(made, HELD, self._limits)
        except OverBudget:
            self._told.refused += 1
            return
        await ledger.settle(key, "done", [_ANSWER])
        self._told.pairs += 1
        self._told.took_ms.append(1e3 * (time.perf_counter() - due))


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(Fleet(Wish(**json.loads(sys.argv[1]))).run()))))
