"""Simulated replicas of one model server (bench/replicas.c), and arrivals at them that do not wait for answers.

A schedule is made once and asked of every contestant, each with replicas of its own, at the same time: all meet the
same work, and what disturbs the machine disturbs them alike.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.lab import Lab, fetched
from bench.processes import CannotMeasure, Child
from bench.samples import percentile

REPLICAS, SLOTS = 8, 4
CACHE_BLOCKS = 900  # nine prompts, where 40 beginnings are shared
SLOWER_PERCENT = 300
_PREFIXES, _PREFIX_CHARS, _OWN_CHARS = 40, 6000, 400
_MEAN_TOKENS = 40
_PREFILL_S, _DECODE_S = 60e-6, 4e-3  # a token, as in replica_model.h
_CHARS_PER_TOKEN = 4
_LOAD = 0.7
_WARM_UP = 0.15  # of the schedule: by then every contestant knows its replicas


@dataclass(frozen=True, slots=True)
class Scene:
    """`slow`: replicas that take three times as long. `shared`: prompts begin alike in groups. `gone`: replicas that
    vanish for the middle third."""

    name: str
    slow: tuple[int, ...] = ()
    shared: bool = False
    gone: tuple[int, ...] = ()

    def schedule(self, seconds: float) -> list[tuple[int, ...]]:
        """Lines for bench/arrivals.c: Poisson arrivals at 70 % of what the replicas can do without a cache."""
        draw = random.Random("balance")
        popularity = [1 / rank for rank in range(1, _PREFIXES + 1)]
        lines: list[tuple[int, ...]] = []
        at = 0.0
        while (at := at + draw.expovariate(self._per_s())) < seconds:
            which = len(lines)
            prefix = draw.choices(range(_PREFIXES), popularity)[0] if self.shared else _PREFIXES + which
            tokens = 1 + int(draw.expovariate(1 / _MEAN_TOKENS))
            lines.append((int(at * 1e6), prefix, _PREFIX_CHARS, 1_000_000 + which, _OWN_CHARS, tokens))
        return lines

    def _per_s(self) -> float:
        prefill_s = (_PREFIX_CHARS + _OWN_CHARS) / _CHARS_PER_TOKEN * _PREFILL_S
        at_once = SLOTS * (REPLICAS - len(self.slow) + len(self.slow) * 100 / SLOWER_PERCENT)
        return _LOAD * at_once / (prefill_s + _MEAN_TOKENS * _DECODE_S)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Eight replicas, each on one of `ports`."""

    control: int
    ports: tuple[int, ...]

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def set(self, replicas: Sequence[int], **settings: int) -> None:
        """`slow`: percent of the usual time; `gone`: 1 or 0."""
        for replica in replicas:
            for key, value in settings.items():
                fetched(self.control, f"/set?replica={replica}&{key}={value}")

    def hit_rate(self) -> float:
        """The part of the prompts' blocks that was in the cache of the replica that read them."""
        stats = json.loads(fetched(self.control, "/stats"))
        blocks, hits = (sum(int(one[key]) for one in stats) for key in ("blocks", "hits"))
        return hits / max(blocks, 1)


@contextlib.contextmanager
def fleet(lab: Lab, scene: Scene) -> Iterator[Fleet]:
    command = [str(lab.programs / "replicas"), str(REPLICAS), str(SLOTS), str(CACHE_BLOCKS)]
    with lab.running(command, "replicas", talks=True) as child:
        control, *ports = (int(port) for port in child.stdout.readline().split()[1:])
        made = Fleet(control, tuple(ports))
        made.set(scene.slow, slow=SLOWER_PERCENT)
        yield made


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the callers of one contestant met. `latency_ns` in the order of arrival, 0 for what failed."""

    calls: int
    failures: int
    error: str
    latency_ns: Sequence[int]

    def latency_ms(self, fraction: float) -> float:
        """A percentile of what was answered, without the warm-up."""
        counted = self.latency_ns[int(_WARM_UP * self.calls) :]
        return percentile(sorted(ns for ns in counted if ns), fraction) / 1e6


def over_http(ports: Sequence[int]) -> tuple[str, ...]:
    """The client's arguments: to one port, or to several in turns."""
    return "http", ",".join(str(port) for port in ports)


def over_bus(lab: Lab) -> tuple[str, ...]:
    return "bus", str(lab.caller_uid())


@contextlib.contextmanager
def callers(lab: Lab, clients: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Child]]:
    """The clients' processes, which wait for their schedule."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(lab.running([lab.programs / "arrivals", *arguments], name, talks=True))
            for name, arguments in clients.items()
        }


def send(child: Child, schedule: Sequence[Sequence[int]]) -> None:
    """Begin."""
    child.stdin.write("".join(" ".join(str(number) for number in line) + "\n" for line in schedule))
    child.stdin.close()


def outcome(name: str, child: Child) -> Outcome:
    """Wait for the end. Raises CannotMeasure where the client broke off or nothing was answered."""
    said = child.stdout.read()
    if not said:
        raise CannotMeasure(f"the callers of {name} ended:\n{child.log_end()}")
    told: dict[str, Any] = json.loads(said)
    done = Outcome(told["calls"], told["failures"], told["error"], told["latency_ns"])
    if done.failures == done.calls:
        raise CannotMeasure(f"every call to {name} failed: {done.error}")
    return done
