"""Runs a module with a profiler in every thread, and writes what was spent between two SIGUSR1.

    python -m bench.profiled OUT MODULE [ARGUMENT…]

OUT becomes a JSON object: thread name -> list of [function, calls, own seconds, seconds with what it called]. Times are
wall-clock, so waits are rows too (epoll, locks, queues). The module has to end by itself, as a daemon does on SIGTERM.
"""

from __future__ import annotations

import cProfile
import json
import runpy
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_profiles: list[tuple[str, cProfile.Profile]] = []
_marks: list[dict[tuple[str, CodeType | str], Spent]] = []


@dataclass(frozen=True, slots=True)
class Spent:
    calls: int = 0
    own_s: float = 0.0
    all_s: float = 0.0

    def plus(self, other: Spent, sign: int = 1) -> Spent:
        return Spent(self.calls + sign * other.calls, self.own_s + sign * other.own_s, self.all_s + sign * other.all_s)


def _begin(*_: Any) -> None:
    """Profile this thread from here on; called as a thread's first profile event, which it replaces."""
    profile = cProfile.Profile()
    _profiles.append((threading.current_thread().name, profile))
    profile.enable()


def _mark(_number: int, _frame: FrameType | None) -> None:
    """Note what each function has spent so far; the main thread's profiler rests meanwhile."""
    main = _profiles[0][1]
    main.disable()
    spent: dict[tuple[str, CodeType | str], Spent] = {}
    for thread, profile in list(_profiles):
        for entry in profile.getstats():
            key = thread, entry.code
            more = Spent(entry.callcount, entry.inlinetime, entry.totaltime)
            spent[key] = spent.get(key, Spent()).plus(more)
    _marks.append(spent)
    main.enable()


def _label(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code
    place = "/".join(Path(code.co_filename).parts[-3:])
    return f"{place}:{code.co_firstlineno} {code.co_qualname}"


def _write(out: Path) -> None:
    threads: dict[str, list[tuple[str, int, float, float]]] = {}
    before, after = _marks[:2]
    for (thread, code), total in after.items():
        spent = total.plus(before.get((thread, code), Spent()), -1)
        if spent.calls or spent.own_s > 0:
            threads.setdefault(thread, []).append((_label(code), spent.calls, spent.own_s, spent.all_s))
    out.write_text(json.dumps(threads))


def main() -> None:
    out, module = Path(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    signal.signal(signal.SIGUSR1, _mark)
    threading.setprofile(_begin)
    _begin()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.setprofile(None)
        _write(out)


if __name__ == "__main__":
    main()
