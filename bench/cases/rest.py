"""What the daemon does while nobody asks: CPU, and how often it is woken, which keeps a laptop's processor awake."""

from __future__ import annotations

import time

from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.processes import wakes


def run(lab: Lab) -> Values:
    with lab.upstream() as upstream, lab.ledger_directory() as ledger, lab.ready_daemon(upstream, ledger) as daemon:
        lab.calls(daemon, in_flight=1, calls=10)
        daemon.settle()
        cpu_s, woken, began = daemon.cpu_seconds(), wakes(daemon.pid), time.monotonic()
        time.sleep(5 if lab.quick else 35)  # longer than what it does every half minute
        seconds = time.monotonic() - began
        return {
            "rest.cpu_ms_per_s": 1e3 * (daemon.cpu_seconds() - cpu_s) / seconds,
            "rest.wakes_per_s": (wakes(daemon.pid) - woken) / seconds,
        }


CASE = Case(
    name="rest",
    summary="CPU and wake-ups of the daemon while nobody asks",
    figures=(
        Figure("rest.cpu_ms_per_s", "ms", "the daemon's CPU per second at rest, after its first requests", at_most=0.5),
        Figure("rest.wakes_per_s", "/s", "how often one of its threads is woken", at_most=1),
    ),
    run=run,
)
