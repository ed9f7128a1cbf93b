"""The bus itself: the same call answered by an echo service in C. No service on D-Bus can be faster than this.

And beside it the daemon's own rooms between the bus and a request's life, with an answer that is there already.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.processes import Child, cpu_seconds
from bench.samples import Side

LOADS = (1, 32)


def run(lab: Lab) -> Values:
    with lab.echo() as echo:
        values = dict(_measured(lab, echo, "floor"))
    with lab.bus_rooms() as rooms:
        return values | dict(_measured(lab, rooms, "floor.rooms"))


def _measured(lab: Lab, service: Child, prefix: str) -> Iterator[tuple[str, float]]:
    calls = 1000 if lab.quick else 5000
    lab.calls(service, in_flight=32, calls=200)
    for in_flight in LOADS:
        bus = cpu_seconds(lab.bus_pid())
        side = Side([lab.calls(service, in_flight=in_flight, calls=calls)])
        yield f"{prefix}.{in_flight}.p50_ms", side.latency_ms(0.5)
        yield f"{prefix}.{in_flight}.per_s", side.per_s
        yield f"{prefix}.{in_flight}.cpu_ms", side.cpu_ms
        yield f"{prefix}.{in_flight}.bus_cpu_ms", 1e3 * (cpu_seconds(lab.bus_pid()) - bus) / side.calls


def _figures(prefix: str, who: str) -> Iterator[Figure]:
    for in_flight in LOADS:
        how = f"{who}, {in_flight} in flight"
        yield Figure(f"{prefix}.{in_flight}.p50_ms", "ms", f"median latency of {how}")
        yield Figure(f"{prefix}.{in_flight}.per_s", "/s", f"answers per second of {how}")
        yield Figure(f"{prefix}.{in_flight}.cpu_ms", "ms", f"CPU per call of {how}")
        yield Figure(f"{prefix}.{in_flight}.bus_cpu_ms", "ms", f"dbus-daemon's CPU per call to {how}")


CASE = Case(
    name="floor",
    summary="an echo service in C over the same bus, and the daemon's bus rooms alone",
    figures=(*_figures("floor", "the echo in C"), *_figures("floor.rooms", "the daemon's bus rooms alone")),
    run=run,
)
