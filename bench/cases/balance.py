"""A pool of eight simulated replicas behind cortexd, vLLM's router and a plain round robin, the same work at once.

The router is measured with each of two policies that fit such replicas, `cache_aware`, its default, and `power_of_two`;
cortexd as its pool comes. `over_peer` is against whichever policy does better at that figure. cortexd is asked over
the bus, the others over HTTP, and the latencies are the callers'.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import peers
from bench.figures import Case, Figure, Values
from bench.fleet import Fleet, Outcome, Scene, callers, fleet, outcome, over_bus, over_http, send
from bench.lab import Lab, Upstream
from bench.processes import CannotMeasure, Child

SECONDS, QUICK_SECONDS = 32.0, 7.0
POLICIES = ("cache_aware", "power_of_two")
CONTESTANTS = ("cortexd", *POLICIES, "direct")
_SLOW, _GONE = (2, 5), (1, 6)
SCENES = (
    Scene("even"),
    Scene("even_shared", shared=True),
    Scene("uneven", slow=_SLOW),
    Scene("uneven_shared", slow=_SLOW, shared=True),
    Scene("vanish", shared=True, gone=_GONE),
)
UNEVEN = [scene.name for scene in SCENES if scene.slow]
SHARED = [scene.name for scene in SCENES if scene.shared and not scene.gone]


@dataclass(frozen=True, slots=True)
class Stage:
    """What all scenes share. Nobody asks `upstream`: there is no fallback."""

    lab: Lab
    upstream: Upstream
    ledger: Path


@dataclass(frozen=True, slots=True)
class Result:
    """One contestant in one scene. `cpu_ms`: of the router, a request; 0 where there is none."""

    outcome: Outcome
    hit_rate: float
    cpu_ms: float


Results = Mapping[str, Mapping[str, Result]]  # by scene and contestant


def run(lab: Lab) -> Values:
    seconds = QUICK_SECONDS if lab.quick else SECONDS
    with lab.upstream() as upstream, lab.made_ledger(upstream) as ledger:
        results = {scene.name: _play(Stage(lab, upstream, ledger), scene, seconds) for scene in SCENES}
    return _headline(results) | _details(results)


def _play(on: Stage, scene: Scene, seconds: float) -> dict[str, Result]:
    lab = on.lab
    with contextlib.ExitStack() as stack:
        fleets = {name: stack.enter_context(fleet(lab, scene)) for name in CONTESTANTS}
        routers = dict(_routers(on, fleets, stack))
        clients = {name: over_http([port]) for name, (_, port) in routers.items() if port}
        clients |= {"cortexd": over_bus(lab), "direct": over_http(fleets["direct"].ports)}
        running = stack.enter_context(callers(lab, clients))
        cpu_s = {name: child.cpu_seconds() for name, (child, _) in routers.items()}
        schedule = scene.schedule(seconds)
        for child in running.values():
            send(child, schedule)
        _vanish(scene, fleets, seconds)
        outcomes = {name: outcome(name, child) for name, child in running.items()}
        spent = {name: child.cpu_seconds() - cpu_s[name] for name, (child, _) in routers.items()}
        return {
            name: Result(done, fleets[name].hit_rate(), 1e3 * spent.get(name, 0.0) / done.calls)
            for name, done in outcomes.items()
        }


def _routers(
    on: Stage, fleets: Mapping[str, Fleet], stack: contextlib.ExitStack
) -> Iterator[tuple[str, tuple[Child, int]]]:
    """The process of each, and its port; 0 for the bus."""
    if on.lab.peers is None:
        raise CannotMeasure("the peers' environment is not there: script/bench --peers makes it")
    settings = _settings(fleets["cortexd"])
    yield "cortexd", (stack.enter_context(on.lab.ready_daemon(on.upstream, on.ledger, settings=settings)), 0)
    for policy in POLICIES:
        yield policy, stack.enter_context(peers.vllm_router(on.lab, on.lab.peers, policy, fleets[policy].urls))


def _settings(of: Fleet) -> str:
    replicas = "".join(f'[[providers.fleet.replicas]]\nbase_url = "{url}/v1"\n' for url in of.urls)
    return (
        '[routing]\nfallback = false\n[routing.table]\nuser_chat = "fleet"\n'
        "[limits]\nmax_free_requests_per_minute_per_user = 0\n"
        f'[providers.fleet]\napi = "openai"\nmodel = "sim"\nlocal = true\n{replicas}'
    )


def _vanish(scene: Scene, fleets: Mapping[str, Fleet], seconds: float) -> None:
    if not scene.gone:
        return
    for gone in (1, 0):
        time.sleep(seconds / 3)
        for one in fleets.values():
            one.set(scene.gone, gone=gone)


def _headline(results: Results) -> dict[str, float]:
    ours = [row["cortexd"] for row in results.values()]
    return {
        "balance.p99_over_peer": max(
            results[scene]["cortexd"].outcome.latency_ms(0.99)
            / min(results[scene][policy].outcome.latency_ms(0.99) for policy in POLICIES)
            for scene in UNEVEN
        ),
        "balance.prefix_hits_over_peer": min(
            results[scene]["cortexd"].hit_rate / max(results[scene][policy].hit_rate for policy in POLICIES)
            for scene in SHARED
        ),
        "balance.failures": sum(one.outcome.failures for one in ours),
        "balance.overhead_cpu_ms": sum(one.cpu_ms for one in ours) / len(ours),
        "balance.peer_overhead_cpu_ms": min(
            sum(row[policy].cpu_ms for row in results.values()) / len(results) for policy in POLICIES
        ),
    }


def _details(results: Results) -> dict[str, float]:
    values: dict[str, float] = {}
    for scene, row in results.items():
        for name, one in row.items():
            values[f"balance.{scene}.{name}.p99_ms"] = one.outcome.latency_ms(0.99)
            values[f"balance.{scene}.{name}.p50_ms"] = one.outcome.latency_ms(0.5)
            values[f"balance.{scene}.{name}.failures"] = one.outcome.failures
            if scene in SHARED:
                values[f"balance.{scene}.{name}.prefix_hits"] = one.hit_rate
    return values


def _figures() -> Iterator[Figure]:
    slow = "2 of 8 replicas three times slower"
    text = f"99th percentile over the router's better policy, {slow}; the worse of with and without shared prefixes"
    yield Figure("balance.p99_over_peer", "×", text, at_most=0.9)
    text = "prompt blocks found in a replica's cache, over the router's better policy"
    yield Figure("balance.prefix_hits_over_peer", "×", text, at_least=1)
    yield Figure("balance.failures", "", "calls that failed, two replicas vanishing in one of the scenes", at_most=0)
    yield Figure("balance.overhead_cpu_ms", "ms", "the daemon's CPU per request")
    yield Figure("balance.peer_overhead_cpu_ms", "ms", "the router's")
    for scene in SCENES:
        for name in CONTESTANTS:
            where = f"{scene.name.replace('_', ', ')}, {name}"
            yield Figure(f"balance.{scene.name}.{name}.p99_ms", "ms", f"{where}: 99th percentile")
            yield Figure(f"balance.{scene.name}.{name}.p50_ms", "ms", f"{where}: median")
            yield Figure(f"balance.{scene.name}.{name}.failures", "", f"{where}: calls that failed")
            if scene.name in SHARED:
                text = f"{where}: part of the prompts' blocks that was in the cache"
                yield Figure(f"balance.{scene.name}.{name}.prefix_hits", "", text)


CASE = Case(
    name="balance",
    summary="eight replicas behind cortexd and vLLM's router",
    figures=tuple(_figures()),
    run=run,
    needs_peers=True,
)
