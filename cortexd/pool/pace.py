"""How quick an endpoint is, by what it does and not by what it is asked: a queue and a long prompt are no slowness.

Decoding is timed from the first token on. How long that one takes tells of the endpoint too, but only where nothing
was in its way; the quickest of late counts, as a prompt that is not in the cache takes longer.
"""

from __future__ import annotations

from typing import NamedTuple

_KEPT_PER_ANSWER = 0.8
_FORGOTTEN_S = 5.0  # half of what is known, when it is not asked
_OUTDATED_S = 30.0  # decoding that was timed so long ago
_PROMPT_TOKENS = 32  # what the prompt takes, in tokens of an answer
_ENOUGH_TOKENS = 8  # fewer are the network's time
_TIMED_S = 0.02  # so many in less came all at once


class Mean(NamedTuple):
    value: float
    at: float


def mean(before: Mean | None, value: float, at: float) -> Mean:
    """With one more value, newer ones weighing more."""
    return Mean(value if before is None else before.value * _KEPT_PER_ANSWER + value * (1 - _KEPT_PER_ANSWER), at)


class Timing(NamedTuple):
    """Of an answer of so many `tokens`. `first_s`: until its first one, for a short prompt; None where it came whole.
    `queued`: others may have been in its way."""

    took_s: float
    decoding_s: float
    first_s: float | None
    tokens: int
    queued: bool


class Pace:
    """Seconds for a token. What cannot be told apart, of short answers and of those that came whole or were held back
    on their way, counts while nothing better does."""

    def __init__(self) -> None:
        self._decoding: Mean | None = None
        self._whole: Mean | None = None
        self._first_s: float | None = None
        self._at = float("-inf")

    @property
    def value(self) -> float | None:
        known = self._decoding or self._whole
        return None if known is None else known.value + (self._first_s or 0.0) / _PROMPT_TOKENS

    def beside(self, usual: float | None, now: float) -> float | None:
        """What it was like a while ago counts less and less beside what is `usual`."""
        value = self.value
        if value is None or usual is None:
            return value
        known: float = 0.5 ** ((now - self._at) / _FORGOTTEN_S)
        return usual + (value - usual) * known

    def answered(self, timing: Timing, now: float) -> None:
        self._at = now
        long, spread = timing.tokens >= _ENOUGH_TOKENS, timing.decoding_s >= _TIMED_S
        if timing.first_s is not None and not timing.queued and (spread or not long):
            self._first_s = _quick(self._first_s, timing.first_s)
        if timing.first_s is not None and long and spread:
            self._decoding = mean(self._decoding, timing.decoding_s / (timing.tokens - 1), now)
            return
        self._whole = mean(self._whole, timing.took_s / (_PROMPT_TOKENS + timing.tokens), now)
        if self._decoding is not None and now - self._decoding.at > _OUTDATED_S:
            self._decoding = None


def _quick(before: float | None, value: float) -> float:
    """A quicker one counts at once, a slower one step by step."""
    if before is None or value < before:
        return value
    return before * _KEPT_PER_ANSWER + value * (1 - _KEPT_PER_ANSWER)
