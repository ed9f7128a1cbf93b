"""The peers beside cortexd: LiteLLM's Router and TensorZero's gateway in a program's own process, and LiteLLM's proxy,
on the same upstream in turns.

Each is asked as it is used: cortexd over the bus, the proxy over HTTP, Router, gateway and the bare SDK in their own
process (so their CPU holds the caller's part too). `ratio` is the peer's figure over cortexd's of the same run.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from bench import peers
from bench.figures import Case, Figure, Values
from bench.lab import Lab, SdkWorker, Upstream
from bench.processes import CannotMeasure, rss_mb
from bench.samples import Round, Side

PEERS = ("router", "tensorzero", "proxy")
CONTESTANTS = ("cortexd", *PEERS, "sdk")
ASKED = {1: (60, 6), 32: (320, 4)}  # in flight: calls in a round, rounds

Ask = Callable[[int, int], Round]


@dataclass(slots=True)
class Contestant:
    """`ask(in_flight, calls)` is one round; `first_s` is from spawn to the first answer."""

    pid: int
    first_s: float
    ask: Ask
    sides: dict[int, Side] = field(default_factory=lambda: {in_flight: Side() for in_flight in ASKED})


def run(lab: Lab) -> Values:
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(lab.upstream())
        contestants = dict(_contestants(lab, upstream, stack))
        for in_flight, (calls, rounds) in ASKED.items():
            _take_turns(contestants, in_flight, calls // 3 if lab.quick else calls, 2 if lab.quick else rounds)
        values = {name: _values(one) for name, one in contestants.items()}
    ratios = {
        f"peers.{name}.{key}_ratio": values[name][key] / values["cortexd"][key] for name in PEERS for key in _KEYS
    }
    return ratios | {f"peers.{name}.{key}": value for name, row in values.items() for key, value in row.items()}


def _contestants(lab: Lab, upstream: Upstream, stack: contextlib.ExitStack) -> Iterator[tuple[str, Contestant]]:
    if lab.peers is None:
        raise CannotMeasure("the peers' environment is not there: script/bench --peers makes it")
    yield "cortexd", _cortexd(lab, upstream, stack)
    worker = stack.enter_context(peers.router(lab, lab.peers, upstream))
    yield "router", _worker(worker, "router")
    gateway = stack.enter_context(peers.tensorzero(lab, lab.peers, upstream))
    yield "tensorzero", _worker(gateway, "tensorzero")
    yield "proxy", _proxy(lab, upstream, stack)
    yield "sdk", _worker(stack.enter_context(lab.sdk(upstream)), "claude")


def _cortexd(lab: Lab, upstream: Upstream, stack: contextlib.ExitStack) -> Contestant:
    ledger = stack.enter_context(lab.made_ledger(upstream))
    daemon = stack.enter_context(lab.daemon(upstream, ledger))
    first_s = (lab.first_answer(daemon)["answer_ns"] - daemon.started_ns) / 1e9
    return Contestant(daemon.pid, first_s, lambda n, calls: lab.calls(daemon, in_flight=n, calls=calls))


def _worker(worker: SdkWorker, vendor: str) -> Contestant:
    worker.calls(vendor, 1, 1)
    first_s = (time.monotonic_ns() - worker.child.started_ns) / 1e9
    return Contestant(worker.child.pid, first_s, lambda n, calls: worker.calls(vendor, n, calls))


def _proxy(lab: Lab, upstream: Upstream, stack: contextlib.ExitStack) -> Contestant:
    assert lab.peers is not None
    child, url = stack.enter_context(peers.proxy(lab, lab.peers, upstream))
    first_s = peers.first_reply_s(child, url)
    client = stack.enter_context(lab.python_worker("bench.sdk_worker", url, "plain"))

    def ask(in_flight: int, calls: int) -> Round:
        cpu = child.cpu_seconds()
        done = client.calls("plain", in_flight, calls)
        return replace(done, cpu_s=child.cpu_seconds() - cpu)

    return Contestant(child.pid, first_s, ask)


def _take_turns(contestants: dict[str, Contestant], in_flight: int, calls: int, rounds: int) -> None:
    for contestant in contestants.values():
        contestant.ask(in_flight, max(in_flight, 20))  # warm-up
    for _ in range(rounds):
        for contestant in contestants.values():
            contestant.sides[in_flight].rounds.append(contestant.ask(in_flight, calls))
    for name, contestant in contestants.items():
        side = contestant.sides[in_flight]
        if side.failures == side.calls:
            raise CannotMeasure(f"every call to {name} failed: {side.first_error()}")


def _values(one: Contestant) -> dict[str, float]:
    alone, many = one.sides[1], one.sides[32]
    return {
        "p50_ms": alone.latency_ms(0.5),
        "p99_ms": alone.latency_ms(0.99),
        "cpu_ms": alone.cpu_ms,
        "per_s": many.per_s,
        "first_s": one.first_s,
        "rss_mb": rss_mb(one.pid),
        "failures": alone.failures + many.failures,
    }


_KEYS = {
    "p50_ms": ("ms", "median latency, 1 in flight"),
    "p99_ms": ("ms", "the slowest of a hundred, 1 in flight"),
    "cpu_ms": ("ms", "CPU per request, 1 in flight"),
    "per_s": ("/s", "requests answered per second, 32 in flight"),
    "first_s": ("s", "spawn to first answer, once"),
    "rss_mb": ("MB", "resident memory after the load"),
}


def _figures(name: str) -> Iterator[Figure]:
    for key, (unit, text) in _KEYS.items():
        yield Figure(f"peers.{name}.{key}", unit, f"{name}: {text}")
    yield Figure(f"peers.{name}.failures", "", f"{name}: calls that failed")


def _ratios(name: str) -> Iterator[Figure]:
    for key, (_, text) in _KEYS.items():
        judged = (name, key) == ("proxy", "p50_ms")
        target, why = (round(26 / 3.5, 1), "; 26 ms to 3.5 ms") if judged else (None, "")
        yield Figure(f"peers.{name}.{key}_ratio", "×", f"{name} over cortexd: {text}{why}", at_least=target)


CASE = Case(
    name="peers",
    summary="LiteLLM's Router and proxy and TensorZero's gateway beside cortexd",
    figures=(
        *(figure for name in PEERS for figure in _ratios(name)),
        *(figure for name in CONTESTANTS for figure in _figures(name)),
    ),
    run=run,
    needs_peers=True,
)
