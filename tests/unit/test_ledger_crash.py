"""kill -9 in the middle of many requests, again and again on one file."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from cortexd.ledger import Ledger
from tests.unit.test_ledger_parts import audited, rows, settings

IN_FLIGHT = 50
ROUNDS = 8

# Says on standard output what it was told: "reserved ID" and "settled ID", each only after the ledger had returned.
DAEMON = """
import asyncio, os, sys
from pathlib import Path
from tests.unit.test_ledger_parts import attempt, request, settings
from cortexd.ledger import Ledger

async def main():
    ledger = await Ledger.open(settings(Path(sys.argv[1])))

    async def user(number):
        for turn in range(100_000):
            name = f"{os.getpid()}-{number}-{turn}"
            key = await ledger.reserve(request(1000 + number % 4, request_id=name, caller_chosen=True), 9_000)
            os.write(1, f"reserved {name}\\n".encode())
            if turn % 3 == 0:
                await ledger.reserve_more(key, 5_000)
            await ledger.settle(key, "done", [attempt(1_000 + number)])
            os.write(1, f"settled {name}\\n".encode())

    await asyncio.gather(*(user(number) for number in range(int(sys.argv[2]))))

asyncio.run(main())
"""


def run_and_kill(directory: Path, after_lines: int) -> list[list[str]]:
    """What a daemon had said when it was killed, after at least so many lines."""
    command = [sys.executable, "-c", DAEMON, str(directory), str(IN_FLIGHT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        said = [daemon.stdout.readline() for _ in range(after_lines)]
        daemon.kill()
        said.extend(daemon.stdout)
    return [line.split() for line in said if line.endswith("\n")]


class TestKill:
    async def test_loses_nothing_that_was_told(self, tmp_path: Path) -> None:
        """After each kill every told reservation has its row, every told settlement its cost, and nothing is held."""
        chance = random.Random(9)
        path = settings(tmp_path).path
        reserved: set[str] = set()
        settled: set[str] = set()
        recovered = 0
        for _ in range(ROUNDS):
            for word, name in run_and_kill(tmp_path, chance.randrange(1, 800)):
                (reserved if word == "reserved" else settled).add(name)
            pending = audited(path).pending
            ledger = await Ledger.open(settings(tmp_path))
            assert ledger.recovered == pending
            recovered += ledger.recovered
            totals = ledger.totals
            await ledger.close()

            found = {row["request_id"]: row for row in rows(path, "SELECT * FROM requests")}
            assert reserved <= found.keys()
            assert all(found[name]["state"] == "done" for name in settled)
            assert all(found[name]["cost_nano"] == 1_000 + int(name.split("-")[1]) for name in settled)
            assert {row["state"] for row in found.values()} <= {"done", "lost"}
            assert {row["cost_nano"] for row in found.values() if row["state"] == "lost"} <= {9_000, 14_000}
            audit = audited(path)
            assert (audit.pending, audit.reserved_nano, audit.wrong_rows) == (0, 0, 0)
            assert (totals.total_requests, totals.total_cost_nano) == (audit.requests, audit.charged_nano)
        assert recovered > 0, "no kill met a pending request: the test proves nothing"
        assert settled
