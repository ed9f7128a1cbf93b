"""A ledger's file before anybody needs the ledger: what is known of it, what has it opened, and what that meets."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.daemon.housekeeping import Housekeeping
from cortexd.domain.learned import Cell, Learned
from cortexd.domain.own_cap import AtLimit, Extra, OwnCap
from cortexd.domain.targets import Target
from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger, LimitOverride, RequestState, Totals
from cortexd.ledger.engines import TemporarilyUnavailable
from cortexd.ledger.keeping.revisions import HEAD
from cortexd.ledger.writing import write_back
from tests.eventually import assert_eventually_async
from tests.unit.test_ledger_opening import change, holder
from tests.unit.test_ledger_parts import (
    MACHINE,
    attempt,
    audited,
    complete,
    locked,
    make_older,
    request,
    rows,
    settings,
)

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


@pytest.fixture
async def used(path: Path, tmp_path: Path) -> Path:
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


@pytest.fixture
async def resting(used: Path, tmp_path: Path) -> AsyncIterator[Ledger]:
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


def empty(path: Path) -> None:
    os.truncate(path, 0)


def make_newer(path: Path) -> None:
    change(path, "UPDATE alembic_version SET version_num = '9999'")


def move_away(path: Path) -> None:
    change(path, "INSERT INTO meta VALUES ('moved to', 'postgresql://db/ledger')")


GONE = "missing or empty, and there was one: .* run cortexctl ledger begin-anew"
# What happens to the file at rest, and what is said to whoever needs it then.
MEANWHILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "gone": (Path.unlink, GONE),
    "emptied": (empty, GONE),
    "newer": (make_newer, "9999, newer than .*; start the newer cortexd again"),
    "moved": (move_away, "moved into postgresql://db/ledger, .* set \\[ledger\\] url to that"),
}


async def asked(ledger: Ledger) -> None:
    await ledger.reserve(request(), 9)


async def read(ledger: Ledger) -> None:
    await ledger.stats(1000)


class TestOpening:
    @pytest.mark.parametrize("who", [asked, read], ids=["writing", "reading"])
    @pytest.mark.parametrize("kind", MEANWHILE)
    async def test_that_fails_late_is_told_as_at_a_start(
        self, used: Path, tmp_path: Path, kind: str, who: Callable[[Ledger], Any]
    ) -> None:
        """In the same words, to each who needs the ledger, until it is put back; no other daemon gets it meanwhile."""
        happens, words = MEANWHILE[kind]
        kept = tmp_path / "kept"
        shutil.copy(used, kept)
        ledger = await Ledger.open(settings(tmp_path))
        happens(used)
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match=words):
                await who(ledger)
        assert (ledger.at_rest, ledger.totals) == (True, Totals(3, 300))
        with pytest.raises(LedgerUnavailable, match="holds the ledger"):
            await Ledger.open(settings(tmp_path))
        for end in ("", "-wal", "-shm"):
            used.with_name(used.name + end).unlink(missing_ok=True)
        shutil.copy(kept, used)
        await who(ledger)
        assert not ledger.at_rest
        await ledger.close()

    async def test_that_fails_late_says_that_nothing_can_be_written(
        self, resting: Ledger, used: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For `cortexctl status` and the journal; it ends with the first write that succeeds, however many failed."""
        monkeypatch.setattr(write_back, "EVERY", 1)
        change(used, "UPDATE alembic_version SET version_num = '9999'")
        for _ in range(10):
            with pytest.raises(LedgerUnavailable, match="newer than"):
                await complete(resting)
        change(used, f"UPDATE alembic_version SET version_num = '{HEAD}'")
        with locked(used), pytest.raises(LedgerUnavailable, match="keeps the file locked"):
            await complete(resting)
        assert not resting.writable
        assert resting.state.since is not None
        assert "new requests are refused" in caplog.text
        await complete(resting)
        assert resting.writable
        assert resting.state.since is None

    @pytest.mark.parametrize("who", [asked, read], ids=["writing", "reading"])
    async def test_goes_on_without_the_file_of_its_lock(
        self, resting: Ledger, used: Path, tmp_path: Path, who: Callable[[Ledger], Any]
    ) -> None:
        """As an opened ledger does, whatever somebody has removed beside it; the next start makes it again."""
        lock = used.with_name(used.name + ".lock")
        lock.unlink()
        await who(resting)
        await complete(resting, 9)
        assert resting.writable
        await resting.close()
        await (await Ledger.open(settings(tmp_path))).close()
        assert lock.read_text() == f"{os.getpid()}\n"

    async def test_that_has_to_wait_keeps_nobody_from_reading(self, resting: Ledger, used: Path) -> None:
        """Whoever only reads needs no place on the disk and no lock."""
        with locked(used):
            assert (await resting.stats(1000)).total_requests == 3
            assert resting.at_rest
        await complete(resting)
        assert (await resting.stats(1000)).total_requests == 4

    async def test_happens_once(self, resting: Ledger, used: Path) -> None:
        """However many need it at once, for writing and for reading."""
        wishes: Sequence[Any] = [complete(resting, 1, uid=1000 + number) for number in range(40)]
        readings: Sequence[Any] = [resting.find(1000, "used-1") for _ in range(20)]
        at_start: Sequence[Any] = [read(resting) for read in READINGS.values()]
        found = await asyncio.gather(*wishes, *readings, *at_start)
        assert all(found)
        assert resting.totals == Totals(43, 340)
        assert (audited(used).charged_nano, audited(used).pending) == (340, 0)

    async def test_settles_what_was_put_there_meanwhile(
        self, used: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A copy with pending requests in the file's place is recovered as at a start, and the journal says so."""
        ledger = await Ledger.open(settings(tmp_path))
        with closing(sqlite3.connect(used)) as other:
            names = [row[1] for row in other.execute("PRAGMA table_info(requests)")]
            made = {"id": "99", "request_id": "'left'", "state": "'pending'", "cost_nano": "0"}
            columns = ", ".join(f'"{name}"' for name in names)
            values = ", ".join(made.get(name, f'"{name}"') for name in names)
            other.execute(f"INSERT INTO requests ({columns}) SELECT {values} FROM requests WHERE request_id = 'used-1'")
            other.execute(
                "INSERT INTO entries (request, uid, kind, nano, at, day, month) "
                "SELECT 99, uid, 'reserve', 50, at, day, month FROM entries LIMIT 1"
            )
            other.commit()
        with caplog.at_level(logging.WARNING):
            lost = await ledger.find(1000, "left")
        assert lost is not None
        assert (lost.state, lost.cost_nano) == (RequestState.LOST, 50)
        assert "1 requests of an earlier run were settled as lost" in caplog.text
        assert ledger.totals == Totals(4, 350)
        await ledger.close()


class TestRetention:
    async def looked(self, ledger: Ledger, keep_days: int) -> None:
        """Housekeeping looks once at a clock whose day has just begun."""
        told: list[object] = []
        days = iter([datetime.now().astimezone().date()] * 2)
        today = datetime.now().astimezone().date()
        housekeeping = Housekeeping(
            ledger,
            lambda: LedgerSettings(keep_days=keep_days),
            told.append,
            lambda: next(days, today),
            look_s=0.001,
        )
        running = asyncio.create_task(housekeeping.run())
        await assert_eventually_async(lambda: next(days, None) is None)
        await asyncio.sleep(0.2)
        running.cancel()
        await asyncio.wait({running})

    @pytest.mark.parametrize("keep_days", [1, 100])
    async def test_leaves_it_at_rest_where_there_is_nothing_to_prune(self, resting: Ledger, keep_days: int) -> None:
        """Also where only days are over that always stay."""
        midnight = datetime.now().astimezone() - timedelta(days=keep_days)
        assert not await resting.anything_old(midnight.date(), midnight)
        await self.looked(resting, keep_days)
        assert resting.at_rest

    async def test_opens_it_for_what_is_old(self, used: Path, tmp_path: Path) -> None:
        """A machine that nobody uses any more lets go of old requests, too."""
        ledger = await Ledger.open(settings(tmp_path))
        key = await ledger.reserve(request(request_id="old", started_at=LONG_AGO), 9)
        await ledger.settle(key, "done", [attempt(9)])
        await ledger.close()
        ledger = await Ledger.open(settings(tmp_path))
        assert ledger.at_rest
        await self.looked(ledger, 100)
        await assert_eventually_async(lambda: rows(used, "SELECT 1 FROM requests WHERE request_id = 'old'") == [])
        assert ledger.totals == Totals(4, 309)
        await ledger.close()

    @pytest.mark.parametrize(
        "made",
        [
            "UPDATE learned_cells SET at = '2001-01-01 00:00:00.000000'",
            "INSERT INTO hosts SELECT 7, 'b', 'b', first_seen, '2001-01-01', '1', '1', '', '', 'host' FROM hosts",
        ],
    )
    async def test_sees_what_else_is_old(self, used: Path, tmp_path: Path, made: str) -> None:
        """What was learned long ago, and machines that were seen last then."""
        change(used, made)
        ledger = await Ledger.open(settings(tmp_path))
        midnight = datetime.now().astimezone() - timedelta(days=100)
        assert ledger.at_rest
        assert await ledger.anything_old(midnight.date(), midnight)
        await ledger.close()
