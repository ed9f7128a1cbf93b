"""`OpenStream` against the same stream read through the bare SDK and as raw bytes, on the same upstream in turns.

The reader is a C program that counts the chunks and checks their order, so a stream that is not whole is a failure.
An upstream that sends as fast as it can lets a daemon put several chunks into one event; paced at one chunk every
2 ms it cannot, so `paced` is what each chunk costs by itself.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.figures import Case, Figure, Values
from bench.lab import Lab, SdkWorker, Upstream
from bench.processes import CannotMeasure, Child
from bench.samples import StreamRound, StreamSide

CHUNKS = 200
LONG_CHUNKS = 20_000
BURST = 50
PACE_US = 2_000
CANCEL_PACE_US = 5_000
READERS = ("ours", "sdk", "raw")
_CLOSE_S = 10.0

Sides = dict[str, StreamSide]


@dataclass(frozen=True, slots=True)
class Stage:
    """One upstream, one daemon, one process of readers for all of it."""

    lab: Lab
    upstream: Upstream
    daemon: Child
    worker: SdkWorker

    def read(self, reader: str, streams: int, chunks: int) -> StreamRound:
        if reader == "ours":
            return self.lab.streams(self.daemon, streams=streams, chunks=chunks)
        return self.worker.streams(reader, streams)

    def in_turns(self, *, rounds: int, streams: int, chunks: int) -> Sides:
        """A warm-up, then rounds of every reader in turns. Raises CannotMeasure where all streams of one failed."""
        sides = {reader: StreamSide() for reader in READERS}
        for turn in range(1 + rounds):
            for reader, side in sides.items():
                done = self.read(reader, streams, chunks)
                if done.failures == done.streams or (reader != "ours" and done.chunks != streams * chunks):
                    text = f"{done.chunks} chunks of {streams * chunks}; {done.error}"
                    raise CannotMeasure(f"streams of {reader}: {text}\n{self.daemon.log_end()}")
                if turn:
                    side.rounds.append(done)
        return sides


@contextlib.contextmanager
def stage(lab: Lab) -> Iterator[Stage]:
    with (
        lab.upstream() as upstream,
        lab.made_ledger(upstream) as ledger,
        lab.python_worker("bench.stream_worker", upstream.url) as worker,
        lab.ready_daemon(upstream, ledger) as daemon,
    ):
        yield Stage(lab, upstream, daemon, worker)


def run(lab: Lab) -> Values:
    with stage(lab) as on:
        values: dict[str, float] = {}
        for part in (_free, _paced, _long, _cancelled):
            values |= part(on, lab.quick)
    return values


def _free(on: Stage, quick: bool) -> dict[str, float]:
    on.upstream.set(chunks=CHUNKS, chunk_us=0, burst=1)
    sides = on.in_turns(rounds=2 if quick else 6, streams=15 if quick else 40, chunks=CHUNKS)
    ours, sdk, raw = (sides[reader] for reader in READERS)
    return {
        "stream.cpu_ms": ours.cpu_ms,
        "stream.cpu_over_sdk": ours.cpu_ms / sdk.cpu_ms,
        "stream.cpu_over_raw": ours.cpu_ms / raw.cpu_ms,
        "stream.sdk_cpu_ms": sdk.cpu_ms,
        "stream.raw_cpu_ms": raw.cpu_ms,
        "stream.chunks_per_event": ours.chunks_per_event,
        "stream.first_ms_p50": ours.first_ms,
        "stream.first_added_ms_p50": ours.first_ms - raw.first_ms,
        "stream.first_over_sdk": ours.first_ms / sdk.first_ms,
        "stream.failures": ours.failures,
    }


def _paced(on: Stage, quick: bool) -> dict[str, float]:
    on.upstream.set(chunks=CHUNKS, chunk_us=PACE_US, burst=1)
    sides = on.in_turns(rounds=1 if quick else 3, streams=3 if quick else 5, chunks=CHUNKS)
    ours, sdk, raw = (sides[reader] for reader in READERS)
    return {
        "stream.paced_cpu_ms": ours.cpu_ms,
        "stream.paced_cpu_over_sdk": ours.cpu_ms / sdk.cpu_ms,
        "stream.paced_cpu_over_raw": ours.cpu_ms / raw.cpu_ms,
        "stream.paced_chunks_per_event": ours.chunks_per_event,
        "stream.paced_first_added_ms_p50": ours.first_ms - raw.first_ms,
    }


def _long(on: Stage, quick: bool) -> dict[str, float]:
    on.upstream.set(chunks=LONG_CHUNKS, chunk_us=0, burst=BURST)
    sides = on.in_turns(rounds=1 if quick else 4, streams=1 if quick else 2, chunks=LONG_CHUNKS)
    ours, sdk, raw = (sides[reader] for reader in READERS)
    return {
        "stream.chunks_per_s": ours.chunks_per_s,
        "stream.per_s_over_sdk": ours.chunks_per_s / sdk.chunks_per_s,
        "stream.per_s_over_raw": ours.chunks_per_s / raw.chunks_per_s,
        "stream.sdk_chunks_per_s": sdk.chunks_per_s,
        "stream.raw_chunks_per_s": raw.chunks_per_s,
        "stream.long_failures": ours.failures,
    }


def _cancelled(on: Stage, quick: bool) -> dict[str, float]:
    on.upstream.set(chunks=LONG_CHUNKS, chunk_us=CANCEL_PACE_US, burst=1)
    closed_ms = [_close_ms(on) for _ in range(5 if quick else 20)]
    return {"stream.cancel_ms_p50": statistics.median(closed_ms), "stream.cancel_ms_max": max(closed_ms)}


def _close_ms(on: Stage) -> float:
    """From the close of the read end to the TCP close that the upstream sees."""
    before = on.upstream.stats()["aborts"]
    left = on.lab.leave_stream(on.daemon, after=10)
    if left["failures"]:
        raise CannotMeasure(f"a stream to cancel: {left['error']}\n{on.daemon.log_end()}")
    stats = _wait(on.upstream, lambda stats: stats["aborts"] > before)
    return (stats["abort_ns"] - int(left["left_ns"])) / 1e6


def _wait(upstream: Upstream, come: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    deadline = time.monotonic() + _CLOSE_S
    while time.monotonic() < deadline:
        if come(stats := upstream.stats()):
            return stats
        time.sleep(0.01)
    raise CannotMeasure(f"the upstream saw no TCP close in {_CLOSE_S:.0f} s after the reader had left")


CASE = Case(
    name="stream",
    summary="OpenStream against the SDK's stream and raw bytes; cancelling",
    figures=(
        Figure("stream.cpu_ms", "ms", f"the daemon's CPU per stream of {CHUNKS} chunks", at_most=8),
        Figure("stream.cpu_over_sdk", "×", "that over the bare SDK reading the same stream"),
        Figure("stream.cpu_over_raw", "×", "that over reading its raw bytes"),
        Figure("stream.paced_cpu_ms", "ms", f"the same with a chunk every {PACE_US / 1000:g} ms"),
        Figure("stream.paced_cpu_over_sdk", "×", "that over the bare SDK at that pace"),
        Figure("stream.paced_cpu_over_raw", "×", "that over reading its raw bytes at that pace"),
        Figure("stream.chunks_per_s", "/s", f"chunks a second, streams of {LONG_CHUNKS:,}", at_least=20_000),
        Figure("stream.per_s_over_sdk", "×", "that over the bare SDK's"),
        Figure("stream.per_s_over_raw", "×", "that over reading raw bytes"),
        Figure(
            "stream.first_added_ms_p50", "ms", "from the call to the first text, over raw bytes, medians", at_most=1.5
        ),
        Figure("stream.paced_first_added_ms_p50", "ms", "the same where chunks come one by one"),
        Figure("stream.first_ms_p50", "ms", "from the call to the first text, median"),
        Figure("stream.first_over_sdk", "×", "that over the bare SDK's"),
        Figure("stream.cancel_ms_p50", "ms", "from closing the read end to the TCP close upstream, median"),
        Figure("stream.cancel_ms_max", "ms", "the longest of these"),
        Figure("stream.chunks_per_event", "", "chunks in one line of the pipe"),
        Figure("stream.paced_chunks_per_event", "", f"the same with a chunk every {PACE_US / 1000:g} ms"),
        Figure("stream.sdk_cpu_ms", "ms", f"CPU of the bare SDK per stream of {CHUNKS} chunks"),
        Figure("stream.raw_cpu_ms", "ms", "CPU of reading its raw bytes"),
        Figure("stream.sdk_chunks_per_s", "/s", f"chunks a second of the bare SDK, streams of {LONG_CHUNKS:,}"),
        Figure("stream.raw_chunks_per_s", "/s", "chunks a second as raw bytes"),
        Figure("stream.failures", "", f"streams of {CHUNKS} chunks that failed or were not whole"),
        Figure("stream.long_failures", "", f"streams of {LONG_CHUNKS:,} chunks that failed or were not whole"),
    ),
    run=run,
)
