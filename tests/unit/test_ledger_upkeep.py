"""Upkeep of the ledger beside its calls: who goes first, how much at once, and what holds it back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, text

from cortexd.config.settings import LedgerSettings
from cortexd.domain.learned import Cell, Key
from cortexd.domain.outcomes import Outcome
from cortexd.ledger import Ledger
from cortexd.ledger.engines import Log, place_of
from cortexd.ledger.keeping import pruner, retention
from cortexd.ledger.writing import inbox, write_back
from cortexd.ledger.writing.actions import Action, Change, Upkeep
from cortexd.ledger.writing.inbox import Inbox, Job
from cortexd.ledger.writing.store import Store
from cortexd.ledger.writing.waiters import Waiter
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import complete, eventually, settings

LONG_AGO = datetime(2024, 1, 2, tzinfo=UTC)


def nothing(_: Any) -> None:
    """As a change, and as what hears of it."""


CALL, UPKEEP = Change(nothing), Upkeep(nothing, nothing)


def filled(*actions: Action) -> Inbox:
    made = Inbox()
    for action in actions:
        made.put(Job(action, Waiter(asyncio.get_running_loop(), outlasting=False)))
    return made


def taken(found: tuple[list[Job], bool]) -> tuple[list[Action], bool]:
    jobs, open_ended = found
    return [job.action for job in jobs], open_ended


class TestInbox:
    async def test_gives_calls_before_upkeep(self) -> None:
        """Upkeep that came first waits for the calls that came after it, and is taken alone."""
        made = filled(UPKEEP, CALL, UPKEEP, CALL)
        groups = [taken(made.take(0, upkeep=True)) for _ in range(4)]
        assert groups == [([CALL, CALL], True), ([UPKEEP], True), ([UPKEEP], True), ([], True)]

    async def test_keeps_upkeep_that_is_held_back(self) -> None:
        """It stays for the next time, however long that takes."""
        made = filled(UPKEEP)
        assert taken(made.take(0, upkeep=False)) == ([], True)
        assert taken(made.take(0, upkeep=False)) == ([], True)
        assert taken(made.take(0, upkeep=True)) == ([UPKEEP], True)

    async def test_lets_no_upkeep_wait_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where calls never end, it has its turn after so many groups of them."""
        monkeypatch.setattr(inbox, "MAX_GROUP", 1)
        monkeypatch.setattr(inbox, "MAX_PASSED", 3)
        made = filled(UPKEEP, *(CALL for _ in range(9)))
        groups = [taken(made.take(0, upkeep=True))[0] for _ in range(6)]
        assert groups.index([UPKEEP]) == 3
        assert groups.count([CALL]) == 5

    async def test_ends_with_all_that_waits(self) -> None:
        """Who waits for upkeep is told too."""
        made = filled(UPKEEP, CALL)
        made.end()
        assert taken(made.take(None, upkeep=False)) == ([CALL, UPKEEP], False)

    async def test_is_woken_without_a_job(self) -> None:
        """A look ends a wait that has no end of its own."""
        made = filled()
        threading.Timer(0.01, made.look).start()
        assert taken(await asyncio.to_thread(made.take, None, True)) == ([], True)


class TestPace:
    def test_takes_what_fits(self) -> None:
        """A step of a slow machine becomes small, that of a quick one as large as it may be."""
        slow, quick = pruner.Pace(), pruner.Pace()
        for _ in range(30):
            slow.held(slow.size * 1.0)
            quick.held(quick.size * 1e-6)
        assert slow.size < 10 < quick.size == retention.MAX_CHUNK

    def test_finds_its_size(self) -> None:
        """So many that one step takes about the time that it may."""
        pace = pruner.Pace()
        for _ in range(60):
            pace.held(pace.size * pruner.HOLD_S / 20)
        assert 19 <= pace.size <= 20

    def test_takes_no_fewer_than_it_is_worth(self) -> None:
        """However slow the way to a database is: most of a step is that way."""
        pace = pruner.Pace(pruner.HOLD_BESIDE_S, pruner.FEWEST_BESIDE)
        for _ in range(30):
            pace.held(1.0)
        assert pace.size == pruner.FEWEST_BESIDE


class TestUpkeep:
    async def test_waits_while_the_log_is_moved(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that takes its time holds pruning up, and no call."""
        monkeypatch.setattr(write_back, "EVERY", 1)
        disk, reached = threading.Event(), threading.Event()
        real = Store.write_back_beside

        def slow(store: Store) -> Log:
            reached.set()
            disk.wait()
            return real(store)

        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(3):
            await complete(ledger, started_at=LONG_AGO)
        monkeypatch.setattr(Store, "write_back_beside", slow)
        await complete(ledger)
        await asyncio.to_thread(reached.wait)
        pruning = asyncio.ensure_future(ledger.prune(datetime.now(UTC).date()))
        try:
            for _ in range(20):
                await complete(ledger)
            assert not pruning.done()
        finally:
            disk.set()
        assert (await pruning).requests == 3
        await ledger.close()

    async def test_has_transactions_of_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No call is committed together with a step of a pruning."""
        groups: list[list[Action]] = []
        real = Store._commit

        def noted(store: Store, actions: list[Action], conflict: bool = False) -> list[Any]:
            groups.append(actions)
            return real(store, actions, conflict)

        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(30):
            await complete(ledger, started_at=LONG_AGO)
        monkeypatch.setattr(Store, "_commit", noted)
        await asyncio.gather(ledger.prune(datetime.now(UTC).date()), *(complete(ledger) for _ in range(40)))
        await ledger.close()
        own = [group for group in groups if any(isinstance(action, Upkeep) for action in group)]
        assert own
        assert all(len(group) == 1 for group in own)

    async def test_shrinks_for_no_longer_than_it_may(self, tmp_path: Path) -> None:
        """Without any time nothing is given back, and it says that there is more."""
        ledger = await Ledger.open(settings(tmp_path))

        def fill_and_empty(connection: Connection) -> bool:
            connection.exec_driver_sql("CREATE TABLE much AS SELECT zeroblob(4000000) AS x")
            connection.exec_driver_sql("DROP TABLE much")
            return ledger._store.opened()._engine.shrink(connection, 0)

        assert await ledger._write(Change(fill_and_empty))
        await ledger.close()


class TestLog:
    async def test_is_not_left_to_a_writer_whose_disk_is_slow(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While calls go on it is moved beside the writer again and again, and begins anew once they rest."""
        monkeypatch.setattr(write_back, "EVERY", 5)
        monkeypatch.setattr(write_back, "LONG_BYTES", 1)
        own: list[Log] = []
        real = Store.write_back

        def waits(store: Store) -> Log:
            own.append(real(store))
            return own[-1]

        monkeypatch.setattr(Store, "write_back", waits)
        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(100):
            await complete(ledger)
        await eventually(lambda: not ledger._writer._write_back.busy)
        before = log_bytes(tmp_path)
        await complete(ledger)
        assert log_bytes(tmp_path) == before
        assert own == []
        await ledger.close()


def log_bytes(directory: Path) -> int:
    path = settings(directory).path
    return path.with_name(path.name + "-wal").stat().st_size


@pytest.mark.slow
class TestUpkeepOfSharedLedgers:
    """Of which a step waits, in some of these tests, for a table that somebody else holds."""

    @contextmanager
    def held_up(self, at: LedgerSettings) -> Iterator[None]:
        with place_of(at).writer().begin() as somebody:
            somebody.execute(text("LOCK TABLE daily IN SHARE MODE"))
            yield

    async def waits(self, postgresql: Cluster) -> None:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO daily%'"
        await eventually(lambda: bool(postgresql.ask(waiting)))

    async def test_keep_no_call_waiting(self, postgresql: Cluster) -> None:
        """However long it takes, this machine's calls and the others' go on, and nobody else begins with it."""
        at = shared(postgresql.database())
        ledger, other = await Ledger.open(at), await Ledger.open(at)
        for _ in range(3):
            await complete(ledger, started_at=LONG_AGO)
        with self.held_up(at):
            pruning = asyncio.ensure_future(ledger.prune(datetime.now(UTC).date()))
            await self.waits(postgresql)
            for _ in range(10):
                await complete(ledger)
                await complete(other)
            assert (await other.prune(datetime.now(UTC).date())).requests == 0
            assert not pruning.done()
        assert (await pruning).requests == 3
        await ledger.close()
        await other.close()

    async def test_leave_what_somebody_writes_to(self, postgresql: Cluster) -> None:
        """A late outcome on its way keeps back its own request alone: the rest of the day goes, and that one the next
        time, with what was said of it."""
        at = shared(postgresql.ledger())
        ledger, other = await Ledger.open(at), await Ledger.open(at)
        for request_id in ("late", "first", "second"):
            await complete(ledger, request_id=request_id, started_at=LONG_AGO)
        written, pruned = threading.Event(), threading.Event()

        def teach(*_: object) -> Mapping[Key, Cell]:
            written.set()
            pruned.wait()
            return {}

        telling = asyncio.ensure_future(other.report_outcome(1000, "late", "user", Outcome(0.5, 1), teach))
        await eventually(written.is_set)
        try:
            assert (await ledger.prune(datetime.now(UTC).date())).requests == 2
        finally:
            pruned.set()
        await telling
        assert (await ledger.prune(datetime.now(UTC).date())).requests == 1
        with place_of(at).reading() as connection:
            assert not connection.scalar(text("SELECT count(*) FROM outcomes"))
        await ledger.close()
        await other.close()

    async def test_wait_in_no_circle(self, postgresql: Cluster) -> None:
        """An outcome that takes the place of an earlier one has its request before that, as pruning has."""
        at = shared(postgresql.database())
        ledger, other = await Ledger.open(at), await Ledger.open(at)
        await complete(ledger, request_id="late", started_at=LONG_AGO)
        await other.report_outcome(1000, "late", "user", Outcome(0.1, 1), lambda *_: {})
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM outcomes%'"
        with place_of(at).writer().begin() as somebody:
            somebody.execute(text("SELECT 1 FROM outcomes FOR UPDATE"))
            telling = asyncio.ensure_future(other.report_outcome(1000, "late", "user", Outcome(0.5, 1), lambda *_: {}))
            await eventually(lambda: len(postgresql.ask(waiting)) == 1)
            pruning = asyncio.ensure_future(ledger.prune(datetime.now(UTC).date()))
            await eventually(lambda: pruning.done() or len(postgresql.ask(waiting)) == 2)
        await asyncio.gather(telling, pruning, return_exceptions=True)
        for machine in (ledger, other):
            await machine.close()
        database = make_url(at.url).database
        circles = f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{database}'"
        await eventually(lambda: not postgresql.ask(f"SELECT 1 FROM pg_stat_activity WHERE datname = '{database}'"))
        assert postgresql.ask(circles) == [(0,)]

    async def test_end_with_the_daemon(self, postgresql: Cluster) -> None:
        """Who leaves in the middle of a step leaves no connection, and all or nothing of the step is done."""
        at = shared(postgresql.database())
        ledger = await Ledger.open(at)
        for _ in range(3):
            await complete(ledger, started_at=LONG_AGO)
        with self.held_up(at):
            pruning = asyncio.ensure_future(ledger.prune(datetime.now(UTC).date()))
            await self.waits(postgresql)
            pruning.cancel()
            await ledger.close()
        name = make_url(at.url).database
        there = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{name}'"
        await eventually(lambda: not postgresql.ask(there))
        assert postgresql.ask("SELECT count(*) FROM requests", name or "") in ([(0,)], [(3,)])
