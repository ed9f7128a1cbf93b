"""One endpoint of a pool: its connections, what is in flight there, how quick it is and whether it gets calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cortexd.config.addresses import parse_address
from cortexd.config.settings import ProviderSettings
from cortexd.domain.messages import Answer, Call
from cortexd.domain.newest import Newest
from cortexd.domain.served import ServedModel
from cortexd.errors import ProviderError
from cortexd.pool.balancer import Load
from cortexd.pool.pace import Mean, Pace, Timing, mean
from cortexd.pool.prefix_memory import PrefixMemory
from cortexd.pool.replica_health import ReplicaHealth, ReplicaState, lacks_model, marks
from cortexd.pool.view import ReplicaView
from cortexd.providers import Listener, Provider

_PORTS = {"https": 443, "http": 80}
_BYTES_PER_TOKEN = 4
_USUAL_BYTES = 8192
_UNLOADED = 4  # so few show no queue
_LACKS_S = 60.0  # then it may have been given the model
_MOST_MODELS = 256  # who are kept: callers choose their names


def _no_models() -> Newest[str, float]:
    return Newest(_MOST_MODELS, time.monotonic)


@dataclass(slots=True, eq=False)
class Flight:
    """One call on its way. `telling`: nothing had to be loaded first, so that its time is the endpoint's. `moved`: it
    was taken away from here, because nothing was heard. `queued`: it came to so many that it may have waited for them.
    `prefix_age`: as PrefixMemory.read gave it."""

    call: Call
    listener: Listener
    began: float
    task: asyncio.Task[object]
    telling: bool = True
    moved: bool = False
    queued: bool = False
    prefix_age: int | None = None

    @property
    def heard_at(self) -> float | None:
        """When something last came of it, on the clock of time.monotonic()."""
        return max((at for at in (self.listener.first_at, self.listener.grown_at) if at is not None), default=None)


def size_of(call: Call) -> float:
    """Of its prompt, by which the first token is waited for; 1 for a short one."""
    return 1 + sum(len(message.text()) for message in call.messages) / _USUAL_BYTES


@dataclass(slots=True, eq=False)
class Replica:
    """`weight` and `most` may change with a reload, the rest stays. `on_free` are called when a place becomes free."""

    settings: ProviderSettings
    provider: Provider
    weight: float = 1.0
    most: int | None = None
    health: ReplicaHealth = field(default_factory=ReplicaHealth)
    flights: set[Flight] = field(default_factory=set)
    held: int = 0  # places kept for calls that have not begun
    heard_at: float = float("-inf")
    on_free: list[Callable[[], None]] = field(default_factory=list)
    listed: frozenset[str] | None = None  # the models that it said it has; None before it said so
    _pace: Pace = field(default_factory=Pace)
    _latency: Mean | None = None
    _first_token: Mean | None = None
    _gap: Mean | None = None  # between one first token and the next, while somebody waited
    _first_at: float = float("-inf")
    _prefixes: PrefixMemory = field(default_factory=PrefixMemory)
    _lacked_at: Newest[str, float] = field(default_factory=_no_models)

    @property
    def id(self) -> str:
        return self.settings.base_url

    @property
    def address(self) -> str:
        parts = parse_address(self.settings.base_url)
        return f"{parts.host}:{parts.port or _PORTS[parts.scheme]}"

    @property
    def usable(self) -> bool:
        return self.settings.configured

    @property
    def in_flight(self) -> int:
        return len(self.flights) + self.held

    @property
    def has_room(self) -> bool:
        return self.most is None or self.in_flight < self.most

    def admits(self) -> bool:
        """Whether a call may go there now: one at a time where it is tried."""
        now = time.monotonic()
        return self.health.admits(now) and not (self.held and self.health.state(now) is ReplicaState.PROBING)

    def takes(self, call: Call) -> bool:
        """Whether the call may go there at all."""
        return self.usable and (self.settings.local or not call.local_only)

    def lacks(self, model: str) -> bool:
        """Whether it said of late that it does not have that model."""
        return time.monotonic() - self._lacked_at.get(model, float("-inf")) < _LACKS_S

    async def ask_models(self) -> tuple[ServedModel, ...]:
        """Which it has, and know it from then on. Raises ProviderError."""
        models = await self.provider.models()
        self.listed = frozenset(model.id for model in models)
        return models

    def load(self, usual: float | None, affinity: str = "") -> Load:
        """As the choice sees it; what it was like a while ago counts less and less beside what is `usual`."""
        now, prefixes = time.monotonic(), self._prefixes
        pace, warm = self._pace.beside(usual, now), prefixes.warmth(affinity)
        return Load(self.id, self.weight, self.health.share(now), self.in_flight, pace, warm, prefixes.beginnings)

    @property
    def pace_s(self) -> float | None:
        return self._pace.value

    def queue_delay_s(self) -> float:
        """How long another call would wait for its first token behind those that wait for theirs."""
        waiting = sum(flight.heard_at is None for flight in self.flights)
        return waiting * self._gap.value if self._gap and waiting >= _UNLOADED else 0.0

    def let_go(self) -> None:
        """A place that was held is not wanted."""
        self.held -= 1
        self.freed()

    @property
    def first_token_s(self) -> float | None:
        """How long the first token of a short prompt takes; None where unknown."""
        return self._first_token.value if self._first_token else None

    def begin(self, flight: Flight) -> None:
        self.flights.add(flight)
        flight.queued = len(self.flights) > _UNLOADED
        self.health.began(flight)
        flight.prefix_age = self._prefixes.read(flight.call.affinity)

    def end(self, flight: Flight) -> None:
        """The place is free."""
        self.flights.discard(flight)
        self.freed()

    def freed(self) -> None:
        for tell in tuple(self.on_free):
            tell()

    def answered(self, flight: Flight, answer: Answer) -> None:
        now = time.monotonic()
        self.heard_at = max(self.heard_at, now)
        self.health.answered(now, flight.began)
        self._lacked_at.pop(flight.call.model, None)
        self._prefixes.answered(flight.prefix_age, answer.usage)
        if not flight.telling:
            return
        timing = _timing(flight, answer, now)
        self._pace.answered(timing, now)
        self._latency = mean(self._latency, timing.took_s, now)
        if timing.first_s is not None:
            self._first_token = mean(self._first_token, timing.first_s, now)
        first_at = flight.listener.first_at or now
        self._gap = mean(self._gap, max(first_at - max(self._first_at, flight.began), 0.0), now)
        self._first_at = max(self._first_at, first_at)

    def failed(self, flight: Flight, error: ProviderError) -> None:
        if lacks_model(error):
            self._lacked_at.put(flight.call.model, time.monotonic())
        if marks(error) and not flight.moved:
            self.health.failed(error, time.monotonic(), flight.began, hash(flight.call.messages))
        else:
            self.health.left(flight)

    def left(self, flight: Flight) -> None:
        """The caller did not wait for the end."""
        self.health.left(flight)

    def view(self, share: float) -> ReplicaView:
        return ReplicaView(
            self.address,
            self.settings.local,
            self.health.state(time.monotonic()),
            self.in_flight,
            self.most,
            round(self._latency.value * 1000, 1) if self._latency else None,
            share,
            self.health.last_failure,
            self.settings.key is not None,
        )


def _timing(flight: Flight, answer: Answer, now: float) -> Timing:
    """Without the time that the caller took to hear of it."""
    listener = flight.listener
    tokens = answer.usage.output_tokens if answer.usage else listener.output_bytes // _BYTES_PER_TOKEN
    took, first = now - flight.began - listener.heard_s, (listener.first_at or now) - flight.began
    first_s = first / size_of(flight.call) if listener.streamed else None
    return Timing(took, max(took - first, 0.0), first_s, tokens, flight.queued)
