"""Latencies and CPU of one side of a comparison, gathered over several rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


def percentile(sorted_values: Sequence[float], fraction: float) -> float:
    """The nearest-rank percentile of values that are sorted already; 0 of none."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, int(fraction * len(sorted_values)))]


@dataclass(frozen=True, slots=True)
class Round:
    """One round of calls. `cpu_s` is what the measured side spent; `error` the first failure's text."""

    calls: int
    failures: int
    seconds: float
    cpu_s: float
    latency_ns: Sequence[int]
    error: str = ""

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.latency_ns) / 1e6 if self.latency_ns else 0.0


@dataclass(slots=True)
class Side:
    """All rounds of one side."""

    rounds: list[Round] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return sum(r.calls for r in self.rounds)

    @property
    def failures(self) -> int:
        return sum(r.failures for r in self.rounds)

    @property
    def per_s(self) -> float:
        """Calls that succeeded per second: the median of the rounds, so that one disturbed round does not count."""
        return statistics.median((r.calls - r.failures) / r.seconds for r in self.rounds)

    @property
    def cpu_ms(self) -> float:
        """CPU per call, all threads, user and system: the median of the rounds."""
        return statistics.median(1e3 * r.cpu_s / r.calls for r in self.rounds)

    def latency_ms(self, fraction: float) -> float:
        """A percentile over the calls of all rounds."""
        return percentile(sorted(ns for r in self.rounds for ns in r.latency_ns), fraction) / 1e6

    def first_error(self) -> str:
        return next((r.error for r in self.rounds if r.error), "")


@dataclass(frozen=True, slots=True)
class StreamRound:
    """Streams read one after the other. `cpu_s` is what the measured side spent; `chunks` are those of good streams.

    `first_ns` and `latency_ns` are from the call to its first text and to its end. `events`: lines that carried the
    chunks, where several may share one; 0 where nobody counted.
    """

    streams: int
    failures: int
    chunks: int
    seconds: float
    cpu_s: float
    first_ns: Sequence[int]
    latency_ns: Sequence[int]
    error: str = ""
    events: int = 0


@dataclass(slots=True)
class StreamSide:
    """All rounds of one reader."""

    rounds: list[StreamRound] = field(default_factory=list)

    @property
    def failures(self) -> int:
        return sum(r.failures for r in self.rounds)

    @property
    def cpu_ms(self) -> float:
        """CPU per stream: the median of the rounds."""
        return statistics.median(1e3 * r.cpu_s / r.streams for r in self.rounds)

    @property
    def first_ms(self) -> float:
        """From the call to the first text, the median of all streams."""
        return statistics.median(ns for r in self.rounds for ns in r.first_ns) / 1e6

    @property
    def chunks_per_s(self) -> float:
        """Chunks in the time from a round's begin to its end: the median of the rounds."""
        return statistics.median(r.chunks / r.seconds for r in self.rounds)

    @property
    def chunks_per_event(self) -> float:
        events = sum(r.events for r in self.rounds)
        return sum(r.chunks for r in self.rounds) / events if events else 0.0

    def first_error(self) -> str:
        return next((r.error for r in self.rounds if r.error), "")


def spread_of_added_ms(ours: Side, theirs: Side) -> float:
    """Largest minus smallest difference of the medians, over rounds that ran one after the other."""
    added = [a.p50_ms - b.p50_ms for a, b in zip(ours.rounds, theirs.rounds, strict=True)]
    return max(added) - min(added)
