"""python -m bench: run the cases, print the table, write the JSON.

Exit status: 0 when everything asked for was measured, whatever the figures; 1 when something could not be; 2 for
wrong arguments.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench import baseline, peers, profiling, programs, report
from bench import cases as case_package
from bench.figures import BrokenPromise, Case, keep_promise, refuse_doubles
from bench.lab import CHECKOUT, Lab
from bench.processes import CannotMeasure
from bench.turns import Turns, flat, take


def find_cases() -> tuple[Case, ...]:
    """The CASE of each file in bench/cases, by file name. Raises BrokenPromise where two declare the same figure."""
    names = sorted(module.name for module in pkgutil.iter_modules(case_package.__path__))
    found = tuple(importlib.import_module(f"{case_package.__name__}.{name}").CASE for name in names)
    refuse_doubles(found)
    return found


def read_arguments(cases: Sequence[Case], arguments: Sequence[str] | None = None) -> argparse.Namespace:
    lines = [f"  {case.name:10} {case.summary}{' (with --peers)' * case.needs_peers}" for case in cases]
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description="Measure what cortexd costs over the bare SDKs, on the same upstream in the same run.",
        epilog="cases:\n" + "\n".join(lines) + "\n  profile    no figures: where the daemon's time goes (as --profile)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as one JSON object")
    parser.add_argument("--quick", action="store_true", help="rough figures in a fraction of the time")
    parser.add_argument(
        "--baseline", metavar="REV", help="the daemon of that commit too, in turns with today's, and the ratios"
    )
    parser.add_argument("--baseline-tree", type=Path, metavar="DIR", help="where that stands, below the checkout")
    parser.add_argument(
        "--turns", type=_at_least_one, default=1, metavar="N", help="run each case so often: medians and spread"
    )
    parser.add_argument("--profile", action="store_true", help="print where the daemon's time goes instead")
    parser.add_argument(
        "--flame",
        type=Path,
        metavar="FILE",
        help="write a flame graph of a call as SVG instead; with --baseline of that",
    )
    parser.add_argument(
        "--peers", action="store_true", help="LiteLLM, TensorZero and vLLM's router too: 850 MB are installed, once"
    )
    parser.add_argument("--peers-environment", type=Path, metavar="DIR", help="where that stands")
    parser.add_argument("--programs", type=Path, metavar="DIR", help="where the compiled C programs stand")
    parser.add_argument("--build", action="store_true", help="only compile the C programs and print where they are")
    parser.add_argument("only", nargs="*", metavar="CASE", help="run only these cases")
    wish = parser.parse_args(arguments)
    wish.profile = wish.profile or "profile" in wish.only
    unknown = set(wish.only) - {case.name for case in cases} - {"profile"}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    if not wish.peers and (asking := [case.name for case in cases if case.needs_peers and case.name in wish.only]):
        parser.error(f"needs --peers: {', '.join(asking)}")
    return wish


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a number of turns such as 5 is expected, not {text}")
    return int(text)


def choose(cases: Sequence[Case], wish: argparse.Namespace) -> list[Case]:
    """The cases that were named, or all; those on the peers only with --peers."""
    return [
        case for case in cases if (not wish.only or case.name in wish.only) and (wish.peers or not case.needs_peers)
    ]


def attempt(case: Case, lab: Lab, side: str, failed: list[str]) -> dict[str, float] | None:
    """Run the case. None, and a name more in `failed`, where it could not measure."""
    start, name = time.monotonic(), f"{case.name}{side}"
    print(f"{name}: {case.summary} …", file=sys.stderr, flush=True)
    try:
        values = keep_promise(case, case.run(lab))
    except (CannotMeasure, BrokenPromise) as error:
        print(f"{name}: could not measure: {error}", file=sys.stderr)
        failed.append(name)
        return None
    print(f"{name}: done in {time.monotonic() - start:.1f} s", file=sys.stderr)
    return values


def measure(cases: Sequence[Case], today: Lab, then: Lab | None, turns: int) -> tuple[list[Turns], list[str]]:
    """Run the cases one after the other, on the baseline `then` too. Returns what each said, and the names of what
    could not measure."""
    failed: list[str] = []
    taken = [
        take(
            case,
            turns,
            partial(attempt, lab=today, side="", failed=failed),
            None if then is None else partial(attempt, lab=then, side=" (baseline)", failed=failed),
            today,
        )
        for case in cases
    ]
    return taken, failed


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, lambda number, _frame: sys.exit(128 + number)
        )  # everything is put away, without a traceback
    known = find_cases()
    wish = read_arguments(known)
    try:
        built = programs.build(wish.programs or programs.directory())
        litellm = peers.make(wish.peers_environment or peers.default_directory()) if wish.peers else None
    except (programs.CannotBuild, peers.CannotInstall) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if wish.build:
        print(built)
        return 0
    with tempfile.TemporaryDirectory(prefix="cortexd-bench-") as directory:
        Path(directory).chmod(0o755)  # the service's user reads its configuration there
        lab = partial(Lab, built, Path(directory), quick=wish.quick, peers=litellm)
        then = None
        if wish.baseline:
            tree = wish.baseline_tree or baseline.make(wish.baseline)
            then = lab(build=baseline.build_in(CHECKOUT / tree))
        if wish.flame:
            return profiling.draw(then or lab(), wish.flame, wish.baseline or "today")
        return profiling.run(lab()) if wish.profile else _measured(known, wish, lab(), then)


def _measured(known: Sequence[Case], wish: argparse.Namespace, today: Lab, then: Lab | None) -> int:
    """Measure, print and write what is wished. Returns the exit status."""
    chosen = choose(known, wish)
    taken, failed = measure(chosen, today, then, wish.turns)
    values = flat(taken, (figure.name for case in known for figure in case.figures))
    if values:
        print(report.table(chosen, values))
        print("\n" + report.verdicts(chosen, values))
    if then is not None:
        print(f"\ntoday's build beside {wish.baseline}, {wish.turns} of each, in turns:")
        print(report.beside_baseline(taken))
    if wish.json:
        report.write_json(wish.json, values)
    if failed:
        print(f"bench: could not measure: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
