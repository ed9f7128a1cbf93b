"""A shared ledger whose database is away: what is free goes on, what was under way ends, all is booked once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.errors import LedgerUnavailable, RequestNotFound
from cortexd.ledger import Ledger, RequestState, Settled
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.spool import documents
from cortexd.ledger.spool.lines import SpoolFile
from cortexd.ledger.spool.spool import Spool
from cortexd.ledger.writing.actions import Settle
from cortexd.ledger.writing.shared_store import SharedStore
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_budgets import limit
from tests.unit.test_ledger_parts import MACHINE, attempt, complete, eventually, request
from tests.unit.test_ledger_shared import change, seen

pytestmark = pytest.mark.slow
ROWS = "SELECT request_id, state, cost_nano FROM requests ORDER BY id"


@pytest.fixture
def at(postgresql: Cluster, tmp_path: Path) -> LedgerSettings:
    return replace(shared(postgresql.ledger()), path=tmp_path / "state" / "ledger.sqlite3")


@contextmanager
def stopped(cluster: Cluster) -> Iterator[None]:
    cluster.stop()
    try:
        yield
    finally:
        cluster.start()


async def free(ledger: Ledger, request_id: str, told: list[Settled] | None = None) -> None:
    """A request of a local model, which the ledger keeps for later."""
    key = ledger.reserve_here(request(request_id=request_id, caller_chosen=True))
    with pytest.raises(LedgerUnavailable):
        await ledger.settle(key, "done", [attempt(0)], None if told is None else told.append)


def booked(ledger: Ledger) -> bool:
    return not ledger.state.waiting


async def notice(ledger: Ledger) -> None:
    with pytest.raises(LedgerUnavailable):
        await ledger.reserve(request(), 1)
    assert ledger.away


class TestFreeRequests:
    async def test_go_on(self, at: LedgerSettings, postgresql: Cluster) -> None:
        """They are kept while the database is away, and booked once it is back; paid ones and readings are refused."""
        ledger = await Ledger.open(at)
        told: list[Settled] = []
        with stopped(postgresql):
            with pytest.raises(LedgerUnavailable):
                ledger.reserve_here(request())
            await notice(ledger)
            await free(ledger, "first", told)
            await free(ledger, "second", told)
            for refused in (ledger.reserve(request(), 1), ledger.reserve(request(), 0), ledger.stats(1000)):
                with pytest.raises(LedgerUnavailable):
                    await refused
            state = ledger.state
            assert (state.writable, state.since is not None, state.waiting) == (False, True, 2)
            key = ledger.reserve_here(request(request_id="third"))
            with pytest.raises(LedgerUnavailable):  # a further attempt that would cost something
                await ledger.reserve_more(key, 1)
        await ledger.back()
        with pytest.raises(LedgerUnavailable):  # what it was promised still holds, and no more
            await ledger.reserve_more(key, 1)
        with pytest.raises(LedgerUnavailable):  # it ends after that: the way is the same
            await ledger.settle(key, "failed", [attempt(0)], told.append)
        with pytest.raises(RequestNotFound):
            await ledger.settle(key, "failed", [])
        await eventually(lambda: len(told) == 3)
        assert ledger.state.waiting == 0
        assert [row[:2] for row in seen(at, ROWS)] == [("first", "done"), ("second", "done"), ("third", "failed")]
        assert (await ledger.stats(1000)).total_requests == 3
        await ledger.close()
        assert check(at) == []

    async def test_go_on_where_nobody_writes(self, at: LedgerSettings, postgresql: Cluster) -> None:
        """A reading that fails is enough to know that the database is away."""
        ledger = await Ledger.open(at)
        with stopped(postgresql):
            with pytest.raises(LedgerUnavailable):
                await ledger.owners()
            assert ledger.away
            await free(ledger, "first")
        await eventually(lambda: booked(ledger))
        await ledger.close()
        assert check(at) == []

    async def test_that_a_dead_daemon_kept(self, at: LedgerSettings, postgresql: Cluster) -> None:
        """The next daemon books them, once; also the end of what was under way and paid for."""
        ledger = await Ledger.open(at)
        paid = await ledger.reserve(request(request_id="paid"), 40, [limit(100)])
        with stopped(postgresql):
            await notice(ledger)
            await free(ledger, "free")
            with pytest.raises(LedgerUnavailable):
                await ledger.settle(paid, "done", [attempt(10)])
            await ledger.close()
            assert Spool(at.spool).path.exists()
        for _ in range(2):
            again = await Ledger.open(at)
            await eventually(partial(booked, again))
            [state] = await again.budgets([limit(100)])
            assert (state.spent_nano, state.reserved_nano) == (10, 0)
            await again.close()
        assert seen(at, ROWS) == [("paid", "done", 10), ("free", "done", 0)]
        assert check(at) == []

    async def test_whose_id_was_used_elsewhere(self, at: LedgerSettings, postgresql: Cluster) -> None:
        """Nobody could know: both are booked, the later one by another id."""
        ledger, other = await Ledger.open(at), await Ledger.open(at)
        await complete(other, 5, request_id="job", caller_chosen=True)
        with stopped(postgresql):
            await notice(ledger)
            await free(ledger, "job")
        await eventually(lambda: len(seen(at, ROWS)) == 2)
        [first, second] = seen(at, ROWS)
        assert first == ("job", "done", 5)
        assert str(second[0]).startswith("job#")
        for machine in (ledger, other):
            await machine.close()

    async def test_of_a_machine_with_users_of_its_own(self, at: LedgerSettings, postgresql: Cluster) -> None:
        """They are booked as its own users', whatever others' uids are."""
        settings = replace(at, users="host")
        with stopped(postgresql):
            ledger = await Ledger.open(settings)
            await free(ledger, "own")
        await eventually(lambda: booked(ledger))
        assert (await ledger.stats(1000)).total_requests == 1
        assert seen(at, "SELECT uid = 1000 FROM requests") == [(False,)]
        await ledger.close()


class TestStart:
    async def test_while_it_is_away(self, at: LedgerSettings, postgresql: Cluster) -> None:
        """The ledger is begun when the database comes; until what is kept of users is read nothing is paid for."""
        with stopped(postgresql):
            ledger = await Ledger.open(at)
            assert (ledger.caught_up, ledger.away) == (False, True)
            await free(ledger, "early")
            with pytest.raises(LedgerUnavailable):
                await ledger.owners()
        await ledger.back()
        with pytest.raises(LedgerUnavailable):
            await ledger.reserve(request(), 1)
        assert await ledger.budget_overrides() == {}
        ledger.caught_up = True
        await ledger.fleet.note_settings("3")
        assert seen(at, "SELECT settings FROM hosts") == [("3",)]
        await complete(ledger, 5)
        await eventually(lambda: [row[0] for row in seen(at, ROWS)].count("early") == 1)
        await ledger.close()
        assert check(at) == []

    async def test_on_a_newer_schema(self, at: LedgerSettings, postgresql: Cluster) -> None:
        """A database that a newer cortexd has taken meanwhile is not written to."""
        await (await Ledger.open(at)).close()
        with stopped(postgresql):
            ledger = await Ledger.open(at)
        change(at, "UPDATE alembic_version SET version_num = '9999'")
        await eventually(lambda: not ledger.away)
        with pytest.raises(LedgerUnavailable):
            await ledger.reserve(request(), 1)
        assert not ledger.writable
        await ledger.close()
        assert seen(at, ROWS) == []


KILLED = """
import sys
from pathlib import Path
from cortexd.config.settings import LedgerSettings
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping.machine import this_machine
from cortexd.ledger.writing.shared_store import SharedStore

settings = LedgerSettings(url=sys.argv[1], path=Path(sys.argv[2]))
store = SharedStore(place_of(settings), "dies", 900, this_machine(settings), settings.spool)
while group := store.spool.next(3):
    results = store.run(group)
    if sys.argv[3] == "before":
        print(flush=True)
        sys.stdin.readline()
    store.spool.done(group, results)
    print(flush=True)
    sys.stdin.readline()
"""


class TestReplay:
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_is_done_once_whatever_is_killed(self, at: LedgerSettings, when: str) -> None:
        """kill -9 in the middle of it, before or after the file knows what is booked: no line is booked twice, none is
        left out."""
        store = SharedStore(place_of(at), "before", 900, MACHINE, at.spool)
        assert store.spool is not None
        store.spool.keep(
            [
                (documents.whole(request(request_id=f"free{number}"), RequestState.DONE, [attempt(0)]), None)
                for number in range(10)
            ]
        )
        store.close()
        arguments = [sys.executable, "-c", KILLED, at.url, str(at.path), when]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as dying:
            assert dying.stdin is not None
            assert dying.stdout is not None
            for _ in range(2):
                dying.stdout.readline()
                dying.stdin.write(b"\n")
                dying.stdin.flush()
            dying.stdout.readline()
            os.kill(dying.pid, signal.SIGKILL)
        assert 0 < len(seen(at, ROWS)) < 10
        store = SharedStore(place_of(at), "next", 900, MACHINE, at.spool)
        assert store.spool is not None
        while group := store.spool.next(4):
            store.spool.done(group, store.run(group))
        store.close()
        assert sorted(str(row[0]) for row in seen(at, ROWS)) == [f"free{number}" for number in range(10)]
        assert check(at) == []

    def test_of_a_line_that_the_ledger_refuses(self, at: LedgerSettings) -> None:
        """It does not stop the others."""
        file = SpoolFile(at.spool)
        file.append([documents.end(Settle(12345, RequestState.DONE, ()))])
        file.append([documents.whole(request(request_id="a\0b"), RequestState.DONE, [])])
        file.append([documents.whole(request(request_id="good"), RequestState.DONE, [])])
        file.close()
        store = SharedStore(place_of(at), "here", 900, MACHINE, at.spool)
        assert store.spool is not None
        group = store.spool.next(10)
        unknown, refused, good = store.run(group)
        assert isinstance(unknown, RequestNotFound)
        assert isinstance(refused, Exception)
        assert isinstance(good, Settled)
        store.spool.done(group, [unknown, refused, good])
        assert store.spool.waiting == 0
        store.close()
