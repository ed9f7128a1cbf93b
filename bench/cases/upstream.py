"""The upstream's own speed: it must never be what the other cases measure."""

from __future__ import annotations

import json
import subprocess

from bench.figures import Case, Figure, Values
from bench.lab import Lab, Upstream
from bench.processes import CannotMeasure

CONNECTIONS = 32
WINDOW_MS = 250


def run(lab: Lab) -> Values:
    windows = 3 if lab.quick else 8
    with lab.upstream() as upstream:
        before = upstream.child.cpu_seconds()
        results = [_window(lab, upstream) for _ in range(windows)]
        cpu = upstream.child.cpu_seconds() - before
    return {
        "upstream.per_s": max(result["answers"] / result["seconds"] for result in results),
        "upstream.cpu_us": 1e6 * cpu / sum(result["answers"] for result in results),
    }


def _window(lab: Lab, upstream: Upstream) -> dict[str, float]:
    command = [str(lab.programs / "load"), str(upstream.port), str(CONNECTIONS), str(WINDOW_MS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise CannotMeasure(f"load: {done.stderr.strip()}")
    return dict(json.loads(done.stdout))


CASE = Case(
    name="upstream",
    summary="requests per second of the fake provider",
    figures=(
        Figure(
            "upstream.per_s",
            "/s",
            "requests answered per second, 32 connections: the best of several windows, what it can do",
            at_least=40_000,
        ),
        Figure("upstream.cpu_us", "µs", "the upstream's own CPU per request"),
    ),
    run=run,
)
