"""The thread that writes the ledger, where it fails by a fault of ours."""

from __future__ import annotations

import asyncio
import logging

import pytest

from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger
from cortexd.ledger.writing.store import Store
from tests.unit.test_ledger_parts import request

pytestmark = pytest.mark.usefixtures("engine")


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
