"""The upstream's own speed: it must never be what the other cases measure."""

from __future__ import annotations

import json
import subprocess

from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.processes import CannotMeasure

CONNECTIONS = 32


def run(lab: Lab) -> Values:
    milliseconds = 500 if lab.quick else 2000
    with lab.upstream() as upstream:
        command = [str(lab.programs / "load"), str(upstream.port), str(CONNECTIONS), str(milliseconds)]
        before = upstream.child.cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        cpu = upstream.child.cpu_seconds() - before
    if done.returncode:
        raise CannotMeasure(f"load: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    return {
        "upstream.per_s": result["answers"] / result["seconds"],
        "upstream.cpu_us": 1e6 * cpu / result["answers"],
    }


CASE = Case(
    name="upstream",
    summary="requests per second of the fake provider",
    figures=(
        Figure("upstream.per_s", "/s", "requests answered per second, 32 connections", at_least=40_000),
        Figure("upstream.cpu_us", "µs", "the upstream's own CPU per request"),
    ),
    run=run,
)
