"""What authorization costs a call: `Complete` by an ordinary user that asks polkit, against a yes that is remembered.

The same polkitd, rule and user as everywhere here (alice, allowed by the shipped rule for group `cortex`); only
`cache_s` differs, so the daemon is started in turns. One call in flight: equal checks at the same time are shared.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Case, Figure, Values
from bench.lab import Lab, Upstream
from bench.processes import CannotMeasure, cpu_seconds
from bench.samples import Side

SETTINGS = {"asked": "[authorization]\ncache_s = 0.0\n", "cached": "[authorization]\ncache_s = 30.0\n"}


@dataclass(slots=True)
class Way:
    """Rounds with one setting; polkitd and dbus-daemon in CPU per call of each round."""

    side: Side = field(default_factory=Side)
    polkitd_cpu_ms: list[float] = field(default_factory=list)
    bus_cpu_ms: list[float] = field(default_factory=list)


def run(lab: Lab) -> Values:
    ways = {name: Way() for name in SETTINGS}
    with lab.upstream() as upstream, lab.made_ledger(upstream) as ledger:
        for _ in range(2 if lab.quick else 4):
            for name, settings in SETTINGS.items():
                _round(lab, upstream, ledger, settings, ways[name])
    asked, cached = ways["asked"], ways["cached"]
    values = {f"polkit.{name}.{key}": value for name, way in ways.items() for key, value in _values(way)}
    return values | {
        "polkit.added_ms_p50": asked.side.latency_ms(0.5) - cached.side.latency_ms(0.5),
        "polkit.added_cpu_ms": asked.side.cpu_ms - cached.side.cpu_ms,
        "polkit.added_share": 1 - cached.side.cpu_ms / asked.side.cpu_ms,
        "polkit.p50_ratio": asked.side.latency_ms(0.5) / cached.side.latency_ms(0.5),
        "polkit.cpu_ratio": asked.side.cpu_ms / cached.side.cpu_ms,
    }


def _round(lab: Lab, upstream: Upstream, ledger: Path, settings: str, way: Way) -> None:
    calls = 60 if lab.quick else 150
    with lab.ready_daemon(upstream, ledger, settings=settings) as daemon:
        lab.calls(daemon, in_flight=1, calls=30)
        pids = (lab.polkit_pid(), lab.bus_pid())
        before = [cpu_seconds(pid) for pid in pids]
        done = lab.calls(daemon, in_flight=1, calls=calls)
        polkitd, bus = (1e3 * (cpu_seconds(pid) - then) / calls for pid, then in zip(pids, before, strict=True))
    if done.failures == calls:
        raise CannotMeasure(f"every call failed: {done.error}\n{daemon.log_end()}")
    way.side.rounds.append(done)
    way.polkitd_cpu_ms.append(polkitd)
    way.bus_cpu_ms.append(bus)


def _values(way: Way) -> Iterable[tuple[str, float]]:
    yield "p50_ms", way.side.latency_ms(0.5)
    yield "cpu_ms", way.side.cpu_ms
    yield "polkitd_cpu_ms", statistics.median(way.polkitd_cpu_ms)
    yield "bus_cpu_ms", statistics.median(way.bus_cpu_ms)
    yield "failures", way.side.failures


def _figures(name: str, how: str) -> Iterable[Figure]:
    yield Figure(f"polkit.{name}.p50_ms", "ms", f"median latency, {how}")
    yield Figure(f"polkit.{name}.cpu_ms", "ms", f"the daemon's CPU per call, {how}")
    yield Figure(f"polkit.{name}.polkitd_cpu_ms", "ms", f"polkitd's CPU per call, {how}")
    yield Figure(f"polkit.{name}.bus_cpu_ms", "ms", f"dbus-daemon's CPU per call, {how}")
    yield Figure(f"polkit.{name}.failures", "", f"calls that failed, {how}")


CASE = Case(
    name="polkit",
    summary="a check by polkit on each call against a remembered one",
    figures=(
        Figure("polkit.added_ms_p50", "ms", "median latency that a check adds to a call"),
        Figure("polkit.added_cpu_ms", "ms", "the daemon's CPU that a check adds"),
        Figure("polkit.added_share", "", "that as a share of the daemon's CPU of such a call", at_most=0.25),
        Figure("polkit.p50_ratio", "×", "median latency with a check over that without"),
        Figure("polkit.cpu_ratio", "×", "the daemon's CPU with a check over that without"),
        *_figures("asked", "each call asks polkit"),
        *_figures("cached", "the yes is remembered, as shipped"),
    ),
    run=run,
)
