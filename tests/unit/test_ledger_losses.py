"""A ledger that is gone, or damaged in one place: what is refused, what goes on, what the journal hears."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cortexd.cli.app import main
from cortexd.errors import InvalidArgument, LedgerUnavailable
from cortexd.ledger import Ledger, Totals
from cortexd.ledger.keeping import retention
from cortexd.ledger.keeping.maintenance import backup, begin_anew, check
from cortexd.ledger.writing import free_rows
from tests.unit.test_ledger_parts import at, complete, request, settings


def unlink_all(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def empty(path: Path) -> None:
    unlink_all(path)
    path.touch(mode=0o600)


def replace_by_an_empty_database(path: Path) -> None:
    unlink_all(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")


def leave_its_log_alone(path: Path) -> None:
    """As somebody does who deletes the ledger and its lock file."""
    unlink_all(path)
    path.with_name(path.name + ".lock").unlink()
    path.with_name(path.name + "-wal").write_bytes(b"frames")


LOSSES = [unlink_all, empty, replace_by_an_empty_database, leave_its_log_alone]


async def with_one_request(directory: Path) -> Path:
    ledger = await Ledger.open(settings(directory))
    await complete(ledger, 5)
    await ledger.close()
    return settings(directory).path


class TestGone:
    @pytest.mark.parametrize("lose", LOSSES)
    async def test_is_not_begun_anew(self, tmp_path: Path, lose: Callable[[Path], None]) -> None:
        """Each start is refused with what to do, and leaves the place as it is; the backup then serves on."""
        path = await with_one_request(tmp_path)
        backup(at(path), tmp_path / "copy")
        lose(path)
        left = {file.name for file in path.parent.iterdir()} | {f"{path.name}.lock"}
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match=r"restore a backup.*begin-anew"):
                await Ledger.open(settings(tmp_path))
        assert {file.name for file in path.parent.iterdir()} == left
        unlink_all(path)
        (tmp_path / "copy").rename(path)
        again = await Ledger.open(settings(tmp_path))
        assert again.totals == Totals(1, 5)
        await again.close()

    @pytest.mark.parametrize("lose", [unlink_all, empty, leave_its_log_alone])
    async def test_is_not_said_to_come_with_a_start(self, tmp_path: Path, lose: Callable[[Path], None]) -> None:
        """Whoever checks it hears what a start would say, and not that a start makes it."""
        path = await with_one_request(tmp_path)
        lose(path)
        with pytest.raises(LedgerUnavailable, match=r"restore a backup.*begin-anew"):
            check(at(path))

    @pytest.mark.parametrize("lose", [unlink_all, empty])
    async def test_is_begun_anew_when_told_to(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], lose: Callable[[Path], None]
    ) -> None:
        """`cortexctl ledger begin-anew` lets the next start begin one, which counts again as there."""
        path = await with_one_request(tmp_path)
        lose(path)
        assert await asyncio.to_thread(main, ["ledger", "begin-anew", "--path", str(path)]) == 0
        assert str(path) in capsys.readouterr().out
        again = await Ledger.open(settings(tmp_path))
        assert again.totals == Totals()
        await again.close()
        lose(path)
        with pytest.raises(LedgerUnavailable):
            await Ledger.open(settings(tmp_path))

    async def test_one_that_is_there_is_not_given_up(self, tmp_path: Path) -> None:
        """begin-anew touches no ledger that is there, none that a daemon has, and none that never was."""
        path = settings(tmp_path).path
        with pytest.raises(InvalidArgument):
            begin_anew(at(path))
        ledger = await Ledger.open(settings(tmp_path))
        with pytest.raises(LedgerUnavailable):
            begin_anew(at(path))
        await complete(ledger, 5)
        await ledger.close()
        backup(at(path), tmp_path / "copy")  # which has no lock beside it
        for there in (path, tmp_path / "copy"):
            with pytest.raises(InvalidArgument, match="is there; to begin anew, move it away first"):
                begin_anew(at(there))
        again = await Ledger.open(settings(tmp_path))
        assert again.totals == Totals(1, 5)
        await again.close()

    async def test_a_start_that_made_no_ledger_is_none(self, tmp_path: Path) -> None:
        """Where a first start came no further than its lock, the next one begins the ledger."""
        path = settings(tmp_path).path
        path.parent.mkdir(mode=0o700)
        path.with_name(path.name + ".lock").touch(mode=0o600)
        await (await Ledger.open(settings(tmp_path))).close()


def damage(path: Path, name: str) -> None:
    """Overwrite the first page of a table or index."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


class TestDamagedPage:
    async def test_is_said_once_and_fails_alone(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """What reads or writes there gets an error that says what to do; the rest goes on; the journal has one line."""
        path = await with_one_request(tmp_path)
        damage(path, "sqlite_autoindex_preferences_1")
        ledger = await Ledger.open(settings(tmp_path))
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                with pytest.raises(LedgerUnavailable, match=r"damaged where.*ledger check"):
                    await ledger.preferences(1000)
                with pytest.raises(LedgerUnavailable, match=r"damaged where.*ledger check"):
                    await ledger.set_preferences(1000, {"strategy": "cost"})
                await complete(ledger, 5)
        assert ledger.writable
        assert ledger.totals == Totals(4, 20)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "backup" in caplog.records[0].getMessage()
        await ledger.close()

    async def test_under_a_settlement_holds_nobody_else_up(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One request that cannot be settled is refused as such; others are reserved beside it."""
        path = await with_one_request(tmp_path)
        damage(path, "attempts")
        ledger = await Ledger.open(settings(tmp_path))
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                with pytest.raises(LedgerUnavailable, match="damaged where"):
                    await complete(ledger, 5)
                await ledger.reserve(request(), 7)
        assert len(caplog.records) == 1
        await ledger.close()

    async def test_where_free_rows_would_be_summed_up_stops_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """They stay as they are; requests go on, and the journal has its one line."""
        monkeypatch.setattr(free_rows, "MAX_IN_VAIN", 2)
        monkeypatch.setattr(retention, "MAX_CHUNK", 2)
        path = await with_one_request(tmp_path)
        damage(path, "daily_day_uid")
        ledger = await Ledger.open(settings(tmp_path))
        with caplog.at_level(logging.WARNING):
            async with asyncio.timeout(20):
                for _ in range(8):
                    await ledger.settle(await ledger.reserve(request(), 9_000), "failed", ())
                await complete(ledger, 5)
        assert ledger.writable
        assert ledger.totals == Totals(10, 10)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        await ledger.close()
