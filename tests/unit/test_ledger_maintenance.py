"""The ledger's file in an administrator's hands: copied, checked, written out, migrated."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import random
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

import cortexd.ledger.keeping.migrations
from cortexd.cli.app import main
from cortexd.config.settings import LedgerSettings
from cortexd.errors import AccessDenied, InvalidArgument, LedgerUnavailable
from cortexd.ledger import Ledger, Totals, UsageQuery
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping.maintenance import FIELDS, backup, check, export
from cortexd.ledger.keeping.revisions import HEAD
from tests.unit.ledger_history import NOW, TODAY, live
from tests.unit.test_ledger_parts import KIMI, at, attempt, audited, complete, eventually, request, rows, settings

EVER = (date(2020, 1, 1), date(2100, 1, 1))


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for sql in statements:
            connection.execute(sql)


@contextmanager
def out_of_reach(path: Path) -> Iterator[None]:
    """Somebody who may not read the file, be it by another uid or, without root, by its mode."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        path.chmod(0)
        yield
        path.chmod(0o600)


def exported(path: Path, since: date = EVER[0], until: date = EVER[1]) -> list[dict[str, Any]]:
    stream = io.StringIO()
    number = export(at(path), since, until, stream, "jsonl")
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(records) == number
    return records


class TestBackup:
    async def test_is_a_whole_ledger_of_its_own(self, tmp_path: Path) -> None:
        """Made beside a daemon that writes all the time, the copy is one private file that adds up and opens."""
        ledger = await Ledger.open(settings(tmp_path))
        restored = settings(tmp_path / "other")
        restored.path.parent.mkdir(parents=True, mode=0o700)
        done = threading.Event()

        async def write() -> int:
            number = 0
            while not done.is_set():
                await complete(ledger, 5)
                number += 1
            return number

        writing = asyncio.create_task(write())
        await eventually(lambda: ledger.totals.total_requests > 20)
        await asyncio.to_thread(backup, settings(tmp_path), restored.path)
        done.set()
        written = await writing
        await ledger.close()
        assert [file.name for file in restored.path.parent.iterdir()] == [restored.path.name]
        assert stat.S_IMODE(restored.path.stat().st_mode) == 0o600
        assert check(restored) == []
        again = await Ledger.open(restored)
        assert 20 < again.totals.total_requests <= written
        await complete(again, 5)
        await again.close()

    async def test_overwrites_nothing(self, tmp_path: Path) -> None:
        """A file or a dangling link in the target's place is refused and untouched."""
        await (await Ledger.open(settings(tmp_path))).close()
        target = tmp_path / "copy"
        target.write_text("precious")
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "nowhere")
        for there in (target, link, settings(tmp_path).path):
            with pytest.raises(InvalidArgument, match="exists already"):
                backup(at(settings(tmp_path).path), there)
        assert target.read_text() == "precious"
        assert not (tmp_path / "nowhere").exists()

    async def test_that_fails_leaves_nothing(self, tmp_path: Path) -> None:
        """What is no ledger, or no place for one, is refused in words; no half copy stays."""
        path = tmp_path / "ledger"
        path.write_bytes(b"not a database at all" * 100)
        with pytest.raises(LedgerUnavailable, match="not a SQLite database"):
            backup(at(path), tmp_path / "copy")
        with pytest.raises(LedgerUnavailable, match="cannot write"):
            backup(at(path), tmp_path / "no" / "such" / "copy")
        with pytest.raises(LedgerUnavailable, match=r"there is no ledger at .*--path"):
            backup(at(tmp_path / "none"), tmp_path / "copy")
        with out_of_reach(path), pytest.raises(AccessDenied, match="sudo"):
            backup(at(path), tmp_path / "copy")
        assert [file.name for file in tmp_path.iterdir()] == ["ledger"]


class TestCheck:
    async def test_finds_nothing_wrong_with_a_ledger_in_use(self, tmp_path: Path) -> None:
        """With pending, lost and pruned requests, beside the daemon that has it open."""
        ledger, _ = await live(tmp_path, random.Random(1), count=60)
        await ledger.prune(TODAY - timedelta(days=75))
        await ledger.reserve(request(), 5)
        assert check(at(settings(tmp_path).path)) == []
        await ledger.close()

    @pytest.mark.parametrize(
        ("sql", "problem"),
        [
            (
                "UPDATE requests SET cost_nano = cost_nano + 1 WHERE state = 'done'",
                "2 requests have a cost that is not",
            ),
            ("DROP TRIGGER entries_refuse_UPDATE", "the trigger entries_refuse_UPDATE is missing"),
            ("UPDATE daily SET cost_nano = cost_nano - 1", "the daily sums are not those"),
            ("DELETE FROM attempts; DELETE FROM requests", "belongs to none of requests"),
            ("UPDATE rollups SET requests = requests + 1", "the rollups say"),
            ("UPDATE rollups SET model = 'other' WHERE provider = 'claude'", "rollups are not the sums"),
            ("UPDATE alembic_version SET version_num = '0001'", f"its schema is 0001, older than {HEAD}"),
            ("UPDATE alembic_version SET version_num = '9999'", "its schema is 9999"),
        ],
    )
    async def test_says_what_is_wrong(self, tmp_path: Path, sql: str, problem: str) -> None:
        """Each fault is a line that names it."""
        ledger = await Ledger.open(settings(tmp_path))
        for started in (NOW, NOW, NOW - timedelta(days=100)):
            await complete(ledger, started_at=started)
        await ledger.prune(TODAY)
        await ledger.close()
        change(settings(tmp_path).path, *sql.split(";"))
        assert any(problem in line for line in check(at(settings(tmp_path).path)))

    async def test_finds_a_damaged_file(self, tmp_path: Path) -> None:
        """Pages full of noise are found, or make the file unreadable, which is said."""
        ledger, _ = await live(tmp_path, random.Random(1), count=200)
        await ledger.close()
        path = settings(tmp_path).path
        with path.open("r+b") as file:
            for page in range(20, path.stat().st_size // 4096, 3):
                file.seek(page * 4096)
                file.write(random.Random(page).randbytes(4096))
        with suppress(LedgerUnavailable):
            assert any("damaged" in line for line in check(at(path)))
        path.write_bytes(b"nothing of a ledger" * 1000)
        with pytest.raises(LedgerUnavailable, match="not a SQLite database"):
            check(at(path))


class TestExport:
    async def test_has_a_line_per_request(self, tmp_path: Path) -> None:
        """Each request with its attempts' sums, in both forms the same; only of the days that were asked for."""
        ledger = await Ledger.open(settings(tmp_path))
        key = await ledger.reserve(request(request_id="one", labels={"job": 'a, "b"\n'}), 10)
        await ledger.settle(key, "done", [attempt(2**62, outcome="overloaded"), attempt(2**61, KIMI)])
        await complete(ledger, request_id="old", started_at=NOW - timedelta(days=40))
        await ledger.reserve(request(request_id="open"), 10)
        path = settings(tmp_path).path
        found = exported(path)
        assert [record["request_id"] for record in found] == ["one", "old", "open"]
        assert exported(path, NOW.date() - timedelta(days=50), NOW.date() - timedelta(days=30)) == found[1:2]
        one = found[0]
        assert tuple(one) == FIELDS
        assert (one["attempts"], one["cost_nano_usd"], one["cost_known"]) == (2, 2**62 + 2**61, True)
        assert (one["input_tokens"], one["reasoning_tokens"], one["model"]) == (200, 10, KIMI[1])
        assert one["labels"] == {"job": 'a, "b"\n'}
        assert one["started_at"].endswith("+00:00")
        assert (found[2]["state"], found[2]["finished_at"]) == ("pending", "")
        stream = io.StringIO()
        assert export(at(path), *EVER, stream, "csv") == 3
        await ledger.close()
        table = list(csv.DictReader(io.StringIO(stream.getvalue())))
        assert [row["cost_nano_usd"] for row in table] == [str(record["cost_nano_usd"]) for record in found]
        assert json.loads(table[0]["labels"]) == one["labels"]


class TestCommand:
    async def test_backs_up_checks_and_exports(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """cortexctl ledger does each of it to the file that --path names."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, request_id="job")
        await ledger.close()
        path, copy = str(settings(tmp_path).path), str(tmp_path / "copy")
        assert main(["ledger", "backup", copy, "--path", path]) == 0
        assert main(["ledger", "check", "--path", copy]) == 0
        assert f"{copy}: OK" in capsys.readouterr().out
        assert main(["ledger", "export", "--path", copy, "--since", "2020-01-01"]) == 0
        assert json.loads(capsys.readouterr().out)["request_id"] == "job"
        change(Path(copy), "UPDATE requests SET cost_nano = 1")
        assert main(["ledger", "check", "--path", copy]) == 1
        assert "1 requests have a cost" in capsys.readouterr().err

    def test_says_what_cannot_be_done(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file that is not there, not ours to read, or in the way, and a day that is none, end in a clear line."""
        path = tmp_path / "ledger.sqlite3"
        assert main(["ledger", "check", "--path", str(path)]) == 1
        assert "there is no ledger at" in capsys.readouterr().err
        path.write_bytes(b"")
        with out_of_reach(path):
            assert main(["ledger", "check", "--path", str(path)]) == 3
        assert "sudo" in capsys.readouterr().err
        assert main(["ledger", "check", "--path", str(path)]) == 1
        assert "it holds no ledger yet" in capsys.readouterr().err
        assert main(["ledger", "backup", str(path), "--path", str(path)]) == 2
        assert "exists already" in capsys.readouterr().err
        assert main(["ledger", "export", "--since", "soon", "--path", str(path)]) == 2


def first_ledger(path: Path, source: Path) -> None:
    """A ledger of revision 0001 with what `source` holds in the tables of that time."""
    path.parent.mkdir(parents=True, mode=0o700)
    path.touch(mode=0o600)
    config = Config()
    config.set_main_option("script_location", cortexd.ledger.keeping.migrations.__path__[0])
    engine = place_of(LedgerSettings(path=path)).writer()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.commit()
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ATTACH ? AS source", (str(source),))
        for table in ("requests", "attempts", "entries", "meta"):
            names = ", ".join(f'"{row[1]}"' for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO {table} SELECT {names} FROM source.{table}")
        connection.commit()


class TestMigration:
    async def test_from_0001_keeps_everything(self, tmp_path: Path) -> None:
        """A ledger of the first revision has the same rows and sums once it is opened, and can then be pruned."""
        for name in ("new", "old"):
            (tmp_path / name).mkdir()
        ledger, _ = await live(tmp_path / "new", random.Random(3), count=80)
        await ledger.reset_stats(1000)
        (last,) = rows(settings(tmp_path / "new").path, "SELECT max(seq) FROM entries")
        await complete(ledger, 7)
        await ledger.reserve(request(uid=1002), 50)
        await ledger.close()
        path = settings(tmp_path / "old").path
        first_ledger(path, settings(tmp_path / "new").path)
        change(path, f"INSERT INTO resets VALUES (1000, {last[0]})")
        assert check(at(path)) == [f"its schema is 0001, older than {HEAD}; start this cortexd once, which migrates it"]

        opened = [await Ledger.open(settings(tmp_path / name)) for name in ("new", "old")]
        assert [ledger.recovered for ledger in opened] == [1, 1]
        for groups in ((), ("day", "uid"), ("provider", "model", "hour")):
            reports = [await ledger.usage(UsageQuery(None, *EVER, groups)) for ledger in opened]
            assert reports[0] == reports[1]
        for uid in (1000, 1002, None):
            stats = [await ledger.stats(uid) for ledger in opened]
            assert stats[0] == stats[1]
        assert opened[0].totals == opened[1].totals != Totals()
        pruned = [await ledger.prune(date.max) for ledger in opened]
        assert pruned[0] == pruned[1]
        for ledger in opened:
            await ledger.close()
        assert check(at(path)) == []
        assert audited(path) == audited(settings(tmp_path / "new").path)
        assert rows(path, "SELECT version_num FROM alembic_version")[0][0] == HEAD
