"""The machine: figures of two runs can be compared only where these are alike."""

from __future__ import annotations

import os
import time

from bench.figures import Case, Figure, Values
from bench.lab import Lab

STEPS = 200_000
ROUNDS = 7


def run(_lab: Lab) -> Values:
    spins_ms = [_spin_ms() for _ in range(ROUNDS)]
    return {
        "machine.cores": len(os.sched_getaffinity(0)),
        "machine.load": os.getloadavg()[0],
        "machine.spin_ms": min(spins_ms),
        "machine.spin_worst_ms": max(spins_ms),
    }


def _spin_ms() -> float:
    start = time.perf_counter()
    total = 0
    for step in range(STEPS):
        total += step * step
    return 1e3 * (time.perf_counter() - start)


CASE = Case(
    name="machine",
    summary="how fast, and how busy, the machine is",
    figures=(
        Figure("machine.cores", "", "cores that the benchmark may use"),
        Figure("machine.load", "", "the load average when the case began"),
        Figure("machine.spin_ms", "ms", f"{STEPS:,} steps of pure Python, the best of {ROUNDS}"),
        Figure("machine.spin_worst_ms", "ms", "the worst of these; far from the best, others are at work"),
    ),
    run=run,
)
