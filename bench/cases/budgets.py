"""`Complete` with budgets on and off, against the bare SDK: the chat call with everything on that the targets speak of.

On: limits for the machine and for each user, by day and by month, far above what is spent, so that each call is
checked, reserved and settled against four of them; polkit, ledger and signals are on in both. There is one name on the
bus, so the daemons are started in turns, and the SDK is asked in each of these turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Case, Figure, Values
from bench.lab import Lab, SdkWorker, Upstream
from bench.processes import CannotMeasure
from bench.samples import Side

_LIMITS = 'day_usd = "100000"\nmonth_usd = "1000000"\n'
SETTINGS = {"off": "", "on": f"[budgets.machine]\n{_LIMITS}[budgets.each_user]\n{_LIMITS}"}
ASKED = {1: 200, 32: 640}  # in flight: calls in a turn


@dataclass(slots=True)
class Way:
    """Rounds of the daemon with one setting, by calls in flight, and the SDK's of the same turns."""

    ours: dict[int, Side] = field(default_factory=lambda: {in_flight: Side() for in_flight in ASKED})
    sdk: dict[int, Side] = field(default_factory=lambda: {in_flight: Side() for in_flight in ASKED})


def run(lab: Lab) -> Values:
    ways = {name: Way() for name in SETTINGS}
    with lab.upstream() as upstream, lab.made_ledger(upstream) as ledger, lab.sdk(upstream) as sdk:
        sdk.calls("claude", 32, 100)
        for _ in range(2 if lab.quick else 4):
            for name, settings in SETTINGS.items():
                _turn(lab, (upstream, ledger, settings), sdk, ways[name])
    on, off = ways["on"].ours, ways["off"].ours
    values = {f"budgets.{name}.{key}": value for name, way in ways.items() for key, value in _values(way)}
    return values | {
        "budgets.p50_ratio": on[1].latency_ms(0.5) / off[1].latency_ms(0.5),
        "budgets.cpu_ratio": on[1].cpu_ms / off[1].cpu_ms,
        "budgets.per_s_ratio": on[32].per_s / off[32].per_s,
    }


def _turn(lab: Lab, stage: tuple[Upstream, Path, str], sdk: SdkWorker, way: Way) -> None:
    upstream, ledger, settings = stage
    with lab.ready_daemon(upstream, ledger, settings=settings) as daemon:
        lab.calls(daemon, in_flight=32, calls=100)
        for in_flight, calls in ASKED.items():
            calls //= 3 if lab.quick else 1
            way.sdk[in_flight].rounds.append(sdk.calls("claude", in_flight, calls))
            done = lab.calls(daemon, in_flight=in_flight, calls=calls)
            if done.failures == calls:
                raise CannotMeasure(f"every call failed: {done.error}\n{daemon.log_end()}")
            way.ours[in_flight].rounds.append(done)


def _values(way: Way) -> Iterator[tuple[str, float]]:
    one, many = way.ours[1], way.ours[32]
    yield "p50_ms", one.latency_ms(0.5)
    yield "cpu_ms", one.cpu_ms
    yield "cpu_added_ms", one.cpu_ms - way.sdk[1].cpu_ms
    yield "cpu_over_sdk", one.cpu_ms / way.sdk[1].cpu_ms
    yield "sdk_cpu_ms", way.sdk[1].cpu_ms
    yield "per_s", many.per_s
    yield "failures", one.failures + many.failures


def _figures(name: str, *, targets: bool) -> Iterator[Figure]:
    how = f"budgets {name}"
    yield Figure(f"budgets.{name}.cpu_added_ms", "ms", f"CPU over the SDK's, {how}", at_most=1.3 if targets else None)
    over = f"CPU as a multiple of the SDK's, {how}"
    yield Figure(f"budgets.{name}.cpu_over_sdk", "×", over, at_most=1.8 if targets else None)
    yield Figure(f"budgets.{name}.p50_ms", "ms", f"median latency, {how}", at_most=3.5 if targets else None)
    per_s = f"requests answered per second, 32 in flight, {how}"
    yield Figure(f"budgets.{name}.per_s", "/s", per_s, at_least=400 if targets else None)
    yield Figure(f"budgets.{name}.cpu_ms", "ms", f"the daemon's CPU per request, {how}")
    yield Figure(f"budgets.{name}.sdk_cpu_ms", "ms", "CPU of the bare SDK call in the same turns")
    yield Figure(f"budgets.{name}.failures", "", f"calls that failed, {how}")


CASE = Case(
    name="budgets",
    summary="a chat call with four budgets on against none, and against the bare SDK",
    figures=(
        *_figures("on", targets=True),
        Figure("budgets.p50_ratio", "×", "median latency with budgets over that without"),
        Figure("budgets.cpu_ratio", "×", "CPU with budgets over that without"),
        Figure("budgets.per_s_ratio", "×", "requests per second with budgets over those without, 32 in flight"),
        *_figures("off", targets=False),
    ),
    run=run,
)
