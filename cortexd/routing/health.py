"""How each provider is doing: breakers that open after failures, so that requests try a healthy one first.

An open breaker demotes a provider, it never forbids it: with nobody else left it is still tried. Each cause has a
breaker of its own (breaker.py), of a provider or of one of its models. When the pause is over one request at a time
tests the provider, and the others go on as if it were open.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

from cortexd.domain.newest import Newest
from cortexd.errors import ProviderError
from cortexd.routing.breaker import Asker, Breaker, Cause, Shown, cause_of
from cortexd.routing.error_rate import ErrorRate
from cortexd.routing.hedging import Hedging
from cortexd.routing.retries import Retries

_MOST_MODELS = 256  # who are kept: callers choose their names
_NOBODY = -1
_LONGEST_TEST_S = 60.0  # then another may test as well
LOADING = "loading"  # in place of a failure


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  # failed lately, probing after an open breaker, or loading its model
    OPEN = "open"
    UNCONFIGURED = "unconfigured"


_SEVERITY = (State.OK, State.DEGRADED, State.OPEN)


@dataclass(slots=True)
class _Record:
    """The breakers of a provider, or of one of its models, since its last answer; `rate`: beyond that too.

    `openings`: how often they opened, the last time at `opened_at`. `tested_until`: a request tests the provider, that
    of `tester`, which is forgotten after that time.
    """

    breakers: dict[Cause, Breaker] = field(default_factory=dict)
    rate: ErrorRate = field(default_factory=ErrorRate)
    last_failure: str = ""
    loading: bool = False
    published: State = State.OK
    openings: int = 0
    opened_at: float = 0.0
    tested_until: float = 0.0
    tester: object = None

    @property
    def open_until(self) -> float:
        return max((breaker.open_until for breaker in self.breakers.values()), default=0.0)

    def state(self, now: float) -> State:
        if not self.breakers:
            return State.DEGRADED if self.loading else State.OK
        return State.OPEN if now < self.open_until else State.DEGRADED

    @property
    def troubled(self) -> bool:
        """Whether it can be in any other state than OK."""
        return bool(self.breakers) or self.loading or self.openings > 0

    def seen(self, now: float) -> State:
        """The state for whoever would ask now: as if it were open while another request tests it."""
        return State.OPEN if self.openings and now < self.tested_until else self.state(now)

    def test(self, now: float, tester: object) -> None:
        """A request is about to ask."""
        if self.openings:
            self.tested_until, self.tester = now + _LONGEST_TEST_S, tester

    def left(self, tester: object) -> None:
        """That of `tester` has ended. Where it is another one's, the test goes on."""
        if self.tester is tester:
            self.tested_until, self.tester = 0.0, None

    def succeeded(self, uid: int, began: float | None, now: float) -> None:
        """An answer to what was asked before the breaker opened does not close it."""
        if self.openings and began is not None and began < self.opened_at:
            return
        self.breakers.clear()
        self.openings, self.tested_until, self.tester, self.loading = 0, 0.0, None, False
        self.rate.succeeded(uid, now)

    def failed(self, error: ProviderError, cause: Cause, asker: Asker, now: float) -> None:
        self.last_failure = error.failure.value
        was_open, rate = now < self.open_until, self.rate.failed(asker.uid, asker.request, now)
        shown = Shown(rate, testing=self.openings > 0 and not was_open, tests=max(0, self.openings - was_open))
        self.breakers.setdefault(cause, Breaker()).failed(error, cause, asker, now, shown)
        self.tested_until, self.tester, self.loading = 0.0, None, False
        if not was_open and now < self.open_until:
            self.openings, self.opened_at = self.openings + 1, now
            self.rate.clear()

    def why(self, now: float) -> str:
        """What keeps it open longest, or else the last failure; empty where there was none."""
        if self.loading:
            return LOADING
        if self.state(now) is not State.OPEN:
            return self.last_failure if self.breakers else ""
        return max(self.breakers.values(), key=lambda breaker: breaker.open_until).last_failure


class Health:
    """Counts outcomes per provider; `on_change(provider, state, last_failure)` hears of each change once,
    `on_missing(provider)` of each model that it does not have."""

    def __init__(
        self,
        on_change: Callable[[str, State, str], None] = lambda _provider, _state, _failure: None,
        clock: Callable[[], float] = time.monotonic,
        on_missing: Callable[[str], None] = lambda _provider: None,
    ) -> None:
        self._records: dict[str, _Record] = {}
        self._models: Newest[tuple[str, str], _Record] = Newest(_MOST_MODELS, _Record)
        self.retries = Retries(clock)
        self.hedging = Hedging(clock)
        self._on_change = on_change
        self._on_missing = on_missing
        self._clock = clock

    def state(self, provider: str, model: str = "") -> State:
        """Of the provider, or of the provider and that model of it together."""
        found = [record for record in self._of(provider, model) if record.troubled]
        if not found:
            return State.OK
        now = self._clock()
        return max((record.seen(now) for record in found), key=_SEVERITY.index)

    def now(self) -> float:
        return self._clock()

    def admits(self, provider: str, model: str, tester: object = None) -> bool:
        """Whether a request may ask now, which it does then: False where a breaker is open, or another request tests
        whether it still has to be. `tester`: the request, by which its test is known again."""
        if self.state(provider, model) is State.OPEN:
            return False
        now = self._clock()
        for record in self._of(provider, model):
            record.test(now, tester)
        return True

    def left(self, provider: str, model: str, tester: object = None) -> None:
        """A request that asked has ended and shows nothing: another may test, where it was the one."""
        for record in self._of(provider, model):
            record.left(tester)

    def _of(self, provider: str, model: str) -> list[_Record]:
        whole, of_model = self._records.get(provider), self._models.get((provider, model))
        if of_model is None:
            return [] if whole is None else [whole]
        return [of_model] if whole is None else [whole, of_model]

    def last_failure(self, provider: str) -> str:
        record = self._records.get(provider)
        return record.why(self._clock()) if record else ""

    def succeeded(self, provider: str, model: str = "", *, uid: int = _NOBODY, began: float | None = None) -> None:
        """`uid`'s request, sent at `began` on this clock, was answered."""
        now = self._clock()
        if provider not in self._records:
            self._records[provider] = _Record()
        for record in self._of(provider, model):
            record.succeeded(uid, began, now)
        self._publish(provider, self._records[provider])

    def loading(self, provider: str) -> None:
        """It starts, and is waited for: no failure, until its next answer."""
        record = self._records.setdefault(provider, _Record())
        record.loading = True
        self._publish(provider, record)

    def failed(
        self,
        provider: str,
        error: ProviderError,
        model: str = "",
        asker: Asker | None = None,
        *,
        chosen: bool = False,
        tester: object = None,
    ) -> None:
        """Count one failed attempt with `model`. `chosen`: by the caller, so that it speaks for no other model.

        A refused request says nothing about the provider and is not counted. Without an asker each is another request.
        """
        cause = cause_of(error)
        if cause is None:
            self.left(provider, model, tester)
            return
        of_model = cause is Cause.MODEL or (chosen and not error.never_sent)
        record = self._models.touch((provider, model)) if of_model else self._records.setdefault(provider, _Record())
        record.failed(error, cause, asker or Asker(_NOBODY, object()), self._clock())
        if not of_model:
            self._publish(provider, record)
        if error.status == HTTPStatus.NOT_FOUND:
            self._on_missing(provider)

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
        self.hedging.forget()
        told = {provider: record.published for provider, record in self._records.items()}
        self._records = {provider: _Record(published=state) for provider, state in told.items()}
        self.refresh()

    def _publish(self, provider: str, record: _Record) -> None:
        now = self._clock()
        state = record.state(now)
        if state is not record.published:
            record.published = state
            self._on_change(provider, state, record.why(now))
