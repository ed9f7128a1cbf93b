"""All that is remembered of answers, bounded: fed by each answered attempt, and after a start by those of the ledger.

Callers choose the names of models, so of models and their task types those answered last are kept. Of a model that
nobody has asked for a week nothing is known any more.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial

from cortexd.domain.answered import Answered
from cortexd.domain.newest import Newest
from cortexd.routing.observed.pace import Pace, Timing
from cortexd.routing.observed.tokens import Outputs, Prompts

KNOWN_S = 7 * 24 * 3600.0
_OF_LATE_S = 3600.0  # who has not answered for an hour may have become quicker, or slower
_MOST_MODELS = 256
_MOST_OUTPUTS = 1024  # models by task type
_EXPLORES_EVERY = 20
_NOTHING_SEEN = Prompts()
Later = Callable[[Callable[[], None]], None]


def _at_once(work: Callable[[], None]) -> None:
    work()


class _Asking:
    """One more while it is entered."""

    __slots__ = ("_key", "_under_way")

    def __init__(self, under_way: Counter[tuple[str, str]], key: tuple[str, str]) -> None:
        self._under_way = under_way
        self._key = key

    def __enter__(self) -> int:
        self._under_way[self._key] += 1
        return self._under_way[self._key]

    def __exit__(self, *_raised: object) -> None:
        self._under_way[self._key] -= 1
        if not self._under_way[self._key]:
            del self._under_way[self._key]


class Observed:
    """What every provider and model was like; `clock`: seconds since 1970. `later`: does what nobody waits for."""

    def __init__(self, clock: Callable[[], float] = time.time, later: Later = _at_once) -> None:
        self._paces: Newest[tuple[str, str], Pace] = Newest(_MOST_MODELS, Pace)
        self._prompts: Newest[tuple[str, str], Prompts] = Newest(_MOST_MODELS, Prompts)
        self._outputs = Outputs(_MOST_OUTPUTS)
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._explorations = 0
        self._clock = clock
        self._later = later

    def asking(self, provider: str, model: str) -> _Asking:
        """While an attempt is under way: how many are, itself too, as it begins."""
        return _Asking(self._under_way, (provider, model))

    def noted(self, one: Answered, among: int) -> None:
        """Learn from an attempt that was answered just now, soon; `among`: what `asking` gave."""
        self._later(partial(self.answered, one, among))

    def answered(self, one: Answered, among: int | None = None) -> None:
        """Learn from an answered attempt."""
        key = one.provider, one.model
        usage = one.usage
        if usage is not None:
            self._outputs.add(*key, one.task_type, usage.output_tokens)
            prompts = self._prompts.touch(key)
            prompts.add(
                usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens, continued=bool(one.continued)
            )
            if one.prompt_bytes is not None and usage.input_tokens:
                prompts.measured(one.prompt_bytes, usage.input_tokens)
        if one.first_token_ms is None:
            return
        pace = self._paces.touch(key)
        if one.at - pace.at > KNOWN_S:
            self._paces[key] = pace = Pace()
        uncached = 0 if usage is None else max(0, usage.input_tokens - usage.cached_tokens)
        output = 0 if usage is None else usage.output_tokens
        pace.add(uncached, output, one.latency_ms, one.first_token_ms, among)
        pace.at = max(pace.at, one.at)

    def prompt_tokens(self, provider: str, model: str, text_bytes: int) -> float:
        return self._prompts.get((provider, model), _NOTHING_SEEN).tokens(text_bytes)

    def cached_shares(self, provider: str, model: str, *, continued: bool) -> tuple[float, float]:
        """As Prompts.shares."""
        return self._prompts.get((provider, model), _NOTHING_SEEN).shares(continued=continued)

    def output_tokens(self, provider: str, model: str, task_type: str) -> float:
        return self._outputs.expected(provider, model, task_type)

    def timing(self, provider: str, model: str, uncached_tokens: float, output_tokens: float) -> Timing:
        """With one more under way than now are; nothing is known where that model has not answered within KNOWN_S."""
        pace = self._paces.get((provider, model))
        if pace is None or self._clock() - pace.at > KNOWN_S:
            return Timing()
        return pace.expected(uncached_tokens, output_tokens, self._under_way[provider, model] + 1)

    def timed_of_late(self, provider: str, model: str) -> bool:
        pace = self._paces.get((provider, model))
        return pace is not None and self._clock() - pace.at <= _OF_LATE_S

    def explores(self) -> bool:
        """Whether this request shall try somebody of whom nothing is known of late: every twentieth that asks."""
        self._explorations += 1
        return self._explorations % _EXPLORES_EVERY == 0

    def forget(self, providers: Collection[str]) -> None:
        """Start afresh with these: they are other endpoints now."""
        for kept in (self._paces, self._prompts):
            for key in [key for key in kept if key[0] in providers]:
                del kept[key]
        for name in providers:
            self._outputs.forget(name)
