"""The bus itself: the same call answered by an echo service in C. No service on D-Bus can be faster than this."""

from __future__ import annotations

from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.processes import cpu_seconds
from bench.samples import Side

LOADS = (1, 32)


def run(lab: Lab) -> Values:
    calls = 1000 if lab.quick else 5000
    values: dict[str, float] = {}
    with lab.echo() as echo:
        lab.calls(echo, in_flight=32, calls=200)
        for in_flight in LOADS:
            bus = cpu_seconds(lab.bus_pid())
            side = Side([lab.calls(echo, in_flight=in_flight, calls=calls)])
            values |= {
                f"floor.{in_flight}.p50_ms": side.latency_ms(0.5),
                f"floor.{in_flight}.per_s": side.per_s,
                f"floor.{in_flight}.bus_cpu_ms": 1e3 * (cpu_seconds(lab.bus_pid()) - bus) / side.calls,
            }
    return values


def _figures(in_flight: int) -> tuple[Figure, ...]:
    prefix = f"floor.{in_flight}"
    return (
        Figure(f"{prefix}.p50_ms", "ms", "median latency of an echo over the bus"),
        Figure(f"{prefix}.per_s", "/s", "echoes per second"),
        Figure(f"{prefix}.bus_cpu_ms", "ms", "dbus-daemon's CPU per echo"),
    )


CASE = Case(
    name="floor",
    summary="an echo service in C over the same bus",
    figures=tuple(figure for in_flight in LOADS for figure in _figures(in_flight)),
    run=run,
)
