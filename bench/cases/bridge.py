"""The bridge against the bare SDK: the same program asks the same upstream, itself and through the bridge, in turns.

The program is Anthropic's SDK in a process of its own, and `added` is what it waits longer. CPU is of all threads of
bridge and daemon, over that of the program's process where it asks the upstream itself. The stream's reader parses
nothing. A cold bridge is one that a program's connection has to start.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bench import bridges
from bench.figures import Case, Figure, Values
from bench.lab import Lab, SdkWorker, Upstream
from bench.processes import CannotMeasure, Child, cpu_seconds, pss_mb
from bench.samples import Round, Side, StreamSide, spread_of_added_ms

CHUNKS = 200
VENDOR, USUAL = "claude", "usual"
MANY = 32


@dataclass(frozen=True, slots=True)
class Stage:
    """One upstream and one bridge; `bare` asks the first, `bridged` the second."""

    lab: Lab
    upstream: Upstream
    running: bridges.Running
    bare: SdkWorker
    bridged: SdkWorker


@dataclass(slots=True)
class Duel:
    """Both sides, and what the bridge's process had of ours."""

    ours: Side = field(default_factory=Side)
    theirs: Side = field(default_factory=Side)
    bridge_cpu_s: float = 0.0
    bus_cpu_s: float = 0.0


def run(lab: Lab) -> Values:
    with lab.upstream() as upstream, lab.made_ledger(upstream) as ledger, lab.ready_daemon(upstream, ledger) as daemon:
        with bridges.bridge(lab, daemon) as running:
            values = {"bridge.idle_mb": pss_mb(running.bridge.pid)}
            with (
                lab.python_worker("bench.sdk_worker", upstream.url, VENDOR, USUAL) as bare,
                bridges.program(lab, "bench.sdk_worker", running.url, VENDOR) as bridged,
            ):
                values |= _calls(Stage(lab, upstream, running, bare, bridged))
            with (
                lab.python_worker("bench.stream_worker", upstream.url) as bare,
                bridges.program(lab, "bench.stream_worker", running.url) as bridged,
            ):
                values |= _streams(Stage(lab, upstream, running, bare, bridged))
            running.bridge.settle()
            values["bridge.used_mb"] = pss_mb(running.bridge.pid)
        return values | _cold(lab, daemon)


def _calls(on: Stage) -> dict[str, float]:
    one, many = Duel(), Duel()
    _fight(on, one, in_flight=1, calls=50 if on.lab.quick else 150, rounds=2 if on.lab.quick else 8)
    usual_rounds = [on.bare.calls(USUAL, 1, 50) for _ in range(4)][1:]
    _fight(on, many, in_flight=MANY, calls=192 if on.lab.quick else 640, rounds=2 if on.lab.quick else 4)
    ours, theirs, usual = one.ours, one.theirs, Side(usual_rounds)
    return {
        "bridge.added_ms_p50": ours.latency_ms(0.5) - theirs.latency_ms(0.5),
        "bridge.added_ms_spread": spread_of_added_ms(ours, theirs),
        "bridge.p50_ms": ours.latency_ms(0.5),
        "bridge.p99_ms": ours.latency_ms(0.99),
        "bridge.sdk_p50_ms": theirs.latency_ms(0.5),
        "bridge.cpu_over_sdk": ours.cpu_ms / theirs.cpu_ms,
        "bridge.cpu_over_usual_sdk": ours.cpu_ms / usual.cpu_ms,
        "bridge.cpu_ms": ours.cpu_ms,
        "bridge.own_cpu_ms": 1e3 * one.bridge_cpu_s / ours.calls,
        "bridge.bus_cpu_ms": 1e3 * one.bus_cpu_s / ours.calls,
        "bridge.sdk_cpu_ms": theirs.cpu_ms,
        "bridge.per_s": many.ours.per_s,
        "bridge.per_s_over_sdk": many.ours.per_s / many.theirs.per_s,
        "bridge.many_cpu_over_sdk": many.ours.cpu_ms / many.theirs.cpu_ms,
        "bridge.failures": ours.failures + many.ours.failures,
    }


def _fight(on: Stage, duel: Duel, *, in_flight: int, calls: int, rounds: int) -> None:
    """One warm-up and then the rounds, theirs and ours in turns."""
    warm_up = max(in_flight, 50)
    on.bare.calls(VENDOR, in_flight, warm_up)
    _asked(on, in_flight, warm_up)
    for _ in range(rounds):
        duel.theirs.rounds.append(on.bare.calls(VENDOR, in_flight, calls))
        bridge, bus = on.running.bridge.cpu_seconds(), cpu_seconds(on.lab.bus_pid())
        duel.ours.rounds.append(_asked(on, in_flight, calls))
        duel.bridge_cpu_s += on.running.bridge.cpu_seconds() - bridge
        duel.bus_cpu_s += cpu_seconds(on.lab.bus_pid()) - bus


def _asked(on: Stage, in_flight: int, calls: int) -> Round:
    """A round through the bridge. Raises CannotMeasure when an answer did not come from the upstream."""
    before = on.upstream.stats()["answered"]
    done = on.running.calls(on.bridged, VENDOR, in_flight, calls)
    good, answered = done.calls - done.failures, on.upstream.stats()["answered"] - before
    if not good or answered < good:
        text = f"{good} answers of {done.calls} from {answered} upstream requests: {done.error}"
        raise CannotMeasure(f"{text}\n{on.running.bridge.log_end()}")
    return done


def _streams(on: Stage) -> dict[str, float]:
    on.upstream.set(chunks=CHUNKS)
    ours, sdk, raw = StreamSide(), StreamSide(), StreamSide()
    streams, rounds = (15, 2) if on.lab.quick else (40, 5)
    for turn in range(1 + rounds):  # the first is the warm-up
        for side, done in (
            (ours, on.running.streams(on.bridged, "raw", streams)),
            (sdk, on.bare.streams("sdk", streams)),
            (raw, on.bare.streams("raw", streams)),
        ):
            if not done.chunks:
                raise CannotMeasure(f"streams without chunks: {done.error}\n{on.running.bridge.log_end()}")
            if turn:
                side.rounds.append(done)
    return {
        "bridge.raw_stream_cpu_ms": ours.cpu_ms,
        "bridge.stream_cpu_over_sdk": ours.cpu_ms / sdk.cpu_ms,
        "bridge.stream_first_added_ms_p50": ours.first_ms - raw.first_ms,
        "bridge.stream_sdk_cpu_ms": sdk.cpu_ms,
    }


def _cold(lab: Lab, daemon: Child) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="cortexd-bench-") as directory:
        Path(directory).chmod(0o755)
        starts = [
            bridges.first_answer_s(lab, Path(directory) / f"{turn}.sock") for turn in range(3 if lab.quick else 9)
        ]
    assert daemon.alive(), daemon.log_end()
    cold, warm = (statistics.median(times) for times in zip(*starts[1:], strict=True))  # the first one compiles
    return {"bridge.cold_s": cold - warm, "bridge.cold_first_s": cold}


CASE = Case(
    name="bridge",
    summary="a program's SDK through the bridge against the same SDK bare; streams, memory, a cold start",
    figures=(
        Figure("bridge.added_ms_p50", "ms", "median latency minus the SDK's", at_most=3),
        Figure("bridge.added_ms_spread", "ms", "how far that differed between rounds"),
        Figure("bridge.p50_ms", "ms", "median latency through the bridge"),
        Figure("bridge.p99_ms", "ms", "99th percentile"),
        Figure("bridge.sdk_p50_ms", "ms", "median latency of the bare SDK"),
        Figure("bridge.cpu_over_sdk", "×", "CPU of bridge and daemon over the bare SDK's own", at_most=2.2),
        Figure("bridge.cpu_over_usual_sdk", "×", "the same over the SDK as it comes, on httpx"),
        Figure("bridge.cpu_ms", "ms", "CPU of bridge and daemon per request"),
        Figure("bridge.own_cpu_ms", "ms", "the bridge's part of that, mean"),
        Figure("bridge.bus_cpu_ms", "ms", "dbus-daemon's CPU per request, mean"),
        Figure("bridge.sdk_cpu_ms", "ms", "CPU of the bare SDK's call"),
        Figure("bridge.per_s", "/s", f"requests answered per second, {MANY} in flight"),
        Figure("bridge.per_s_over_sdk", "×", "that over the SDK's"),
        Figure("bridge.many_cpu_over_sdk", "×", f"CPU over the SDK's, {MANY} in flight"),
        Figure("bridge.failures", "", "calls that failed", at_most=0),
        Figure("bridge.raw_stream_cpu_ms", "ms", f"CPU of both per stream of {CHUNKS} chunks", at_most=5),
        Figure("bridge.stream_cpu_over_sdk", "×", "that over the bare SDK reading the same stream"),
        Figure("bridge.stream_first_added_ms_p50", "ms", "from the call to the first text, minus that of raw bytes"),
        Figure("bridge.stream_sdk_cpu_ms", "ms", "CPU of the bare SDK per stream"),
        Figure(
            "bridge.idle_mb", "MB", "the bridge at rest before the first request, shared pages by share", at_most=30
        ),
        Figure("bridge.used_mb", "MB", "the same after all of this"),
        Figure("bridge.cold_s", "s", "first answer where the connection starts the bridge, minus the next", at_most=1),
        Figure("bridge.cold_first_s", "s", "from asking to that answer"),
    ),
    run=run,
)
