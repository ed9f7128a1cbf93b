"""The log of commits: moved into the file beside the writer, and never longer than it may be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cortexd.ledger import Ledger
from cortexd.ledger.engines import Log
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.writing import write_back
from cortexd.ledger.writing.store import Store
from tests.unit.test_ledger_parts import at, complete, settings


def log_bytes(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


async def calls(ledger: Ledger, number: int) -> None:
    for _ in range(number // 20):
        await asyncio.gather(*(complete(ledger) for _ in range(20)))


# Moves its log all the time; a line for every twenty requests that are settled.
CALLER = """
import asyncio, os, sys
from pathlib import Path
from tests.unit.test_ledger_parts import complete, settings
from cortexd.ledger import Ledger
from cortexd.ledger.writing import write_back

write_back.EVERY, write_back.LONG_BYTES, write_back.MAX_BYTES = 2, 1, 1

async def main():
    ledger = await Ledger.open(settings(Path(sys.argv[1])))
    while True:
        made = [complete(ledger, request_id=os.urandom(8).hex()) for _ in range(20)]
        await asyncio.gather(*made)
        os.write(1, b"told\\n")

asyncio.run(main())
"""


class TestLog:
    async def test_stays_short_under_a_writer_that_never_rests(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It begins anew while calls go on, though something is added to it at every moment."""
        monkeypatch.setattr(write_back, "EVERY", 10)
        monkeypatch.setattr(write_back, "LONG_BYTES", 1_000_000)
        monkeypatch.setattr(write_back, "MAX_BYTES", 4_000_000)
        ledger = await Ledger.open(settings(tmp_path))
        path = settings(tmp_path).path
        most = 0
        for _ in range(60):
            await calls(ledger, 40)
            most = max(most, log_bytes(path))
        await ledger.close()
        written = path.stat().st_size
        assert most < 12_000_000
        assert written > 1_000_000
        assert check(at(path)) == []

    async def test_is_moved_by_another_thread_than_the_writers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After every so many commits, and no second time while the first still runs."""
        monkeypatch.setattr(write_back, "EVERY", 5)
        threads: list[tuple[str, str]] = []
        real = {name: getattr(Store, name) for name in ("write_back", "write_back_beside")}

        def noted(name: str) -> None:
            def run(store: Store) -> Log:
                threads.append((name, threading.current_thread().name.rstrip("_0")))
                return Log(*real[name](store))

            monkeypatch.setattr(Store, name, run)

        for name in real:
            noted(name)
        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(30):
            await complete(ledger)
        await ledger.close()
        assert set(threads) == {("write_back_beside", "ledger-write-back")}
        assert 1 <= len(threads) <= 60 // 5

    async def test_loses_nothing_to_a_kill(self, tmp_path: Path) -> None:
        """A daemon killed while its log is moved, again and again: what it told is there, and the file is whole."""
        told = 0
        for round_ in range(4):
            with subprocess.Popen([sys.executable, "-c", CALLER, str(tmp_path)], stdout=subprocess.PIPE) as daemon:
                assert daemon.stdout is not None
                told += sum(20 for _ in range(3 + 5 * round_) if daemon.stdout.readline())
                daemon.kill()
            ledger = await Ledger.open(settings(tmp_path))
            assert ledger.totals.total_requests >= told
            await ledger.close()
            assert check(at(settings(tmp_path).path)) == []
            told = ledger.totals.total_requests
