"""script/soak: the daemon under a steady mixed load for long. What grows, what is left over, what becomes slower.

The daemon, its user, polkit, ledger and upstream are the benchmark's (bench.lab); the calls are bench.soak_worker's.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import programs, report
from bench.figures import Case, Figure
from bench.lab import CALLER_USER, Lab, own_environment
from bench.processes import CannotMeasure, Child, pss_mb

CHUNKS = 20  # of a stream
_WARM_MINUTES = 5  # until all caches are as full as they get

FIGURES = (
    Figure("soak.calls", "", "calls of all kinds"),
    Figure("soak.failures", "", "calls that failed", at_most=0),
    Figure("soak.growth_mb", "MB", "memory at the end over that after five minutes, or a third of less", at_most=1),
    Figure("soak.left_fds", "", "descriptors at the end beyond those after the first minute", at_most=0),
    Figure("soak.left_threads", "", "threads at the end beyond those after the first minute", at_most=0),
    Figure("soak.left_requests", "", "requests that the service still has under way", at_most=0),
    Figure("soak.p99_ratio", "", "p99 of the last minute over that of the second", at_most=1.2),
    Figure("soak.cpu_ms", "ms", "CPU of the daemon for each call"),
)


@dataclass(frozen=True, slots=True)
class Minute:
    """The load of one minute, and the daemon at its end."""

    load: dict[str, Any]
    pss_mb: float
    fds: int
    threads: int


def read_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/soak",
        description="Complete, OpenStream, CompleteBatch and CompleteRaw in turns at a steady pace; a line a minute, "
        "and at the end what grew, what is left over and what became slower. It never fails on a figure.",
    )
    parser.add_argument("--minutes", type=int, default=30, metavar="N", help="how long (default: 30; at least 3)")
    parser.add_argument("--per-second", type=float, default=100, metavar="N", help="calls a second (default: 100)")
    parser.add_argument("--programs", type=Path, metavar="DIR", help="where the compiled C programs stand")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as one JSON object")
    wish = parser.parse_args(arguments)
    if wish.minutes < 3 or wish.per_second <= 0:
        parser.error("at least 3 minutes and more than 0 calls a second")
    return wish


def figures(minutes: Sequence[Minute], left_requests: int, cpu_s: float) -> dict[str, float]:
    """`minutes`: at least three."""
    first, second, last = minutes[0], minutes[1], minutes[-1]
    warm = minutes[min(_WARM_MINUTES, max(1, len(minutes) // 3)) - 1]
    calls = sum(minute.load["calls"] for minute in minutes)
    values: dict[str, float] = {
        "soak.calls": calls,
        "soak.failures": sum(minute.load["failures"] for minute in minutes),
        "soak.growth_mb": last.pss_mb - warm.pss_mb,
        "soak.left_fds": last.fds - first.fds,
        "soak.left_threads": last.threads - first.threads,
        "soak.left_requests": left_requests,
        "soak.p99_ratio": last.load["p99_ms"] / second.load["p99_ms"],
        "soak.cpu_ms": 1e3 * cpu_s / calls,
    }
    return {name: round(value, 3) for name, value in values.items()}


def run(lab: Lab, minutes: int, per_second: float) -> dict[str, float]:
    with lab.upstream() as upstream, lab.made_ledger(upstream) as ledger, lab.ready_daemon(upstream, ledger) as daemon:
        upstream.set(chunks=CHUNKS)
        user = ["setpriv", f"--reuid={CALLER_USER}", f"--regid={CALLER_USER}", "--init-groups"]
        order = [sys.executable, "-m", "bench.soak_worker", str(minutes), str(per_second)]
        with lab.running([*user, *order], "soak", talks=True, environ=own_environment()) as worker:
            before = daemon.cpu_seconds()
            taken = [_minute(worker, daemon, number) for number in range(1, minutes + 1)]
            cpu_s = daemon.cpu_seconds() - before
            left = int(_line(worker)["active_requests"])
            daemon.settle()
            taken[-1] = _at_end(taken[-1], daemon)  # before the caller ends: pages that both have are shared until then
        return figures(taken, left, cpu_s)


def _minute(worker: Child, daemon: Child, number: int) -> Minute:
    minute = _at_end(Minute(_line(worker), 0, 0, 0), daemon)
    load = minute.load
    of = " ".join(f"{kind} {ms:.1f}" for kind, ms in load["p99_ms_of"].items())
    print(
        f"minute {number}: {load['calls']} calls, {load['failures']} failed, p50 {load['p50_ms']:.1f} ms, p99 "
        f"{load['p99_ms']:.1f} ms ({of}); {minute.pss_mb:.1f} MB, {minute.fds} descriptors, {minute.threads} threads",
        flush=True,
    )
    if load["error"]:
        print(f"  the first failure: {load['error']}", flush=True)
    return minute


def _at_end(minute: Minute, daemon: Child) -> Minute:
    of = Path(f"/proc/{daemon.pid}")
    return Minute(minute.load, pss_mb(daemon.pid), len(list((of / "fd").iterdir())), len(list((of / "task").iterdir())))


def _line(worker: Child) -> dict[str, Any]:
    line = worker.stdout.readline()
    if not line:
        raise CannotMeasure(f"the caller ended:\n{worker.log_end()}")
    return dict(json.loads(line))


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    wish = read_arguments()
    with tempfile.TemporaryDirectory(prefix="cortexd-soak-") as directory:
        Path(directory).chmod(0o755)  # the service's user reads its configuration there
        try:
            built = programs.build(wish.programs or programs.directory())
            values = run(Lab(built, Path(directory), quick=False), wish.minutes, wish.per_second)
        except (CannotMeasure, programs.CannotBuild, subprocess.TimeoutExpired) as error:
            print(f"soak: could not measure: {error}", file=sys.stderr)
            return 1
    case = Case("soak", "a steady mixed load", FIGURES, lambda _lab: values)
    print(report.table([case], values))
    print("\n" + report.verdicts([case], values))
    if wish.json:
        report.write_json(wish.json, values)
    return 0


if __name__ == "__main__":
    sys.exit(main())
