"""A ledger's file before anybody needs the ledger: what is known of it, and what a start does with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.domain.learned import Cell, Learned
from cortexd.domain.own_cap import AtLimit, Extra, OwnCap
from cortexd.domain.targets import Target
from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger, LimitOverride, Totals
from cortexd.ledger.engines import TemporarilyUnavailable
from cortexd.ledger.keeping.revisions import HEAD
from tests.unit.test_ledger_opening import change, holder
from tests.unit.test_ledger_parts import MACHINE, audited, complete, locked, make_older, request, rows, settings

CAP = OwnCap(5, None, AtLimit.ASK, datetime(2026, 11, 30, 12, 30, tzinfo=UTC), Extra("2026-11-30", 7), Extra())
LEARNED = Learned({("", Target("claude", "m")): Cell(1.5, 0.25, 3, 9)}, {("task", ""): 9, ("seed", ""): 4}, begun=True)
LONG_AGO = datetime.now(UTC) - timedelta(days=200)

Read = Callable[[Ledger], Any]
# What a daemon reads as it starts.
READINGS: dict[str, Read] = {
    "owners": lambda ledger: ledger.owners(),
    "budget overrides": lambda ledger: ledger.budget_overrides(),
    "own caps": lambda ledger: ledger.own_caps(),
    "learned": lambda ledger: ledger.learned(),
    "answered": lambda ledger: ledger.answered(LONG_AGO, datetime.now(UTC) + timedelta(days=1)),
}
# Opens a ledger, does what its second argument says, and tells whether SQLAlchemy is there, before and after.
PROCESS = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from cortexd.daemon.catching_up import known
from cortexd.daemon.recollection import recollect, relearn
from cortexd.ledger import Ledger
from cortexd.config.settings import LedgerSettings
from cortexd.routing import Observed

async def main():
    ledger = await Ledger.open(LedgerSettings(path=Path(sys.argv[1])))
    await known(ledger)
    await relearn(ledger)
    await recollect(ledger, Observed())
    print("sqlalchemy" in sys.modules, ledger.totals.total_requests)
    await eval(sys.argv[2])
    print("sqlalchemy" in sys.modules)
    await ledger.close()

asyncio.run(main())
"""


@pytest.fixture(name="used")
async def used_fixture(path: Path, tmp_path: Path) -> Path:
    """The file of a ledger with something of everything, closed."""
    ledger = await Ledger.open(settings(tmp_path))
    for number in range(3):
        await complete(ledger, 100, request_id=f"used-{number}")
    await ledger.note_owner(1000, "ann")
    await ledger.set_budget("user", "ann", LimitOverride(5, None), 0)
    await ledger.set_own_cap(1000, CAP)
    await ledger.replace_learned(LEARNED)
    await ledger.close()
    return path


@pytest.fixture(name="resting")
async def resting_fixture(used: Path, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(settings(tmp_path))
    assert ledger.at_rest
    yield ledger
    await ledger.close()


def said(path: Path, then: str = "asyncio.sleep(0)") -> list[str]:
    """By a process of its own."""
    command = [sys.executable, "-c", PROCESS, str(path), then]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


class TestRest:
    async def test_needs_nothing_but_the_standard_library(self, used: Path) -> None:
        """A daemon that begins with a ledger in order, and reads what it needs of it, loads no SQLAlchemy; whatever
        else it is asked does."""
        assert said(used) == ["False", "3", "False"]
        for then in ("ledger.stats(None)", "ledger.find(1000, 'used-1')", "ledger.reset_stats(1000)"):
            assert said(used, then) == ["False", "3", "True"]

    @pytest.mark.parametrize("reading", READINGS)
    async def test_says_what_the_opened_ledger_says(self, resting: Ledger, reading: str) -> None:
        """What is read at rest is the same, and as much, as what is read later."""
        read = READINGS[reading]
        at_rest, totals = await read(resting), resting.totals
        assert resting.at_rest
        assert await resting.find(1000, "used-1") is not None
        assert not resting.at_rest
        assert (await read(resting), resting.totals) == (at_rest, totals)
        assert at_rest
        assert totals == Totals(3, 300)

    async def test_values(self, resting: Ledger) -> None:
        """They are what was kept."""
        assert await resting.owners() == {1000: "ann"}
        assert await resting.budget_overrides() == {("user", "ann"): LimitOverride(5, None)}
        assert await resting.own_caps() == {1000: CAP}
        assert await resting.learned() == LEARNED
        answered = await resting.answered(LONG_AGO, datetime.now(UTC) + timedelta(days=1))
        assert [(one.provider, one.task_type, one.latency_ms) for one in answered] == 3 * [("claude", "user_chat", 12)]
        assert resting.at_rest

    async def test_notes_who_has_the_file(self, used: Path, tmp_path: Path) -> None:
        """As an opening does: this daemon and its version, when it came, and its pid."""
        before = rows(used, "SELECT last_seen FROM hosts")[0][0]
        newer = replace(MACHINE, version="9.9.9", time_zone="Asia/Tokyo")
        ledger = await Ledger.open(settings(tmp_path), instance="new", machine=newer)
        assert ledger.at_rest
        [host] = rows(used, "SELECT * FROM hosts")
        assert (host["version"], host["time_zone"], host["schema"]) == ("9.9.9", "Asia/Tokyo", HEAD)
        assert host["last_seen"] > before
        assert rows(used, "SELECT value FROM meta WHERE name = 'instance'")[0][0] == "new"
        assert used.with_name(used.name + ".lock").read_text() == f"{os.getpid()}\n"
        await ledger.close()

    async def test_keeps_others_away(self, resting: Ledger, used: Path, tmp_path: Path) -> None:
        """A second daemon is refused, before the first one has opened the file and afterwards, and not once it is
        gone."""
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match=f"pid {os.getpid()}"):
                await Ledger.open(settings(tmp_path))
            await complete(resting)
        await resting.close()
        await (await Ledger.open(settings(tmp_path))).close()

    async def test_survives_a_kill(self, used: Path, tmp_path: Path) -> None:
        """Killed at rest it rests again at the next start, and nothing is lost."""
        for _ in range(3):
            with holder(used) as process:
                assert process.stdout is not None
                process.stdout.readline()
                process.kill()
        ledger = await Ledger.open(settings(tmp_path))
        assert (ledger.at_rest, ledger.totals, ledger.recovered) == (True, Totals(3, 300), 0)
        await ledger.close()
        assert audited(used).charged_nano == 300


async def leave_pending(path: Path) -> None:
    ledger = await Ledger.open(LedgerSettings(path=path))
    await ledger.reserve(request(), 9)
    await ledger.close()


def rename_machine(path: Path) -> None:
    change(path, "UPDATE hosts SET name = 'other'")


def meet_another_machine(path: Path) -> None:
    change(path, "INSERT INTO hosts SELECT 7, 'b', 'b', first_seen, last_seen, '1', '1', '', '', 'host' FROM hosts")


def restore_a_copy(path: Path) -> None:
    change(path, "PRAGMA journal_mode = DELETE")


def forget_who_had_it(path: Path) -> None:
    change(path, "DELETE FROM meta WHERE name = 'instance'")


class TestStart:
    """Where there is something to do, or to say, the start does it."""

    async def test_settles_what_is_pending(self, used: Path, tmp_path: Path) -> None:
        """What a daemon left is lost as soon as the next one is there."""
        await leave_pending(used)
        ledger = await Ledger.open(settings(tmp_path))
        assert (ledger.at_rest, ledger.recovered, ledger.totals) == (False, 1, Totals(4, 309))
        await ledger.close()

    @pytest.mark.parametrize("meanwhile", [rename_machine, meet_another_machine, restore_a_copy, forget_who_had_it])
    async def test_opens_what_is_not_as_it_was(
        self, used: Path, tmp_path: Path, meanwhile: Callable[[Path], None]
    ) -> None:
        """Another machine's file, a restored copy: it is opened at once, and rests at the next start."""
        meanwhile(used)
        ledger = await Ledger.open(settings(tmp_path))
        assert (ledger.at_rest, ledger.totals) == (False, Totals(3, 300))
        await ledger.close()

    async def test_migrates(self, used: Path, tmp_path: Path) -> None:
        """An older schema is brought up to date at once."""
        make_older(used, "0008")
        ledger = await Ledger.open(settings(tmp_path))
        assert not ledger.at_rest
        assert rows(used, "SELECT version_num FROM alembic_version")[0][0] == HEAD
        await ledger.close()

    async def test_refuses_what_it_cannot_write(self, used: Path, tmp_path: Path) -> None:
        """A file that another process keeps locked is no ledger to begin with, as ever."""
        with locked(used), pytest.raises(TemporarilyUnavailable, match="keeps the file locked"):
            await Ledger.open(settings(tmp_path))

    async def test_refuses_a_damaged_file(self, used: Path, tmp_path: Path) -> None:
        """So with one whose tables cannot be read."""
        spoil(used)
        with pytest.raises(LedgerUnavailable, match=r"cannot open the ledger .*: the file is damaged"):
            await Ledger.open(settings(tmp_path))


def spoil(path: Path) -> None:
    """Write over all pages but the first."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
