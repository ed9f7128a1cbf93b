"""Opening a ledger: its place on disk, its lock, its schema, and what a dead daemon has left."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from cortexd.errors import ConfigError, LedgerUnavailable
from cortexd.ledger import Ledger, RequestState, Totals
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping.revisions import HEAD
from cortexd.ledger.keeping.schema import metadata
from cortexd.ledger.writing.statements import Statements
from tests.unit.test_ledger_parts import attempt, audited, complete, request, rows, settings

HOLDER = """
import asyncio, sys
from pathlib import Path
from cortexd.config.settings import LedgerSettings
from cortexd.ledger import Ledger

async def main():
    ledger = await Ledger.open(LedgerSettings(path=Path(sys.argv[1])))
    print("alembic" in sys.modules, flush=True)
    sys.stdin.read()
    await ledger.close()

asyncio.run(main())
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """A second daemon, as far as the ledger is concerned; it ends when its standard input does."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()


class TestPlace:
    async def test_is_private(self, tmp_path: Path) -> None:
        """Directory and files are the daemon's alone, also where the umask would allow more."""
        before = os.umask(0)
        try:
            ledger = await Ledger.open(settings(tmp_path))
            await complete(ledger)
        finally:
            os.umask(before)
        directory = settings(tmp_path).path.parent
        assert mode(directory) == 0o700
        names = {file.name: mode(file) for file in directory.iterdir()}
        assert len(names) == 4
        assert set(names.values()) == {0o600}
        await ledger.close()

    async def test_must_not_be_writable_for_others(self, tmp_path: Path) -> None:
        """A directory that others may write is refused with the command that mends it."""
        directory = settings(tmp_path).path.parent
        directory.mkdir()
        directory.chmod(0o770)
        with pytest.raises(ConfigError, match=f"chmod 700 {directory}"):
            await Ledger.open(settings(tmp_path))
        assert list(directory.iterdir()) == []

    async def test_must_be_reachable(self, tmp_path: Path) -> None:
        """A path through something that is no directory is refused, naming the setting."""
        (tmp_path / "ledger").write_text("a file")
        with pytest.raises(ConfigError, match=r"\[ledger\] path"):
            await Ledger.open(settings(tmp_path))

    async def test_does_not_follow_a_link(self, tmp_path: Path) -> None:
        """A symbolic link in the ledger's place is refused and its target untouched."""
        path = settings(tmp_path).path
        path.parent.mkdir(mode=0o700)
        target = tmp_path / "target"
        target.write_text("precious")
        path.symlink_to(target)
        with pytest.raises(ConfigError, match=r"\[ledger\] path"):
            await Ledger.open(settings(tmp_path))
        assert target.read_text() == "precious"

    async def test_must_hold_a_ledger(self, tmp_path: Path) -> None:
        """A file that is no database is refused in words, and the lock is free again."""
        path = settings(tmp_path).path
        path.parent.mkdir(mode=0o700)
        path.write_bytes(b"not a database at all" * 100)
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match="not a SQLite database"):
                await Ledger.open(settings(tmp_path))


class TestLock:
    async def test_refuses_a_second_daemon_by_the_pid_of_the_first(self, tmp_path: Path) -> None:
        """While one process holds the ledger another is refused, told who holds it; after its death it is not."""
        path = settings(tmp_path).path
        with holder(path) as first:
            assert first.stdout is not None
            first.stdout.readline()
            with pytest.raises(LedgerUnavailable, match=rf"pid {first.pid}\) holds the ledger"):
                await Ledger.open(settings(tmp_path))
            first.kill()
        await (await Ledger.open(settings(tmp_path))).close()

    async def test_refuses_a_second_ledger_in_one_process(self, tmp_path: Path) -> None:
        """The refusal does not disturb the ledger that is open."""
        ledger = await Ledger.open(settings(tmp_path))
        with pytest.raises(LedgerUnavailable, match=f"pid {os.getpid()}"):
            await Ledger.open(settings(tmp_path))
        await complete(ledger, 5)
        await ledger.close()
        assert audited(settings(tmp_path).path).charged_nano == 5


def leave_an_empty_version_table(path: Path) -> None:
    """What Alembic finds before the first revision."""
    path.parent.mkdir(mode=0o700)
    key = "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)"
    change(path, f"CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, {key})")


class TestSchema:
    async def test_migrations_build_what_a_fresh_ledger_has(self, tmp_path: Path) -> None:
        """Migrated from nothing, or created at once: the same tables, indices and triggers, which the code uses."""
        schemas = []
        for name, migrated in (("fresh", False), ("migrated", True)):
            directory = tmp_path / name
            directory.mkdir()
            path = settings(directory).path
            if migrated:
                leave_an_empty_version_table(path)
            await (await Ledger.open(settings(directory))).close()
            assert [tuple(row) for row in rows(path, "SELECT version_num FROM alembic_version")] == [(HEAD,)]
            with place_of(settings(directory)).reading() as connection:
                assert compare_metadata(MigrationContext.configure(connection), metadata) == []
            found = rows(path, "SELECT type, name, sql FROM sqlite_master")
            schemas.append({(row[0], row[1], " ".join((row[2] or "").split())) for row in found})
        assert schemas[0] == schemas[1]

    async def test_alembic_is_imported_only_to_migrate(self, tmp_path: Path) -> None:
        """Neither a fresh ledger nor one that is up to date needs it; an older one does."""
        for _ in range(2):
            with holder(settings(tmp_path).path) as process:
                assert process.communicate("")[0].strip() == "False"
        older = tmp_path / "older"
        older.mkdir()
        leave_an_empty_version_table(settings(older).path)
        with holder(settings(older).path) as process:
            assert process.communicate("")[0].strip() == "True"

    async def test_newer_than_known_is_refused(self, tmp_path: Path) -> None:
        """A ledger that a newer cortexd has migrated is refused and left as it is."""
        await (await Ledger.open(settings(tmp_path))).close()
        path = settings(tmp_path).path
        change(path, "UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(LedgerUnavailable, match="9999, newer than"):
            await Ledger.open(settings(tmp_path))
        assert rows(path, "SELECT version_num FROM alembic_version")[0][0] == "9999"

    async def test_a_migration_that_fails_leaves_nothing_behind(self, tmp_path: Path) -> None:
        """Where the schema cannot be built, none of its tables is left half-way."""
        path = settings(tmp_path).path
        path.parent.mkdir(mode=0o700)
        change(path, "CREATE TABLE entries (other TEXT)")
        with pytest.raises(LedgerUnavailable, match="entries already exists"):
            await Ledger.open(settings(tmp_path))
        assert [row[0] for row in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")] == ["entries"]

    def test_holds_64_bit_money_in_postgresql_too(self) -> None:
        """In PostgreSQL's words each table has 64-bit amounts and keys, and nothing of SQLite."""
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        made = {name: str(CreateTable(table).compile(dialect=dialect)) for name, table in metadata.tables.items()}
        assert "nano BIGINT" in made["entries"]
        assert "seq BIGSERIAL" in made["entries"]
        assert "cost_nano BIGINT" in made["requests"]
        assert "cost_nano BIGINT" in made["attempts"]
        assert not any("ROWID" in text or "INTEGER" in text.replace("number INTEGER", "") for text in made.values())
        assert "%(cost_nano)s" in Statements(dialect).settle.one

    @pytest.mark.parametrize(("durability", "level"), [("process", 1), ("power", 2)])
    async def test_durability_sets_the_syncs(self, tmp_path: Path, durability: str, level: int) -> None:
        """`power` syncs every commit, `process` leaves that to checkpoints; both write ahead."""
        ledger = await Ledger.open(settings(tmp_path, durability=durability))
        connection = ledger._store.opened()._connection.connection  # of this connection alone: the file does not tell
        assert connection.cursor().execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.cursor().execute("PRAGMA journal_mode").fetchone() == ("wal",)
        await ledger.close()


class TestRecovery:
    async def test_settles_what_is_pending_as_lost_at_what_it_reserved(self, tmp_path: Path) -> None:
        """Rows that a dead daemon left pending are charged their reservation, of unknown cost; settled ones stay."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 500, request_id="done")
        key = await ledger.reserve(request(request_id="open"), 10_000)
        await ledger.reserve_more(key, 2_000)
        await ledger.reserve(request(uid=1001), 30)
        await ledger.close()

        again = await Ledger.open(settings(tmp_path))
        assert (again.recovered, again.totals) == (2, Totals(3, 12_530))
        lost = await again.find(1000, "open")
        assert lost is not None
        assert (lost.state, lost.cost_nano, lost.cost_known) == (RequestState.LOST, 12_000, False)
        done = await again.find(1000, "done")
        assert done is not None
        assert (done.state, done.cost_nano) == (RequestState.DONE, 500)
        assert (await again.stats(1000)).total_cost_nano == 12_500
        settled = await again.settle(await again.reserve(request(), 9), "done", [attempt(7)])
        assert (settled.user_day_nano, settled.user_month_nano) == (12_507, 12_507)
        await again.close()
        found = audited(settings(tmp_path).path)
        assert (found.reserved_nano, found.wrong_rows) == (0, 0)

    async def test_happens_once(self, tmp_path: Path) -> None:
        """A ledger opened a third time has nothing more to recover and the same totals."""
        ledger = await Ledger.open(settings(tmp_path))
        await ledger.reserve(request(), 10_000)
        await ledger.close()
        seen = []
        for _ in range(2):
            ledger = await Ledger.open(settings(tmp_path))
            seen.append((ledger.recovered, ledger.totals))
            await ledger.close()
        assert seen == [(1, Totals(1, 10_000)), (0, Totals(1, 10_000))]
