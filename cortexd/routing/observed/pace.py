"""How long a model takes: to its first word, for each token after it, and longer while it answers others too."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from cortexd.routing.observed.sums import Line, Mean, half_life

_KEPT = half_life(20)
_TELLING_TOKENS = 32  # a whole answer shorter than this says less of how long answers take
_AT_ONCE_MS, _AT_ONCE_PART = 5.0, 0.05  # what comes so soon after the first word came with it
_MOST_LOAD = 10.0  # times; what lies beyond is no matter of load any more
_prompt_line = partial(Line, slope=0.0, spread=1000.0)  # milliseconds over prompt tokens
_answer_line = partial(Line, slope=0.0, spread=100.0)  # milliseconds over output tokens
_load_line = partial(Line, slope=0.0, spread=2.0)  # times the usual, over answers under way


@dataclass(frozen=True, slots=True)
class Timing:
    """In milliseconds; `first_token_ms` and `tokens_per_s` are None where only whole answers were seen, all are where
    none was."""

    ms: float | None = None
    first_token_ms: float | None = None
    tokens_per_s: float | None = None


@dataclass(slots=True)
class Pace:
    """Of one model. `pieces`: which part of its answers came in pieces; where that is the lesser one, what is known is
    how long `whole` answers take. `at`: when it last answered."""

    first: Line = field(default_factory=_prompt_line)
    token: Mean = field(default_factory=Mean)
    pieces: Mean = field(default_factory=Mean)
    whole: Line = field(default_factory=_answer_line)
    load: Line = field(default_factory=_load_line)
    at: float = 0.0

    def add(self, prompt: float, output: int, ms: float, first_ms: float, among: int | None) -> None:
        """An answer of `output` tokens to a prompt of so many that were not cached. `first_ms` equals `ms` where it
        came in one piece; `among`: how many were under way when it was asked for, itself too, where known."""
        usual_ms = self.expected(prompt, output).ms
        if among is not None and usual_ms:
            self.load.add(among, min(ms / usual_ms, _MOST_LOAD), _KEPT)
        in_pieces = bool(output) and ms - first_ms > max(_AT_ONCE_MS, _AT_ONCE_PART * ms)
        self.pieces.add(in_pieces, _KEPT)
        self.first.add(prompt, first_ms, _KEPT)
        if in_pieces:
            self.token.add(ms - first_ms, _KEPT, output)
        self.whole.add(output, ms, _KEPT, min(1.0, max(output, 1) / _TELLING_TOKENS))

    def expected(self, prompt: float, output: float, among: int | None = None) -> Timing:
        """Where `among` will be under way, or as many as usually are."""
        slower = self._slower(among)
        first, whole = self.first.at(prompt), self.whole.at(output)
        if first is None or whole is None:
            return Timing()
        if self.pieces.total * 2 < self.pieces.weight:
            return Timing(whole * slower)
        per_token = self.token.total / self.token.weight
        return Timing((first + per_token * output) * slower, first * slower, 1000 / (per_token * slower))

    def _slower(self, among: int | None) -> float:
        """How many times the usual time it takes with so many under way."""
        if among is None or not self.load.weight:
            return 1.0
        usual, now = self.load.at(self.load.x / self.load.weight), self.load.at(among)
        if not usual or now is None:
            return 1.0
        return min(max(now / usual, 1 / _MOST_LOAD), _MOST_LOAD)
