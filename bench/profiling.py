"""`--profile`: where the daemon's time goes per request, thread by thread, and what its imports cost; `--flame`: that
of a single call as a picture."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import flame, report
from bench.lab import CHECKOUT, SERVICE_USER, Lab
from bench.processes import CannotMeasure
from bench.samples import Round

TOP = 25
IN_FLIGHT = 4  # enough to keep the loop busy, so that waiting does not head the list

_WAITS = ("'poll' of 'select.epoll'", "'get' of '_queue.SimpleQueue'", "'acquire' of '_thread.lock'")
_LEAST_MS = 0.01  # a thread that does less per request is not shown
_IMPORTS = (("cortexd.__main__", "cortexd.daemon.run"), ("sqlalchemy",), ("anthropic",), ("openai",))

Row = tuple[str, int, float, float]


def run(lab: Lab) -> int:
    """Print the profile of a load of claude requests, and of the imports. Returns the exit status."""
    calls = 300 if lab.quick else 1000
    try:
        threads, done = _profile(lab, calls)
    except CannotMeasure as error:
        print(f"profile: {error}")
        return 1
    print(f"{calls} requests, {IN_FLIGHT} in flight, under the profiler: CPU {1e3 * done.cpu_s / calls:.2f} ms each;")
    print("the profiler itself makes each call of a Python function dearer: compare the rows, not the sums.")
    for name, rows in sorted(threads.items(), key=lambda item: -_busy_s(item[1])):
        if 1e3 * _busy_s(rows) / calls >= _LEAST_MS:
            _print_thread(name, rows, calls)
    for modules in _IMPORTS:
        print(flush=True)
        subprocess.run([sys.executable, "-m", "bench.imports", *modules], check=False, timeout=120)
    return 0


def draw(lab: Lab, file: Path, build: str) -> int:
    """Write a flame graph of a call, one at a time. Returns the exit status."""
    calls = 1000 if lab.quick else 4000
    try:
        stacks, _ = recorded(lab, calls, (str(CHECKOUT / "bench" / "flamed.py"),), in_flight=1)
    except CannotMeasure as error:
        print(f"flame: {error}")
        return 1
    report.write_text(file, flame.svg(stacks, f"Complete, {calls} calls one after the other, {build}"))
    return 0


def _profile(lab: Lab, calls: int) -> tuple[dict[str, list[Row]], Round]:
    return recorded(lab, calls, ("-m", "bench.profiled"), in_flight=IN_FLIGHT)


def recorded(lab: Lab, calls: int, recorder: Sequence[str], *, in_flight: int) -> tuple[Any, Round]:
    """What a `recorder`, started before the daemon with a file's name, has written of a load of claude requests."""
    out = _file_of_service(lab.directory / "profile.json")
    with lab.upstream() as upstream, lab.ledger_directory() as ledger:
        with lab.daemon(upstream, ledger, before_module=(*recorder, str(out))) as daemon:
            lab.wait_for(daemon)
            daemon.settle(60)
            lab.calls(daemon, in_flight=in_flight, calls=50)
            daemon.signal(signal.SIGUSR1)
            done = lab.calls(daemon, in_flight=in_flight, calls=calls)
            daemon.signal(signal.SIGUSR1)
            daemon.settle()
            daemon.signal(signal.SIGTERM)
            daemon.wait(60)
        if done.failures == calls:
            raise CannotMeasure(f"every call failed: {done.error}\n{daemon.log_end()}")
        text = out.read_text()
    if not text:
        raise CannotMeasure(f"the daemon did not end by itself, so there is no profile:\n{daemon.log_end()}")
    return json.loads(text), done


def _file_of_service(file: Path) -> Path:
    """An empty file that the daemon's user may write."""
    file.touch()
    user = pwd.getpwnam(SERVICE_USER)
    os.chown(file, user.pw_uid, user.pw_gid)
    return file


def _is_wait(row: Row) -> bool:
    return any(wait in row[0] for wait in _WAITS)


def _busy_s(rows: Sequence[Row]) -> float:
    return sum(row[2] for row in rows if not _is_wait(row))


def _print_thread(name: str, rows: Sequence[Row], calls: int) -> None:
    print(f"\nthread {name}: {1e3 * _busy_s(rows) / calls:.3f} ms per request, waits left out")
    print(f"{'own ms':>9} {'in all':>9} {'calls':>8}  per request, by function")
    busy = [row for row in rows if not _is_wait(row)]
    for label, count, own, in_all in sorted(busy, key=lambda row: -row[2])[:TOP]:
        print(f"{1e3 * own / calls:9.4f} {1e3 * in_all / calls:9.4f} {count / calls:8.2f}  {label}")
