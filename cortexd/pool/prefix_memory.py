"""What an endpoint is likely to have in its prompt cache: which affinities had calls there, and how many calls of
others it reads before it forgets one. Servers that count cached tokens teach the latter."""

from __future__ import annotations

from cortexd.domain.messages import Usage

_MOST = 512  # affinities that are remembered
_KEPT_CALLS = 512.0  # until an endpoint has shown more or less
_LEARNT = 0.3  # of each surprise
_STEEP = 4  # how sharply a cache ends
_HELD = 0.5  # of a prompt, so that its beginning was there


class PrefixMemory:
    """Of one endpoint. An age is in calls with an affinity, of all of them, since the last of that one."""

    def __init__(self) -> None:
        self._calls = 0
        self._last: dict[str, int] = {}  # the number of the latest call of each, the latest last
        self._old: dict[str, int] = {}  # the same of those that are likely forgotten there
        self._kept = _KEPT_CALLS
        self._counts = False  # whether it says what was cached

    @property
    def beginnings(self) -> int:
        """How many affinities are likely there."""
        return len(self._last)

    def warmth(self, affinity: str) -> float:
        """How likely its calls' beginning is still there, 0 to 1."""
        at = self._last.get(affinity) or self._old.get(affinity)
        return 0.0 if at is None else 1 / (1 + ((self._calls - at) / self._kept) ** _STEEP)

    def read(self, affinity: str) -> int | None:
        """A call of that affinity goes there. Its age until now; None where it was not remembered, or is none."""
        if not affinity:
            return None
        at = self._last.pop(affinity, None) or self._old.pop(affinity, None)
        self._calls += 1
        self._last[affinity] = self._calls
        self._forget()
        return None if at is None else self._calls - 1 - at

    def _forget(self) -> None:
        while self._calls - next(iter(self._last.values())) > self._kept:
            affinity = next(iter(self._last))
            self._old[affinity] = self._last.pop(affinity)
        if len(self._last) + len(self._old) > _MOST:
            oldest = self._old or self._last
            del oldest[next(iter(oldest))]

    def answered(self, age: int | None, usage: Usage | None) -> None:
        """What the endpoint said of its cache for a call that was of that age."""
        if usage is None or not usage.input_tokens:
            return
        self._counts |= usage.cached_tokens > 0
        if age is None or not self._counts:
            return
        held = usage.cached_tokens >= _HELD * usage.input_tokens
        if held == (age > self._kept):  # it keeps more than was thought, or less
            self._kept = max(1.0, self._kept + _LEARNT * (age - self._kept))
