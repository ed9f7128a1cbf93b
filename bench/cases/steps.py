"""What the interpreter does for one Complete, counted: no load changes it, so a small change shows at once.

Of the loop's thread, one call at a time, when all is warm. Time is not in it: a step in C may take long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bench import profiling
from bench.figures import Case, Figure, Values
from bench.flamed import below
from bench.lab import CHECKOUT, Lab

CALLS = 100
ROOMS = ("ledger", "providers", "requests", "routing", "connection")
LIBRARIES = ("aiohttp", "asyncio", "sqlalchemy")


def place(function: str) -> str:
    """The room or the library of a function, named by its file."""
    top, _, rest = below(function.rpartition(" ")[0]).partition("/")
    name, known = (rest.partition("/")[0], ROOMS) if top == "cortexd" else (top, LIBRARIES)
    return name if name in known else "other"


def run(lab: Lab) -> Values:
    counted, _ = profiling.recorded(lab, CALLS, (str(CHECKOUT / "bench" / "stepped.py"),), in_flight=1)
    steps: Counter[str] = Counter()
    for function, number in counted["steps"].items():
        steps[place(function)] += number
    values = {f"steps.{name}": steps[name] / CALLS for name in (*ROOMS, *LIBRARIES, "other")}
    return {"steps.call": steps.total() / CALLS, "steps.functions": counted["functions"] / CALLS, **values}


def _figures() -> Iterator[Figure]:
    yield Figure("steps.call", "", "the interpreter's instructions for a call")
    yield Figure("steps.functions", "", "functions that are called for it, or go on after a wait")
    for name in ROOMS:
        yield Figure(f"steps.{name}", "", f"of these instructions those of cortexd/{name}/")
    for name in LIBRARIES:
        yield Figure(f"steps.{name}", "", f"those of {name}")
    yield Figure("steps.other", "", "all others")


CASE = Case(
    name="steps",
    summary="what the interpreter does for a call, counted: the same under any load",
    figures=tuple(_figures()),
    run=run,
)
