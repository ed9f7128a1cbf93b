"""Runs a module and counts, between two SIGUSR1, what the interpreter does in its main thread; in any checkout.

    python PATH/stepped.py OUT MODULE [ARGUMENT…]

OUT becomes a JSON object: `functions`, how many were called or went on, and `steps`, of each function by its place. A
step is an instruction of the interpreter: their number depends on what is run, and not on what else the machine does.
"""

from __future__ import annotations

import json
import math
import runpy
import signal
import sys
from collections import Counter
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_steps: Counter[CodeType] = Counter()
_functions: Counter[CodeType] = Counter()


def _step(frame: FrameType, event: str, _given: Any) -> Any:
    if event == "opcode":
        _steps[frame.f_code] += 1
    return _step


def _enter(frame: FrameType, _event: str, _given: Any) -> Any:
    if frame.f_code is _mark.__code__:
        return None
    frame.f_trace_lines, frame.f_trace_opcodes = False, True
    _functions[frame.f_code] += 1
    return _step


def _mark(_number: int, _frame: FrameType | None) -> None:
    sys.settrace(None if sys.gettrace() else _enter)


def _let_commits_take_long() -> None:
    """Under a tracer they do; the daemon's ledger would have a thread of its own make the next ones."""
    with suppress(ImportError):  # a build that has no such thing
        at_once: Any = import_module("cortexd.ledger.writing.at_once")
        at_once._LONG_S = math.inf


def main() -> None:
    out, module = Path(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    sys.path[0] = ""  # the checkout, and not this file's directory
    _let_commits_take_long()
    signal.signal(signal.SIGUSR1, _mark)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.settrace(None)
        steps: Counter[str] = Counter()
        for code, number in _steps.items():
            steps[f"{code.co_filename} {code.co_qualname}"] += number
        out.write_text(json.dumps({"functions": _functions.total(), "steps": steps}))


if __name__ == "__main__":
    main()
