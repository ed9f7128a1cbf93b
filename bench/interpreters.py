"""Fresh interpreters, one after the other: what a command or an import costs over Python itself.

The files that Python compiles are kept for the next run of the same set, as on an installed system.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import CannotMeasure, status_mb

BARE = ("-c", "pass")
_END_S = 60.0
_CHECKOUT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Run:
    """One interpreter from spawn to its end: wall clock, and CPU of all its threads."""

    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Runs:
    """Some of them."""

    runs: Sequence[Run]

    @property
    def wall_ms(self) -> float:
        return statistics.median(run.wall_ms for run in self.runs)

    @property
    def least_wall_ms(self) -> float:
        return min(run.wall_ms for run in self.runs)

    @property
    def cpu_ms(self) -> float:
        return statistics.median(run.cpu_ms for run in self.runs)


def in_turns(*commands: Sequence[str], times: int) -> list[Runs]:
    """Each command (the interpreter's arguments) `times` times in turns, after one run that only compiles."""
    with _environment() as environment:
        rounds = [[_run(command, environment) for command in commands] for _ in range(1 + times)][1:]
    return [Runs(runs) for runs in zip(*rounds, strict=True)]


def rss_mb(statements: str) -> float:
    """Resident memory of an interpreter that has executed `statements`, in MiB (ru_maxrss would hold its parent's)."""
    program = f"{statements}\nprint(open('/proc/self/status').read())"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_END_S, cwd=_CHECKOUT)
    if done.returncode:
        raise CannotMeasure(f"{statements!r}: {done.stderr.strip()[-500:]}")
    return status_mb(done.stdout, "VmRSS:")


@contextlib.contextmanager
def _environment() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="cortexd-bench-") as compiled:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        yield kept | {"PYTHONPYCACHEPREFIX": compiled}


def _run(arguments: Sequence[str], environment: dict[str, str]) -> Run:
    command, no = [sys.executable, *arguments], subprocess.DEVNULL
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=no, stdout=no, stderr=said, env=environment, cwd=_CHECKOUT)
        used = _end_of(process)
        wall_ms = 1e3 * (time.perf_counter() - start)
        if process.returncode:
            said.seek(0)
            raise CannotMeasure(f"{' '.join(arguments)} ended with {process.returncode}: {said.read().strip()[-500:]}")
    return Run(wall_ms, 1e3 * (used.ru_utime + used.ru_stime))


def _end_of(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """What it used in all; killed where it does not end."""
    deadline = threading.Timer(_END_S, process.kill)
    deadline.start()
    _, status, used = os.wait4(process.pid, 0)
    deadline.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return used
