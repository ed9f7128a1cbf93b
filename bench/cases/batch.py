"""`CompleteBatch` of 100 requests against 100 single calls with as many in flight, in turns."""

from __future__ import annotations

from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.processes import CannotMeasure, Child
from bench.samples import Round, Side

ITEMS = 100
PARALLEL = 8  # the daemon's own default


def run(lab: Lab) -> Values:
    sides = {"batch": Side(), "single": Side()}
    with lab.upstream() as upstream, lab.made_ledger(upstream) as ledger, lab.ready_daemon(upstream, ledger) as daemon:
        for name in sides:
            _round(lab, daemon, name)  # warm-up
        asked = upstream.stats()["answered"]
        for _ in range(3 if lab.quick else 12):
            for name, side in sides.items():
                side.rounds.append(_round(lab, daemon, name))
        asked = upstream.stats()["answered"] - asked
    good = sum(side.calls - side.failures for side in sides.values())
    if asked < good:
        raise CannotMeasure(f"{good} answers from {asked} upstream requests")
    return _values(sides["batch"], sides["single"])


def _round(lab: Lab, daemon: Child, name: str) -> Round:
    done = lab.calls(daemon, in_flight=PARALLEL, calls=ITEMS, batch=name == "batch")
    if done.failures == done.calls:
        raise CannotMeasure(f"every {name} request failed: {done.error}\n{daemon.log_end()}")
    return done


def _values(batch: Side, single: Side) -> Values:
    return {
        "batch.per_s": batch.per_s,
        "batch.cpu_ms": batch.cpu_ms,
        "batch.failures": batch.failures,
        "batch.single_per_s": single.per_s,
        "batch.single_cpu_ms": single.cpu_ms,
        "batch.per_s_ratio": batch.per_s / single.per_s,
        "batch.cpu_ratio": batch.cpu_ms / single.cpu_ms,
    }


CASE = Case(
    name="batch",
    summary=f"CompleteBatch of {ITEMS} against {ITEMS} single calls",
    figures=(
        Figure("batch.per_s", "/s", f"requests per second in batches of {ITEMS}, {PARALLEL} at a time"),
        Figure("batch.per_s_ratio", "×", f"that over single calls with {PARALLEL} in flight"),
        Figure("batch.cpu_ms", "ms", "the daemon's CPU per request in a batch"),
        Figure("batch.cpu_ratio", "×", "that over a single call's"),
        Figure("batch.single_per_s", "/s", f"single calls per second, {PARALLEL} in flight"),
        Figure("batch.single_cpu_ms", "ms", "the daemon's CPU per single call"),
        Figure("batch.failures", "", "requests of batches that failed"),
    ),
    run=run,
)
