"""`Complete` over the bus against the bare SDK call: the same upstream, the same run, rounds taken in turns.

The caller is a C program with hand-made messages, so its own cost (tens of microseconds) does not matter. Both sides
keep N calls in flight until all are answered. `added` is ours minus the SDK's; CPU is of all threads of the daemon
(ours) and of the process that holds the SDK (theirs). dbus-daemon's share is reported beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.figures import Case, Figure, Values
from bench.lab import Lab, SdkWorker, Upstream
from bench.processes import CannotMeasure, Child, cpu_seconds
from bench.samples import Round, Side, spread_of_added_ms


@dataclass(frozen=True, slots=True)
class Load:
    """`in_flight` calls of one task type, and the SDK calls of the vendor that answers it. Calls are per round."""

    prefix: str
    in_flight: int
    calls: int
    rounds: int
    task: str = "user_chat"
    vendor: str = "claude"

    def quick(self) -> Load:
        return Load(self.prefix, self.in_flight, max(self.in_flight, self.calls // 3), 2, self.task, self.vendor)


@dataclass(slots=True)
class Duel:
    """Both sides of one load, and dbus-daemon's CPU during ours."""

    ours: Side = field(default_factory=Side)
    theirs: Side = field(default_factory=Side)
    bus_cpu_s: float = 0.0


LOADS = (
    Load("complete.1", 1, calls=150, rounds=12),
    Load("complete.32", 32, calls=640, rounds=6),
    Load("complete.256", 256, calls=1280, rounds=4),
    Load("complete.kimi_k2.1", 1, calls=150, rounds=6, task="configuration", vendor="kimi_k2"),
)
_LEAST_PER_S = {"complete.32": 0.85, "complete.256": 0.8}  # over the SDK's


@dataclass(frozen=True, slots=True)
class Ring:
    """Where the duels take place: one upstream, one daemon, one SDK process for all loads."""

    lab: Lab
    upstream: Upstream
    daemon: Child
    sdk: SdkWorker

    def ours(self, load: Load, calls: int) -> Round:
        """One round over the bus. Raises CannotMeasure when an answer did not come from the upstream."""
        before = self.upstream.stats()["answered"]
        done = self.lab.calls(self.daemon, in_flight=load.in_flight, calls=calls, task=load.task)
        asked = self.upstream.stats()["answered"] - before
        if asked < done.calls - done.failures:
            raise CannotMeasure(f"{load.prefix}: {done.calls - done.failures} answers from {asked} upstream requests")
        return done

    def theirs(self, load: Load, calls: int) -> Round:
        return self.sdk.calls(load.vendor, load.in_flight, calls)

    def bus_cpu(self) -> float:
        return cpu_seconds(self.lab.bus_pid())


def fight(ring: Ring, load: Load) -> Duel:
    """One warm-up and then the rounds, theirs and ours in turns."""
    duel = Duel()
    warm_up = max(load.in_flight, 50)
    ring.theirs(load, warm_up)
    ring.ours(load, warm_up)
    for _ in range(load.rounds):
        duel.theirs.rounds.append(ring.theirs(load, load.calls))
        bus = ring.bus_cpu()
        duel.ours.rounds.append(ring.ours(load, load.calls))
        duel.bus_cpu_s += ring.bus_cpu() - bus
    for name, side in (("cortexd", duel.ours), ("the SDK", duel.theirs)):
        if side.failures == side.calls:
            text = f"every call to {name} failed: {side.first_error()}\n{ring.daemon.log_end()}"
            raise CannotMeasure(f"{load.prefix}: {text}")
    return duel


def values_of(load: Load, duel: Duel) -> dict[str, float]:
    ours, theirs = duel.ours, duel.theirs
    values = {
        "p50_ms": ours.latency_ms(0.5),
        "p95_ms": ours.latency_ms(0.95),
        "p99_ms": ours.latency_ms(0.99),
        "per_s": ours.per_s,
        "failures": ours.failures,
        "cpu_ms": ours.cpu_ms,
        "bus_cpu_ms": 1e3 * duel.bus_cpu_s / ours.calls,
        "sdk_p50_ms": theirs.latency_ms(0.5),
        "sdk_per_s": theirs.per_s,
        "sdk_cpu_ms": theirs.cpu_ms,
        "sdk_failures": theirs.failures,
        "added_ms_p50": ours.latency_ms(0.5) - theirs.latency_ms(0.5),
        "added_ms_spread": spread_of_added_ms(ours, theirs),
        "p50_ratio": ours.latency_ms(0.5) / theirs.latency_ms(0.5),
        "cpu_ratio": ours.cpu_ms / theirs.cpu_ms,
        "cpu_added_ms": ours.cpu_ms - theirs.cpu_ms,
        "per_s_ratio": ours.per_s / theirs.per_s,
    }
    return {f"{load.prefix}.{name}": value for name, value in values.items()}


def run(lab: Lab) -> Values:
    values: dict[str, float] = {}
    with (
        lab.upstream() as upstream,
        lab.made_ledger(upstream) as ledger,
        lab.sdk(upstream) as sdk,
        lab.ready_daemon(upstream, ledger) as daemon,
    ):
        ring = Ring(lab, upstream, daemon, sdk)
        for load in LOADS:
            values |= values_of(load, fight(ring, load.quick() if lab.quick else load))
    return values


def _figures(load: Load) -> tuple[Figure, ...]:
    one, many = load.prefix == "complete.1", load.prefix == "complete.256"
    table = (
        ("added_ms_p50", "ms", "median latency minus the SDK's", 2.5 if one else None),
        ("added_ms_spread", "ms", "how far that differed between rounds", None),
        ("p50_ms", "ms", "median latency over the bus", None),
        ("p95_ms", "ms", "95th percentile", None),
        ("p99_ms", "ms", "99th percentile", None),
        ("p50_ratio", "×", "median latency over the SDK's", 2.0 if one else None),
        ("cpu_ms", "ms", "the daemon's CPU per request, in all", 4.0 if one else None),
        ("cpu_ratio", "×", "that over the SDK's", None),
        ("cpu_added_ms", "ms", "that minus the SDK's", None),
        ("bus_cpu_ms", "ms", "dbus-daemon's CPU per request", None),
        ("per_s", "/s", "requests answered per second", None),
        ("per_s_ratio", "×", "that over the SDK's", None),
        ("failures", "", "calls that failed", 0.0 if many else None),
        ("sdk_p50_ms", "ms", "median latency of the bare SDK call", None),
        ("sdk_cpu_ms", "ms", "CPU of the bare SDK call", None),
        ("sdk_per_s", "/s", "bare SDK calls per second", None),
        ("sdk_failures", "", "bare SDK calls that failed", None),
    )
    at_least = {"per_s_ratio": _LEAST_PER_S.get(load.prefix)}
    return tuple(
        Figure(f"{load.prefix}.{name}", unit, text, at_most, at_least.get(name)) for name, unit, text, at_most in table
    )


CASE = Case(
    name="complete",
    summary="Complete over the bus against the bare SDK, at 1, 32 and 256 in flight",
    figures=tuple(figure for load in LOADS for figure in _figures(load)),
    run=run,
)
