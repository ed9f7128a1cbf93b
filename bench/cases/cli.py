"""cortexctl: what `cortexctl --version` takes from spawn to its end, against the same interpreter doing nothing."""

from __future__ import annotations

from bench import interpreters
from bench.figures import Case, Figure, Values
from bench.lab import Lab


def run(lab: Lab) -> Values:
    version = ("-m", "cortexd.cli", "--version")
    shown, bare = interpreters.in_turns(version, interpreters.BARE, times=5 if lab.quick else 21)
    return {
        "cli.version_ms": shown.wall_ms,
        "cli.version_min_ms": shown.least_wall_ms,
        "cli.version_cpu_ms": shown.cpu_ms,
        "cli.python_ms": bare.wall_ms,
        "cli.python_cpu_ms": bare.cpu_ms,
        "cli.added_ms": shown.wall_ms - bare.wall_ms,
        "cli.ratio": shown.wall_ms / bare.wall_ms,
    }


CASE = Case(
    name="cli",
    summary="cortexctl --version against bare Python",
    figures=(
        Figure("cli.version_ms", "ms", "cortexctl --version from spawn to its end, median", at_most=150),
        Figure("cli.version_min_ms", "ms", "the fastest of these"),
        Figure("cli.version_cpu_ms", "ms", "its CPU"),
        Figure("cli.added_ms", "ms", "that minus a Python that does nothing"),
        Figure("cli.ratio", "×", "that over a Python that does nothing"),
        Figure("cli.python_ms", "ms", "python -c pass with the same interpreter, median"),
        Figure("cli.python_cpu_ms", "ms", "its CPU"),
    ),
    run=run,
)
