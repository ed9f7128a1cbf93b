"""How each provider is doing: breakers that open after failures, so that requests try a healthy one first.

An open breaker demotes a provider, it never forbids it: with nobody else left it is still tried. Each cause has a
breaker of its own (breaker.py), of a provider or of one of its models.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from cortexd.errors import ProviderError
from cortexd.routing.breaker import Asker, Breaker, Cause, cause_of, never_came_about

_MOST_MODELS = 256  # who are kept: callers choose their names


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  # failed lately, or probing after an open breaker
    OPEN = "open"
    UNCONFIGURED = "unconfigured"


@dataclass(slots=True)
class _Record:
    """The breakers of a provider, or of one of its models, since its last answer."""

    breakers: dict[Cause, Breaker] = field(default_factory=dict)
    last_failure: str = ""
    published: State = State.OK

    @property
    def open_until(self) -> float:
        return max((breaker.open_until for breaker in self.breakers.values()), default=0.0)

    def state(self, now: float) -> State:
        if not self.breakers:
            return State.OK
        return State.OPEN if now < self.open_until else State.DEGRADED

    def failed(self, error: ProviderError, cause: Cause, asker: Asker, now: float) -> None:
        self.last_failure = error.failure.value
        self.breakers.setdefault(cause, Breaker()).failed(error, cause, asker, now)

    def why(self, now: float) -> str:
        """What keeps it open longest, or else the last failure; empty where there was none."""
        if self.state(now) is not State.OPEN:
            return self.last_failure if self.breakers else ""
        return max(self.breakers.values(), key=lambda breaker: breaker.open_until).last_failure


class Health:
    """Counts outcomes per provider; `on_change(provider, state, last_failure)` hears of each change once."""

    def __init__(
        self,
        on_change: Callable[[str, State, str], None] = lambda _provider, _state, _failure: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records: dict[str, _Record] = {}
        self._models: dict[tuple[str, str], _Record] = {}
        self._on_change = on_change
        self._clock = clock

    def state(self, provider: str, model: str = "") -> State:
        """Of the provider, or of the provider and that model of it together."""
        now = self._clock()
        own = self._records[provider].state(now) if provider in self._records else State.OK
        of_model = self._models.get((provider, model))
        return own if own is State.OPEN or of_model is None else _worse(own, of_model.state(now))

    def last_failure(self, provider: str) -> str:
        record = self._records.get(provider)
        return record.why(self._clock()) if record else ""

    def succeeded(self, provider: str, model: str = "") -> None:
        self._models.pop((provider, model), None)
        record = self._records.get(provider)
        if record is not None and record.breakers:
            record.breakers.clear()
            self._publish(provider, record)

    def failed(
        self, provider: str, error: ProviderError, model: str = "", asker: Asker | None = None, *, chosen: bool = False
    ) -> None:
        """Count one failed attempt with `model`. `chosen`: by the caller, so that it speaks for no other model.

        A refused request says nothing about the provider and is not counted. Without an asker each is another request.
        """
        cause = cause_of(error)
        if cause is None:
            return
        of_model = cause is Cause.MODEL or (chosen and not never_came_about(error))
        record = self._of_model(provider, model) if of_model else self._records.setdefault(provider, _Record())
        record.failed(error, cause, asker or Asker(-1, object()), self._clock())
        if not of_model:
            self._publish(provider, record)

    def _of_model(self, provider: str, model: str) -> _Record:
        record = self._models.pop((provider, model), None) or _Record()
        self._models[provider, model] = record
        if len(self._models) > _MOST_MODELS:
            del self._models[next(iter(self._models))]
        return record

    def next_change(self) -> float | None:
        """Seconds until the next breaker ends by time; 0 where one has ended untold, None where none is open."""
        open_until = [record.open_until for record in self._records.values() if record.published is State.OPEN]
        return max(0.0, min(open_until) - self._clock()) if open_until else None

    def refresh(self) -> None:
        """Tell of the breakers that time has ended."""
        for provider, record in self._records.items():
            self._publish(provider, record)

    def forget(self) -> None:
        """Start afresh, as after a reload with other keys or endpoints."""
        self._models.clear()
        for provider, record in self._records.items():
            record.breakers.clear()
            self._publish(provider, record)

    def _publish(self, provider: str, record: _Record) -> None:
        now = self._clock()
        state = record.state(now)
        if state is not record.published:
            record.published = state
            self._on_change(provider, state, record.why(now))


def _worse(one: State, other: State) -> State:
    return max(one, other, key=(State.OK, State.DEGRADED, State.OPEN).index)
