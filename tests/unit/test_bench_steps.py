"""The interpreter's steps for a call: whose they are, and that they are counted between two signals only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cases.steps import place

STEPPED = Path(__file__).resolve().parents[2] / "bench" / "stepped.py"
MODULE = """
import os, signal

def counted(times):
    for _ in range(times):
        pass

def passed_over():
    counted(1000)

passed_over()
os.kill(os.getpid(), signal.SIGUSR1)
counted({times})
os.kill(os.getpid(), signal.SIGUSR1)
passed_over()
"""


@pytest.mark.parametrize(
    ("file", "whose"),
    [
        ("/somewhere/cortexd/ledger/writing/rows.py", "ledger"),
        ("/somewhere/cortexd/cortexd/bus/signals.py", "other"),
        ("/cortexd/.cache/bench/x/cortexd/routing/plan.py", "routing"),
        ("/v/lib/python3.11/site-packages/aiohttp/client.py", "aiohttp"),
        ("/usr/lib/python3.13/asyncio/events.py", "asyncio"),
        ("/home/x/cortexd/.venv/lib/python3.11/site-packages/sqlalchemy/engine/base.py", "sqlalchemy"),
        ("/usr/lib/python3.11/enum.py", "other"),
        ("<string>", "other"),
    ],
)
def test_whose_a_step_is(file: str, whose: str) -> None:
    assert place(f"{file} Something.of_it") == whose


@pytest.mark.parametrize("times", [10, 20])
def test_what_is_counted(tmp_path: Path, times: int) -> None:
    """As many steps for each turn of a loop, whoever counts them, and none from before or after."""
    found = [_counted(tmp_path, number) for number in (times, 2 * times)]
    assert [functions for functions, _ in found] == [1, 1]
    more = found[1][1] - found[0][1]
    assert more % times == 0
    assert found[0][1] < 2 * more


def _counted(directory: Path, times: int) -> tuple[int, int]:
    (directory / "counts.py").write_text(MODULE.replace("{times}", str(times)))
    out = directory / "out.json"
    subprocess.run([sys.executable, STEPPED, out, "counts"], cwd=directory, check=True, timeout=60)
    told = json.loads(out.read_text())
    mine = {name: number for name, number in told["steps"].items() if name.endswith(" counted")}
    return told["functions"], sum(mine.values())
