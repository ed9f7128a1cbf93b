"""What one router has seen of its providers: who fails, how quick they are and what answers take, for any number of
threads. It lives as long as the router; nobody learns from outcomes here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cortexd.domain.answered import Answered
from cortexd.domain.messages import Usage
from cortexd.errors import ProviderError
from cortexd.routing import Asker, Candidate, Health, Observed, State
from cortexd.routing.hedging import Hedging


class Experience:
    """`health`, `observed` and `hedging` are touched with the lock alone (`locked`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.health = Health()
        self.observed = Observed()
        self.hedging = Hedging()

    @contextmanager
    def locked(self) -> Iterator[Experience]:
        with self._lock:
            yield self

    def admits(self, provider: str, model: str, tester: object = None) -> bool:
        with self._lock:
            return self.health.admits(provider, model, tester)

    def succeeded(self, provider: str, model: str = "", *, uid: int = -1, began: float | None = None) -> None:
        with self._lock:
            self.health.succeeded(provider, model, uid=uid, began=began)

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
        with self._lock:
            self.health.failed(provider, error, model, asker, chosen=chosen, tester=tester)

    def answered(
        self, candidate: Candidate, task_type: str, usage: Usage | None, took_s: float, *, whole: bool
    ) -> None:
        """`whole`: nobody read it in pieces, so that its time is the provider's."""
        took_ms = round(took_s * 1000)
        target = candidate.provider, candidate.model
        one = Answered(*target, task_type, usage, took_ms, time.time(), took_ms if whole else None)
        with self._lock:
            self.observed.answered(one)
            if whole:
                self.hedging.answered(*target, took_s)

    def hedge_after_s(self, candidate: Candidate) -> float | None:
        """How long this one is waited for alone; None for ever."""
        with self._lock:
            self.hedging.called()
            return self.hedging.after_s(candidate.provider, candidate.model)

    def may_hedge(self, candidate: Candidate) -> bool:
        """Whether that one may be asked as well. It counts as asked then."""
        with self._lock:
            well = self.health.state(candidate.provider, candidate.model) is State.OK
            return well and self.hedging.allows()
