"""The thread that writes the ledger: what it commits together, and where it fails by a fault of ours."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest

from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger, RequestState
from cortexd.ledger.writing.store import Store
from tests.unit.test_ledger_parts import attempt, request, rows, settings

pytestmark = pytest.mark.usefixtures("engine")
AT_ONCE = 40


async def test_who_waits_for_a_failed_writer_is_told_at_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for his deadline, later writes are refused, and the daemon hears that it has to start again."""

    def fails(_store: Store, _actions: object) -> None:
        raise ZeroDivisionError

    await ledger.reserve(request(), 5)
    monkeypatch.setattr(Store, "run", fails)
    with caplog.at_level(logging.CRITICAL):
        async with asyncio.timeout(5):
            with pytest.raises(LedgerUnavailable):
                await ledger.reserve(request(), 5)
            await ledger.failed()
    assert ["ledger's writer has failed" in record.message for record in caplog.records] == [True]
    assert not ledger.writable
    with pytest.raises(LedgerUnavailable):
        await ledger.reserve(request(), 5)


@pytest.mark.of_a_file
async def test_what_comes_at_once_is_committed_together(ledger: Ledger, path: Path) -> None:
    """Requests that arrive in one turn of the loop share a commit, also where the writer could run in between."""

    async def reserve() -> int:
        time.sleep(0.001)  # the loop's thread gives the interpreter away, as it does with each message that it sends
        return await ledger.reserve(request(), 5)

    await ledger.reserve(request(), 5)
    before = commits(path)
    await asyncio.gather(*(reserve() for _ in range(AT_ONCE)))
    assert commits(path) - before < AT_ONCE / 4
    assert len(rows(path, "SELECT 1 FROM requests")) == AT_ONCE + 1


async def test_what_was_asked_for_as_the_ledger_closed_is_written(tmp_path: Path, path: Path) -> None:
    """A settlement that was begun is durable once the ledger is closed."""
    ledger = await Ledger.open(settings(tmp_path))
    key = await ledger.reserve(request(), 5)
    settling = ledger.settling(key, "done", (attempt(),))
    await ledger.close()
    assert (await settling).cost_known
    assert [row["state"] for row in rows(path, "SELECT state FROM requests")] == [RequestState.DONE]


def commits(path: Path) -> int:
    """As SQLite's log has them: the last page of each says how large the file is then."""
    log = path.with_name(f"{path.name}-wal").read_bytes()
    size = int.from_bytes(log[8:12], "big") + 24
    return sum(log[at + 4 : at + 8] != bytes(4) for at in range(32, len(log), size))
