"""The Python library: what `import llm_router` costs, and its first router, in fresh interpreters, compiled before."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.processes import CannotMeasure

PROGRAM = """
from time import perf_counter as now
start = now()
import llm_router
imported = now()
llm_router.LLMRouter("key").route_task("user_chat")
print(1e3 * (imported - start), 1e3 * (now() - imported))
"""


def run(lab: Lab) -> Values:
    with tempfile.TemporaryDirectory(prefix="cortexd-bench-") as compiled:
        runs = [_times(compiled) for _ in range(1 + (5 if lab.quick else 15))][1:]  # the first one compiles
    imports, routers = zip(*runs, strict=True)
    return {
        "library.import_ms": statistics.median(imports),
        "library.import_min_ms": min(imports),
        "library.router_ms": statistics.median(routers),
    }


def _times(compiled: str) -> tuple[float, float]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = compiled
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, env=environment)
    if done.returncode:
        raise CannotMeasure(f"import llm_router: {done.stderr.strip()[-500:]}")
    imported, routed = map(float, done.stdout.split())
    return imported, routed


CASE = Case(
    name="library",
    summary="import llm_router in a fresh interpreter",
    figures=(
        Figure("library.import_ms", "ms", "import llm_router, median", at_most=60),
        Figure("library.import_min_ms", "ms", "the fastest of these imports"),
        Figure("library.router_ms", "ms", "the first LLMRouter and its first route, median; no SDK yet"),
    ),
    run=run,
)
