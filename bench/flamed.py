"""Runs a module and notes, between two SIGUSR1, on which stacks its threads spend processor time; in any checkout.

    python PATH/flamed.py OUT MODULE [ARGUMENT…]

OUT becomes a JSON object: a stack, its frames from the outside in joined by ";", -> microseconds. A sample is taken
after so much processor time; each thread's own since the last one is its stack's. The module has to end by itself.
"""

from __future__ import annotations

import json
import runpy
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

EVERY_S = 0.001  # the kernel's tick is the limit
_HOMES = ("site-packages", "dist-packages", "vendor")

_seen: Counter[str] = Counter()
_labels: dict[CodeType, str] = {}
_spent_us: dict[int, int] = {}


def below(file: str) -> str:
    """Where a file stands, below what holds it on this machine."""
    parts = Path(file).parts
    homes = [at for at, part in enumerate(parts) if part in _HOMES or part.startswith("python3.")]
    own = [at - 1 for at, part in enumerate(parts) if part == "cortexd" and at + 1 < len(parts)]
    start = max([*homes, *own[-1:]], default=len(parts) - 2) + 1
    return "/".join(parts[start:])


def label(code: CodeType) -> str:
    """A function's file and its name."""
    return f"{below(code.co_filename)} {code.co_qualname}".replace(";", ",")


def _stack(frame: FrameType | None) -> str:
    frames = []
    while frame is not None:
        code = frame.f_code
        if code not in _labels:
            _labels[code] = label(code)
        frames.append(_labels[code])
        frame = frame.f_back
    return ";".join(reversed(frames))


def _sample(_number: int, frame: FrameType | None) -> None:
    main = threading.main_thread().ident
    for thread, top in sys._current_frames().items():
        spent = time.clock_gettime_ns(time.pthread_getcpuclockid(thread)) // 1000
        new = spent - _spent_us.get(thread, spent)
        _spent_us[thread] = spent
        if new:
            _seen[_stack(frame if thread == main else top)] += new


def _mark(_number: int, _frame: FrameType | None) -> None:
    running = signal.getitimer(signal.ITIMER_PROF)[1] > 0
    signal.setitimer(signal.ITIMER_PROF, 0 if running else EVERY_S, 0 if running else EVERY_S)


def main() -> None:
    out, module = Path(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    sys.path[0] = ""  # the checkout, and not this file's directory
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGUSR1, _mark)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        out.write_text(json.dumps(_seen))


if __name__ == "__main__":
    main()
