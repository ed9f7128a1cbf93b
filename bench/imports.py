"""What importing costs, by package: time and resident memory, each module without what it imports itself.

    python -m bench.imports MODULE…      one row per top-level package (cortexd by its rooms), the largest first

Run in a fresh interpreter, as memory and time are taken by whoever imports first.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

_Loader = type[importlib.machinery.SourceFileLoader] | type[importlib.machinery.ExtensionFileLoader]
_PAGE_MB = os.sysconf("SC_PAGESIZE") / 2**20
TOP = 25


def _now() -> tuple[float, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return time.perf_counter() * 1e3, pages * _PAGE_MB


class Costs:
    """Own milliseconds and megabytes of each module. `stack` holds what the imports inside the current one took."""

    def __init__(self) -> None:
        self.own: dict[str, tuple[float, float]] = {}
        self._stack: list[tuple[float, float]] = []

    def of(self, name: str, execute: Callable[[], None]) -> None:
        start_ms, start_mb = _now()
        self._stack.append((0.0, 0.0))
        try:
            execute()
        finally:
            inner_ms, inner_mb = self._stack.pop()
            end_ms, end_mb = _now()
            took_ms, took_mb = end_ms - start_ms, end_mb - start_mb
            self.own[name] = took_ms - inner_ms, took_mb - inner_mb
            if self._stack:
                outer_ms, outer_mb = self._stack[-1]
                self._stack[-1] = outer_ms + took_ms, outer_mb + took_mb


def watch(costs: Costs) -> None:
    """From here on, note what each module costs as it is executed."""
    loaders: tuple[_Loader, ...] = (importlib.machinery.SourceFileLoader, importlib.machinery.ExtensionFileLoader)
    for loader in loaders:
        _watch_loader(loader, costs)


def _watch_loader(loader: _Loader, costs: Costs) -> None:
    execute = loader.exec_module

    def exec_module(self: Any, module: ModuleType) -> None:
        costs.of(module.__name__, lambda: execute(self, module))

    loader.exec_module = exec_module  # type: ignore[method-assign]


def _package(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "cortexd" else parts[0]


def by_package(costs: Costs) -> list[tuple[str, int, float, float]]:
    """(package, modules, milliseconds, megabytes), the most memory first."""
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for name, (ms, mb) in costs.own.items():
        row = sums[_package(name)]
        row[0], row[1], row[2] = row[0] + 1, row[1] + ms, row[2] + mb
    return sorted(((name, int(n), ms, mb) for name, (n, ms, mb) in sums.items()), key=lambda row: -row[3])


def main(modules: list[str]) -> None:
    costs = Costs()
    start_ms, start_mb = _now()
    watch(costs)
    for module in modules:
        importlib.import_module(module)
    end_ms, end_mb = _now()
    print(f"importing {', '.join(modules)}: {end_ms - start_ms:.0f} ms, {start_mb:.1f} -> {end_mb:.1f} MB resident")
    print(f"{'MB':>7} {'ms':>7} {'modules':>8}  package, without what it imports")
    for name, count, ms, mb in by_package(costs)[:TOP]:
        print(f"{mb:7.2f} {ms:7.1f} {count:8}  {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
