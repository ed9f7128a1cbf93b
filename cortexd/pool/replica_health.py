"""Whether one endpoint gets calls: a breaker on runs and on the rate of failures, a trial before it closes, and a
share that grows from then on.

- open: three failures with no answer between them, half of the last ten or more within ten seconds, one connection
  that was refused, calls that hang, or one answer that says when to come back, for that long. The last three are
  `certain`; the others may be the work of bad prompts, of which a repeated one counts once, unless another endpoint
  answered it.
- probing: the pause is over, and the endpoint was looked at where it could be. One call at a time is let through.
- returning: a call was answered. Its share grows from a tenth to the whole within five seconds.

What began before the breaker opened says nothing new when it fails later.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

from cortexd.errors import MARKS_NOBODY, Failure, ProviderError

_RUN = 3
_RATE, _RATE_SAMPLES, _RATE_WITHIN_S = 0.5, 10, 10.0
_KEPT_OUTCOMES = 32
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 2.0
_LONG_DOWN_S, _LONG_DOWN_PAUSE_S = 120.0, 30.0  # who is away for good is looked for less often
_ACCOUNT_PAUSE_S = 60.0  # somebody has to mend it
_LONGEST_WAIT_S = 300.0
_SLOW_START_S, _FIRST_SHARE = 5.0, 0.1
_ACCOUNT = frozenset({Failure.AUTHENTICATION, Failure.QUOTA})


_others = itertools.count(2**64)  # above every hash: each another one


class ReplicaState(StrEnum):
    OK = "ok"
    RETURNING = "returning"
    PROBING = "probing"
    OPEN = "open"


def marks(error: ProviderError) -> bool:
    """Whether the failure is the endpoint's, so that another one may do better."""
    return error.failure not in MARKS_NOBODY


def lacks_model(error: ProviderError) -> bool:
    """Whether the endpoint says that it does not have the model: another one may, and this one is well."""
    return error.status == HTTPStatus.NOT_FOUND and not marks(error)


@dataclass(slots=True)
class ReplicaHealth:
    """All times on the clock of whoever asks, in seconds. `last_failure`: of a Failure, "" before the first.
    `certain`: that it is open is no prompt's doing."""

    last_failure: str = ""
    open_until: float = 0.0
    _trial: object = None  # the call that is let through
    _opened_at: float | None = None
    _down_since: float = 0.0
    _looked_at: bool = True
    _looking: bool = False
    _pause_s: float = _FIRST_PAUSE_S
    certain: bool = False
    _returned_at: float = float("-inf")
    _run: set[int] = field(default_factory=set)
    _outcomes: deque[tuple[float, int | None]] = field(default_factory=lambda: deque(maxlen=_KEPT_OUTCOMES))

    def state(self, now: float) -> ReplicaState:
        if self._opened_at is not None:
            waits = now < self.open_until or not self._looked_at
            return ReplicaState.OPEN if waits else ReplicaState.PROBING
        return ReplicaState.RETURNING if now - self._returned_at < _SLOW_START_S else ReplicaState.OK

    def admits(self, now: float) -> bool:
        """Whether a call may go there now."""
        state = self.state(now)
        return state is not ReplicaState.OPEN and not (state is ReplicaState.PROBING and self.on_trial)

    def share(self, now: float) -> float:
        """Of its weight, from 0 to 1."""
        if self._opened_at is not None:
            return 0.0
        grown = min(max((now - self._returned_at) / _SLOW_START_S, 0.0), 1.0)
        return _FIRST_SHARE + (1 - _FIRST_SHARE) * grown

    def begins_look(self, now: float) -> bool:
        """Whether somebody should look at the endpoint, since its pause is over. What `looked` shows ends that."""
        if self._opened_at is None or self._looked_at or self._looking or now < self.open_until:
            return False
        self._looking = True
        return True

    def looked(self, now: float, *, alive: bool) -> None:
        """What a probe has shown."""
        self._looking = False
        if alive:
            self._looked_at = True
        elif self._opened_at is not None:
            self._open(now, self._longer_pause(now), certain=self.certain)

    @property
    def on_trial(self) -> bool:
        """The one call that is let through is under way."""
        return self._trial is not None

    def began(self, call: object) -> None:
        """It goes there. Where everybody is open more than one may; the first is the trial."""
        if self._opened_at is not None and self._trial is None:
            self._trial = call

    def answered(self, now: float, began: float) -> None:
        self._run.clear()
        self._outcomes.append((now, None))
        if self._opened_at is None or began < self._opened_at:
            return
        self._opened_at, self._trial = None, None
        self._pause_s, self._returned_at = _FIRST_PAUSE_S, now
        self._outcomes.clear()

    def left(self, call: object) -> None:
        """It ended without saying anything of the endpoint: where it was the trial, another one may be."""
        if self._trial is call:
            self._trial = None

    def failed(self, error: ProviderError, now: float, began: float, request: int) -> None:
        """Count a failure that `marks`; `request`: equal for equal ones."""
        if self._opened_at is not None and began < self._opened_at:
            return
        self.last_failure = error.failure.value
        self._run.add(request)
        self._outcomes.append((now, request))
        if error.retry_after_ms is not None:
            self._open(now, min(error.retry_after_ms / 1000, _LONGEST_WAIT_S), certain=True, told=True)
        elif error.failure in _ACCOUNT:
            self._open(now, _ACCOUNT_PAUSE_S, certain=True)
        elif self._opened_at is not None:
            self._open(now, self._longer_pause(now), certain=self.certain)
        elif error.never_sent:
            self._open(now, self._pause_s, certain=True)
        elif len(self._run) >= _RUN or self._failing(now):
            self._open(now, self._pause_s)

    def outdone(self, now: float) -> None:
        """Another endpoint has answered what failed here."""
        if self._opened_at is not None:
            return
        self._run.add(next(_others))
        if len(self._run) >= _RUN:
            self._open(now, self._pause_s, certain=True)

    def hangs(self, now: float, began: float) -> None:
        """A call waits there for a first word as nowhere else."""
        if self._opened_at is not None and began < self._opened_at:
            return
        self.last_failure = Failure.TIMEOUT.value
        self._open(now, self._pause_s if self._opened_at is None else self._longer_pause(now), certain=True)

    def _longer_pause(self, now: float) -> float:
        longest = _LONGEST_PAUSE_S if now - self._down_since < _LONG_DOWN_S else _LONG_DOWN_PAUSE_S
        self._pause_s = min(self._pause_s * 2, longest)
        return self._pause_s

    def _open(self, now: float, pause_s: float, *, certain: bool = False, told: bool = False) -> None:
        """`told`: by the endpoint, which need not be looked at then."""
        if self._opened_at is None:
            self._down_since = now
        jitter = 1.0 if told else random.uniform(0.75, 1.0)  # noqa: S311 - no secret
        self._opened_at, self.open_until = now, now + pause_s * jitter
        self.certain, self._looked_at, self._trial = certain, told, None

    def _failing(self, now: float) -> bool:
        recent = [request for at, request in self._outcomes if now - at <= _RATE_WITHIN_S]
        bad = {request for request in recent if request is not None}
        return len(recent) >= _RATE_SAMPLES and len(bad) >= _RATE * len(recent)
