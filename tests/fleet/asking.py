"""The fleet's callers: many at once on every host's bus, each request under an id of its own."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from cortexd.connection import BusException
from tests.fleet.host import Host
from tests.system.program import Program

_PER_CONNECTION = 100  # the bus grants each 128 pending replies
_EVERY_FREE = 8  # of so many requests one asks the model that costs nothing
_PATIENCE_S = 60


@dataclass
class Asked:
    """`answered`: ids of requests whose caller has an answer, by the model; `ended`: how the others ended."""

    answered: dict[str, str] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    number: int = 0

    async def at_once(self, hosts: Sequence[Host], requests: int) -> None:
        """So many on all of them together, all at the same time."""
        each = requests // len(hosts)
        async with asyncio.TaskGroup() as group:
            for host in hosts:
                for start in range(0, each, _PER_CONNECTION):
                    group.create_task(self._ask(host, min(_PER_CONNECTION, each - start)))

    async def until(self, over: asyncio.Event, hosts: Sequence[Host], per_s: float) -> None:
        """At random, whether earlier ones are answered or not."""
        async with asyncio.TaskGroup() as group:
            while not over.is_set():
                group.create_task(self._ask(random.choice(hosts), 5))
                await asyncio.sleep(5 / per_s)

    async def _ask(self, host: Host, requests: int) -> None:
        numbers = range(self.number, self.number + requests)
        self.number += requests
        try:
            async with AsyncExitStack() as stack, asyncio.timeout(_PATIENCE_S):
                program = await stack.enter_async_context(await Program.open(host.address))
                await asyncio.gather(*(self._one(program, number) for number in numbers))
        except (OSError, BusException, TimeoutError) as error:
            self.ended[type(error).__name__] += 1

    async def _one(self, program: Program, number: int) -> None:
        name, model = f"r{number}", "paid" if number % _EVERY_FREE else "free"
        try:
            await program.complete("user_chat", name, provider=model, request_id=name, deadline_ms=50_000)
        except Exception as error:
            self.ended[str(getattr(error, "name", type(error).__name__)).rpartition(".")[2]] += 1
        else:
            self.answered[name] = model
