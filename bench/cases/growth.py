"""What a larger ledger makes slower, or does not: start, statistics, reports, budgets, pruning, backup.

Each size in a process of its own, over the same 400 days. A table of all sizes goes to the standard error output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import growing
from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.processes import CannotMeasure

SIZES = (20_000, 200_000, 2_000_000)
_DEADLINE_S = 900
_TABLE = {
    "start_ms": "start, ms",
    "stats_ms": "GetStats, ms",
    "budgets_ms": "budgets, ms",
    "usage_ms": "GetUsage of 30 days by user, ms",
    "label_ms": "of one user by a label, ms",
    "prune_per_s": "pruned a second",
    "prune_p99_ms": "a call's p99 meanwhile, ms",
    "prune_max_ms": "the longest, ms",
    "backup_ms": "backup, ms",
    "backup_p99_ms": "a call's p99 meanwhile, ms",
    "backup_max_ms": "the longest, ms",
    "quiet_p99_ms": "a call's p99 at rest, ms",
    "file_mb": "file, MB",
    "memory_mb": "memory for all of it, MB",
}


def run(lab: Lab) -> Values:
    sizes = SIZES[:-1] if lab.quick else SIZES
    found = {}
    for size in sizes:
        with lab.ledger_directory() as directory:
            found[size] = _measured(directory, size)
    print(_table(found), file=sys.stderr)
    small, large = found[sizes[0]], found[sizes[-1]]
    told = {f"growth.{name}": large[name] for name in _TOLD}
    ratios = {f"growth.{name}_ratio": large[f"{name}_ms"] / small[f"{name}_ms"] for name in ("start", "usage")}
    return {"growth.requests": sizes[-1], **told, **ratios}


_TOLD = ("start_ms", "stats_ms", "budgets_ms", "usage_ms", "prune_p99_ms", "prune_max_ms", "prune_per_s", "backup_ms",
         "backup_max_ms", "file_mb", "memory_mb")  # fmt: skip


def _measured(directory: Path, size: int) -> dict[str, float]:
    growing.make(directory, size)
    command = [sys.executable, "-m", "bench.growing", str(directory), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
    if done.returncode:
        raise CannotMeasure(f"a ledger of {size} requests: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _table(found: Mapping[int, Mapping[str, float]]) -> str:
    head = ("requests", *(f"{size:,}" for size in found))
    body = [(title, *(f"{values[name]:,.3g}" for values in found.values())) for name, title in _TABLE.items()]
    return "\n".join(_line(row) for row in (head, *body))


def _line(row: Sequence[str]) -> str:
    return row[0].ljust(34) + "".join(cell.rjust(12) for cell in row[1:])


CASE = Case(
    name="growth",
    summary="a ledger of 20 thousand, 200 thousand and 2 million requests: start, reports, pruning, backup",
    figures=(
        Figure("growth.requests", "", "in the largest ledger, of which the figures are"),
        Figure("growth.start_ms", "ms", "until it is open"),
        Figure("growth.start_ratio", "×", "that over the same with 20,000 requests", at_most=3),
        Figure("growth.stats_ms", "ms", "the first GetStats after that", at_most=50),
        Figure("growth.usage_ms", "ms", "GetUsage of 30 days by user"),
        Figure("growth.usage_ratio", "×", "that over the same with 20,000 requests", at_most=3),
        Figure("growth.budgets_ms", "ms", "the first look at a user's month and the machine's day"),
        Figure("growth.prune_per_s", "/s", "requests pruned per second beside calls"),
        Figure("growth.prune_p99_ms", "ms", "reserve and settle meanwhile, the 99th of 100", at_most=30),
        Figure("growth.prune_max_ms", "ms", "the longest of them", at_most=50),
        Figure("growth.backup_ms", "ms", "a copy of all of it"),
        Figure("growth.backup_max_ms", "ms", "the longest reserve and settle meanwhile", at_most=50),
        Figure("growth.file_mb", "MB", "the file"),
        Figure("growth.memory_mb", "MB", "what the process takes for all of this"),
    ),
    run=run,
)
