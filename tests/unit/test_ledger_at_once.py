"""A request that is alone is written on the loop's thread, as long as nothing there has to be waited for."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from cortexd.ledger import Ledger, OverBudget
from cortexd.ledger.writing import at_once, write_back
from tests.unit.test_ledger_budgets import limit
from tests.unit.test_ledger_parts import attempt, complete, eventually, locked, request, rows, settings

STATES = "SELECT state FROM requests ORDER BY id"


async def alone(ledger: Ledger) -> tuple[bool, bool]:
    """Whether the reservation and the settlement of a request were over before the loop could turn to anything else."""
    reserving = asyncio.ensure_future(ledger.reserve(request(), 5))
    await asyncio.sleep(0)
    reserved, key = reserving.done(), await reserving
    settling = ledger.settling(key, "done", (attempt(),))
    settled = settling.done()
    await settling
    await asyncio.sleep(0)  # whoever handed it over hears of it
    return reserved, settled


async def alone_in_the_end(ledger: Ledger) -> None:
    """Both are, once the thread has done whatever it has to."""
    for _ in range(100):
        if await alone(ledger) == (True, True):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing is written at once any more")


@pytest.fixture(autouse=True)
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs tests may be so: no commit takes long because of that."""
    monkeypatch.setattr(at_once, "_LONG_S", 5.0)


@pytest.fixture
async def opened(ledger: Ledger) -> Ledger:
    """A ledger's first write opens it, and is the thread's."""
    await complete(ledger)
    await alone_in_the_end(ledger)
    return ledger


async def test_is_over_at_once(opened: Ledger, path: Path) -> None:
    assert await alone(opened) == (True, True)
    assert {row["state"] for row in rows(path, STATES)} == {"done"}


async def test_what_is_refused_is_so_at_once(opened: Ledger) -> None:
    reserving = asyncio.ensure_future(opened.reserve(request(), 50, [limit(10)]))
    await asyncio.sleep(0)
    assert isinstance(reserving.exception(), OverBudget)


async def test_others_under_way(opened: Ledger, path: Path) -> None:
    """They may share a commit, which the thread makes; so it does until all of them have ended."""
    key = await opened.reserve(request(), 5)
    assert await alone(opened) == (False, False)
    await opened.settle(key, "done", (attempt(),))
    await alone_in_the_end(opened)
    assert {row["state"] for row in rows(path, STATES)} == {"done"}


async def test_the_loop_does_not_wait_for_another_process(opened: Ledger, path: Path) -> None:
    """That has locked the file; the thread waits for its end, as ever, and for a while it writes all of it."""
    with locked(path):
        reserving = asyncio.ensure_future(opened.reserve(request(), 5))
        start = time.monotonic()
        await asyncio.sleep(0)
        assert time.monotonic() - start < 1  # SQLite waits for five
        await asyncio.sleep(0.3)
        assert not reserving.done()
    await opened.settle(await reserving, "done", (attempt(),))
    assert await alone(opened) == (False, False)


async def test_what_may_wait_for_a_disk(tmp_path: Path) -> None:
    """A ledger that is to survive a power cut waits for it with each commit."""
    ledger = await Ledger.open(settings(tmp_path, durability="power"))
    await complete(ledger)
    await asyncio.sleep(0)
    assert await alone(ledger) == (False, False)
    await ledger.close()


async def test_a_commit_that_took_long(opened: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has no time: for a while the thread waits for it."""
    monkeypatch.setattr(at_once, "_LONG_S", 0.0)
    assert await alone(opened) == (True, False)
    assert await alone(opened) == (False, False)


async def test_a_log_that_begins_anew(opened: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit after all of it was moved waits for the disk: it is the thread's, and the next one is not."""
    monkeypatch.setattr(write_back, "EVERY", 1)
    await alone(opened)
    moving = opened._writer._write_back
    await eventually(lambda: not (moving.busy or moving.quiet))
    monkeypatch.setattr(write_back, "EVERY", 1000)
    reserved, _ = await alone(opened)
    assert not reserved
    await alone_in_the_end(opened)


async def test_its_lease_is_renewed(tmp_path: Path, path: Path) -> None:
    """By the thread, which nothing has woken when it was reserved."""
    ledger = await Ledger.open(settings(tmp_path, lease_s=1))
    await complete(ledger)
    await asyncio.sleep(0)
    key = await ledger.reserve(request(), 5)
    until = "SELECT lease_until FROM requests WHERE state = 'pending'"
    first = rows(path, until)[0]["lease_until"]
    await eventually(lambda: rows(path, until)[0]["lease_until"] > first)
    await ledger.settle(key, "done", (attempt(),))
    await ledger.close()
