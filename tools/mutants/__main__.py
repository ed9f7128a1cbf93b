"""script/mutants: what of a module's mutants its tests kill.

Results stand, a line of JSON each, under .cache/mutants/, and the next run goes on from there: what was killed is tried
again only when its function has changed, a survivor when anything in cortexd/ or tests/ has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tools.mutants.operators import Source, numbered
from tools.mutants.run import KILLED, SURVIVED, TIMEOUT, UNFIT, Limits, Task, run, store
from tools.mutants.table import GROUPS, Group

_RESULTS = Path(".cache/mutants")
_DONE = frozenset({KILLED, TIMEOUT, UNFIT})
Rows = dict[str, dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every mutant was tried; 1: the tests fail on the code as it is."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # pytest takes an exit for an error of its own
    _RESULTS.mkdir(parents=True, exist_ok=True)
    limits = Limits(given.jobs, time.monotonic() + 60 * given.minutes)
    broken = [name for name in given.groups or GROUPS if not _run_group(name, given, limits)]
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="script/mutants", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all without one")
    parser.add_argument("--module", help="only modules whose path has this in it")
    parser.add_argument("--sample", type=int, metavar="N", help="at most N mutants of each module, drawn at random")
    parser.add_argument("--seed", type=int, default=10, help="of the sample (10)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once (2)")
    parser.add_argument("--minutes", type=float, default=math.inf, metavar="N", help="begin no mutant after that")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--report", action="store_true", help="only print what is known")
    return parser


def _run_group(name: str, given: argparse.Namespace, limits: Limits) -> bool:
    file, group = _RESULTS / f"{name}.jsonl", GROUPS[name]
    if given.fresh:
        file.unlink(missing_ok=True)
    tasks = list(_tasks(group, given))
    known = _known(file)
    if not given.report:
        checkout = _checkout()
        left = [task for task in tasks if not _is_settled(known.get(task.key, {}), checkout)]
        left.sort(key=lambda task: task.key in known)  # the survivors of before last
        print(f"{name}: {len(left)} of {len(tasks)} mutants to try", flush=True)
        broken = run(group, left, limits, store(file, checkout)) if left else []
        if broken:
            print(f"{name}: {len(broken)} fail without a mutant, of them the first:\n{broken[0]}", file=sys.stderr)
            return False
    _print(tasks, _known(file))
    return True


def _checkout() -> str:
    """A word for the code and its tests as they are."""
    files = sorted(file for room in ("cortexd", "tests") for file in Path(room).rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _is_settled(row: dict[str, Any], checkout: str) -> bool:
    return row.get("outcome") in _DONE or (row.get("outcome") == SURVIVED and row.get("checkout") == checkout)


def _tasks(group: Group, given: argparse.Namespace) -> Iterable[Task]:
    for module in group.modules:
        if given.module and given.module not in module:
            continue
        source = Source(module)
        tasks = [Task(key, source, mutant, diff) for key, mutant, diff in numbered(source)]
        few = given.sample is not None and given.sample < len(tasks)
        yield from random.Random(given.seed).sample(tasks, given.sample) if few else tasks  # noqa: S311 - no secret


def _known(file: Path) -> Rows:
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return {row["key"]: row for row in map(json.loads, lines)}


def _print(tasks: Sequence[Task], known: Rows) -> None:
    modules = dict.fromkeys(task.mutant.module for task in tasks)
    print(f"\n{'module':44} {'mutants':>8} {'killed':>7} {'of them timeouts':>17} {'survived':>9} {'rate':>7}")
    whole: Counter[str] = Counter()
    for module in modules:
        counts = Counter(
            known.get(task.key, {}).get("outcome", "untried") for task in tasks if task.mutant.module == module
        )
        whole += counts
        _print_row(module, counts)
    _print_row("together", whole)
    for task in tasks:
        row = known.get(task.key, {})
        if row.get("outcome") == SURVIVED:
            print(f"\n{task.mutant.module}:{task.mutant.first} {task.mutant.function}  {row['note']}\n{task.diff}")


def _print_row(name: str, counts: Counter[str]) -> None:
    """A mutant that never ends is killed too; one that cannot stand in is none, nor is one not tried yet."""
    killed = counts[KILLED] + counts[TIMEOUT]
    tried = killed + counts[SURVIVED]
    rate = f"{100 * killed / tried:.1f} %" if tried else "-"
    print(f"{name:44} {tried:8} {killed:7} {counts[TIMEOUT]:17} {counts[SURVIVED]:9} {rate:>7}")


if __name__ == "__main__":
    sys.exit(main())
