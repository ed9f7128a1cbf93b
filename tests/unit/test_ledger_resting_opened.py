"""A ledger at rest that somebody needs: what opens it, what that meets, and what only looks at it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.daemon.housekeeping import Housekeeping
from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger, RequestState, Totals
from cortexd.ledger.keeping.revisions import HEAD
from cortexd.ledger.writing import write_back
from tests.eventually import assert_eventually_async
from tests.unit.test_ledger_opening import change
from tests.unit.test_ledger_parts import attempt, audited, complete, locked, request, rows, settings
from tests.unit.test_ledger_resting import LONG_AGO, READINGS, resting_fixture, used_fixture  # noqa: F401


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
