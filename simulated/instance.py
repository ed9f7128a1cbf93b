"""One named instance of a simulated provider: its behaviour, what it counted, what it recorded, what it billed."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any
from weakref import WeakSet

from simulated.behaviour import Behaviour, Fault
from simulated.billing import Bill

MAX_RECEIVED = 1_000
MAX_BODY_RECORDED = 131_072
_MAX_QUEUED = 1_000


@dataclass(frozen=True, slots=True)
class Received:
    """A recorded request: header names in lower case, `body` cut at 128 KB, `at` in seconds of the monotonic clock."""

    path: str
    headers: dict[str, str]
    body: str
    cut: bool
    at: float

    def json(self) -> Any:
        """The body as JSON. Raises ValueError for a body that is cut or was none."""
        return json.loads(self.body)


@dataclass(slots=True)
class Counts:
    """Figures since the start or the last reset. `answered` are complete 200 answers; `statuses` what was said."""

    requests: int = 0
    answered: int = 0
    active: int = 0
    max_concurrent: int = 0
    open_connections: int = 0
    listed: int = 0  # times that the models were asked for
    client_aborts: int = 0  # the client left before the answer was complete
    chunks_sent: int = 0
    chunks_after_abort: int = 0  # stream events made for a client that had left
    statuses: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)

    def status(self, status: int) -> None:
        self.statuses[str(status)] = self.statuses.get(str(status), 0) + 1

    def fault(self, fault: Fault) -> None:
        self.faults[fault.value] = self.faults.get(fault.value, 0) + 1


class Instance:
    """State kept under one name. Only the server's own loop touches it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._connections: WeakSet[asyncio.BaseTransport] = WeakSet()
        self._serial = 0
        self.counts = Counts()
        self.reset()

    def reset(self) -> None:
        """Forget behaviour, counts, bills and recorded requests; requests under way go on."""
        self.counts = Counts(active=self.counts.active)
        self.billed = Bill()
        self.billed_undelivered = Bill()
        self._received: deque[Received] = deque(maxlen=MAX_RECEIVED)
        self._standing = Behaviour()
        self._queue: deque[tuple[Behaviour, int]] = deque()

    def behave(self, behaviours: Iterable[Behaviour]) -> None:
        """Those with `times` come first, in order, in place of any that were still waiting; one without stays."""
        queue = [(behaviour, behaviour.times) for behaviour in behaviours]
        if len(queue) > _MAX_QUEUED:
            raise ValueError(f"at most {_MAX_QUEUED} behaviours")
        self._queue = deque((behaviour, times) for behaviour, times in queue if times is not None)
        for behaviour, times in queue:
            if times is None:
                self._standing = behaviour

    def take_behaviour(self) -> Behaviour:
        """The behaviour for the request that has just come."""
        while self._queue:
            behaviour, left = self._queue.popleft()
            if left > 1:
                self._queue.appendleft((behaviour, left - 1))
            if left > 0:
                return behaviour
        return self._standing

    def next_behaviour(self) -> Behaviour:
        """The behaviour for the request that comes next, which stays for that one."""
        return next((behaviour for behaviour, left in self._queue if left > 0), self._standing)

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def arrive(self, transport: asyncio.BaseTransport | None) -> None:
        if transport is not None:
            self._connections.add(transport)
        self.counts.requests += 1
        self.counts.active += 1
        self.counts.max_concurrent = max(self.counts.max_concurrent, self.counts.active)

    def leave(self) -> None:
        self.counts.active -= 1

    def record(self, path: str, headers: dict[str, str], body: bytes) -> None:
        text = body[:MAX_BODY_RECORDED].decode("utf-8", "replace")
        self._received.append(Received(path, headers, text, len(body) > MAX_BODY_RECORDED, time.monotonic()))

    def received(self, last: int = MAX_RECEIVED) -> list[Received]:
        return list(self._received)[-last:] if last > 0 else []

    def count(self) -> Counts:
        """A copy of the figures as they are now."""
        self.counts.open_connections = sum(not transport.is_closing() for transport in self._connections)
        return Counts(**asdict(self.counts))

    def state(self, last: int = MAX_RECEIVED) -> dict[str, Any]:
        """Everything, for the control endpoint."""
        return {
            "counts": asdict(self.count()),
            "billed": asdict(self.billed),
            "billed_undelivered": asdict(self.billed_undelivered),
            "received": [asdict(request) for request in self.received(last)],
        }
