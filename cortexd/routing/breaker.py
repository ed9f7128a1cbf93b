"""When a breaker opens: what each cause of failures takes, and what several requests have shown.

One bad prompt, sent ever again, shows nothing of a provider: a request that is repeated counts only a few times. A
status that speaks of the key, the account or the time to wait needs no second request. When the pause is over one
request tests the provider: if that fails too, the next pause is longer.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import NamedTuple

from cortexd.errors import MARKS_NOBODY, Failure, ProviderError

_OPENS_AFTER = 5  # failures that count, with no answer in between
_KEPT_ASKERS = 16
_COOL_DOWN_S = 30.0
_MOST_DOUBLED = 16
_SPREAD = 1.2


class Cause(Enum):
    """What a failure is about."""

    KEY = auto()
    QUOTA = auto()
    MODEL = auto()
    LOAD = auto()
    ENDPOINT = auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """How a cause opens its breaker, in seconds. `at_once`: one failure is enough; otherwise only one whose provider
    said when to come back, for at most `longest_s`. `grows_to_s`: the longest pause after tests in vain."""

    pause_s: float = _COOL_DOWN_S
    at_once: bool = False
    longest_s: float = 0.0
    grows_to_s: float = 300.0

    def pause_after(self, tests: int) -> float:
        """Doubled with each test in vain, and a little more, so that no two machines test at the same time."""
        if not tests:
            return self.pause_s
        longer = self.pause_s * 2.0 ** min(tests, _MOST_DOUBLED) * random.uniform(1.0, _SPREAD)  # noqa: S311 - no secret
        return max(self.pause_s, min(longer, self.grows_to_s))


RULES: Mapping[Cause, Rule] = {
    Cause.KEY: Rule(60.0, at_once=True, grows_to_s=600.0),  # seldom mended sooner
    Cause.QUOTA: Rule(900.0, at_once=True, longest_s=24 * 3600.0, grows_to_s=3600.0),  # somebody has to pay first
    Cause.MODEL: Rule(),
    Cause.LOAD: Rule(longest_s=300.0),
    Cause.ENDPOINT: Rule(),
}
_OF_STATUS = {HTTPStatus.FORBIDDEN: Cause.MODEL, HTTPStatus.NOT_FOUND: Cause.MODEL}
_OF_FAILURE = {
    Failure.AUTHENTICATION: Cause.KEY,
    Failure.QUOTA: Cause.QUOTA,
    Failure.RATE_LIMITED: Cause.LOAD,
    Failure.OVERLOADED: Cause.LOAD,
    **dict.fromkeys(MARKS_NOBODY),
}


class Asker(NamedTuple):
    """Whose request failed, and which: equal requests of one user are one."""

    uid: int
    request: Hashable


def cause_of(error: ProviderError) -> Cause | None:
    """What `error` is about; None where that is the request alone."""
    if error.failure is Failure.QUOTA or error.status not in _OF_STATUS:
        return _OF_FAILURE.get(error.failure, Cause.ENDPOINT)
    return _OF_STATUS[HTTPStatus(error.status)]


class Shown(NamedTuple):
    """What is known beside this failure. `rate`: half of the latest requests failed. `testing`: the pause was over, and
    this request tested the provider. `tests`: how many have done so in vain."""

    rate: bool = False
    testing: bool = False
    tests: int = 0


@dataclass(slots=True)
class Breaker:
    """Of one cause. `open_until`: on the clock of whoever asks."""

    open_until: float = 0.0
    last_failure: str = ""
    failures: dict[Asker, int] = field(default_factory=dict)

    def failed(self, error: ProviderError, cause: Cause, asker: Asker, now: float, shown: Shown) -> None:
        self.last_failure = error.failure.value
        counts = self._count(Asker(asker.uid, object()) if error.never_sent else asker)
        self.open_until = max(self.open_until, now + self._pause_s(RULES[cause], error, shown, counts=counts))

    def _count(self, asker: Asker) -> bool:
        """Whether this failure counts beside those before it."""
        count = self.failures.pop(asker, 0) + 1
        self.failures[asker] = count
        if len(self.failures) > _KEPT_ASKERS:
            del self.failures[next(iter(self.failures))]
        return count <= self._most_of_one

    @property
    def _most_of_one(self) -> int:
        """How often a repeated request counts: twice, and once more for each further user whose requests failed."""
        return 1 + len({asker.uid for asker in self.failures})

    def _pause_s(self, rule: Rule, error: ProviderError, shown: Shown, *, counts: bool) -> float:
        if error.retry_after_ms and rule.longest_s:  # "at once" is no pause, and no proof that it is well
            return min(error.retry_after_ms / 1000, rule.longest_s)
        enough = rule.at_once or shown.rate or (counts and (shown.testing or self._in_a_row >= _OPENS_AFTER))
        return rule.pause_after(shown.tests) if enough else 0.0

    @property
    def _in_a_row(self) -> int:
        return sum(min(count, self._most_of_one) for count in self.failures.values())
