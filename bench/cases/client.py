"""The client library: what `import cortexd.client` costs a program, against the same interpreter doing nothing."""

from __future__ import annotations

from bench import interpreters
from bench.figures import Case, Figure, Values
from bench.lab import Lab

_PROGRAM = """
import sys
import cortexd.client
heavy = {"anthropic", "openai", "aiohttp", "sqlalchemy"} & sys.modules.keys()
sys.exit(f"cortexd.client imports {sorted(heavy)}" if heavy else 0)
"""


def run(lab: Lab) -> Values:
    """Raises CannotMeasure where the import brings an SDK or the database along: it would be another thing."""
    client, bare = interpreters.in_turns(("-c", _PROGRAM), interpreters.BARE, times=5 if lab.quick else 15)
    rss_mb, bare_mb = interpreters.rss_mb("import cortexd.client"), interpreters.rss_mb("pass")
    return {
        "client.import_ms": client.wall_ms - bare.wall_ms,
        "client.import_cpu_ms": client.cpu_ms - bare.cpu_ms,
        "client.ratio": client.wall_ms / bare.wall_ms,
        "client.rss_mb": rss_mb,
        "client.added_mb": rss_mb - bare_mb,
    }


CASE = Case(
    name="client",
    summary="import cortexd.client against bare Python",
    figures=(
        Figure("client.import_ms", "ms", "a program that imports cortexd.client, minus one that does nothing, medians"),
        Figure("client.import_cpu_ms", "ms", "the same in CPU"),
        Figure("client.ratio", "×", "the program's whole time over that of one that does nothing"),
        Figure("client.rss_mb", "MB", "its resident memory after the import"),
        Figure("client.added_mb", "MB", "that minus a Python that does nothing"),
    ),
    run=run,
)
