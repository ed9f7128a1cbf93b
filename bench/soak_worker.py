"""The soak's caller: all four kinds of call at a steady pace, from when each is due, as an ordinary user.

    python -m bench.soak_worker MINUTES PER_SECOND

Prints a JSON object for each minute: `calls`, `failures`, `error` (the first one's), `p50_ms`, `p99_ms` and `p99_ms_of`
each kind; and last `active_requests`, what the service still knows of. Then it waits to be ended. A call that is due is
begun, whatever else is under way.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench.samples import percentile
from cortexd.client import AsyncClient

PROMPT = "Say hello."
BATCH = 4
_END_S = 60.0
_BODY = {"model": "x", "max_tokens": 100, "messages": [{"role": "user", "content": PROMPT}]}

Kind = Callable[[AsyncClient], Awaitable[None]]


async def _complete(client: AsyncClient) -> None:
    await client.complete("user_chat", PROMPT, max_tokens=100)


async def _stream(client: AsyncClient) -> None:
    async with client.stream("user_chat", PROMPT, max_tokens=100) as stream:
        async for _ in stream:
            pass


async def _batch(client: AsyncClient) -> None:
    for answer in await client.batch([("user_chat", PROMPT)] * BATCH, max_tokens=100):
        if isinstance(answer, Exception):
            raise answer


async def _raw(client: AsyncClient) -> None:
    await client.complete_raw("anthropic", "user_chat", _BODY, provider="claude")


KINDS: dict[str, Kind] = {"Complete": _complete, "OpenStream": _stream, "CompleteBatch": _batch, "CompleteRaw": _raw}


@dataclass(slots=True)
class Minute:
    """What became of the calls that were due in it."""

    took_ms: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    failures: int = 0
    error: str = ""

    def told(self) -> dict[str, object]:
        every = sorted(itertools.chain.from_iterable(self.took_ms.values()))
        return {
            "calls": len(every) + self.failures,
            "failures": self.failures,
            "error": self.error,
            "p50_ms": percentile(every, 0.5),
            "p99_ms": percentile(every, 0.99),
            "p99_ms_of": {kind: percentile(sorted(took), 0.99) for kind, took in self.took_ms.items()},
        }


async def _call(client: AsyncClient, kind: str, minute: Minute, due: float) -> None:
    try:
        await KINDS[kind](client)
    except Exception as error:
        minute.failures += 1
        minute.error = minute.error or f"{kind}: {error!r}"
    else:
        minute.took_ms[kind].append(1e3 * (time.monotonic() - due))


async def soak(minutes: int, per_second: float) -> None:
    async with AsyncClient() as client:
        kinds, due = itertools.cycle(KINDS), time.monotonic()
        for _ in range(minutes):
            minute, under_way = Minute(), set[asyncio.Task[None]]()
            end = due + 60
            while due < end:
                await asyncio.sleep(due - time.monotonic())
                under_way.add(asyncio.create_task(_call(client, next(kinds), minute, due)))
                due += 1 / per_second
            # a minute's last calls are milliseconds old, and the next minute's are not held up by what is slow
            await asyncio.wait(under_way, timeout=_END_S)
            _say(minute.told())
        _say({"active_requests": (await client.properties()).active_requests})
        await asyncio.to_thread(sys.stdin.read)


def _say(row: dict[str, object]) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    asyncio.run(soak(int(sys.argv[1]), float(sys.argv[2])))
