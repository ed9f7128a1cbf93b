"""Commits of a shared ledger whose answer was lost: each is done once, and it is known which were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from cortexd.config.settings import LedgerSettings
from cortexd.ledger import RequestState, Settled
from cortexd.ledger.engines import place_of
from cortexd.ledger.engines.postgresql import session
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.writing.actions import RenewLeases, Reserve, Settle
from cortexd.ledger.writing.shared_store import SharedStore
from cortexd.ledger.writing.shared_sums import SharedSums
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_budgets import limit
from tests.unit.test_ledger_parts import MACHINE, attempt, request
from tests.unit.test_ledger_restored import copy

pytestmark = pytest.mark.slow
_STATES = "SELECT state, sum(cost_nano) FROM requests GROUP BY state ORDER BY state"


@pytest.fixture
def at(postgresql: Cluster) -> LedgerSettings:
    """Of an empty ledger in a database."""
    return shared(postgresql.ledger())


def seen(at: LedgerSettings, statement: str) -> list[tuple[object, ...]]:
    """What is in the database."""
    with place_of(at).reading() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


@pytest.fixture
def breaking(postgresql: Cluster, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Ends the store's connection once: before its next commit is sent, or after it is done, and something else too."""

    def break_at(store: SharedStore, when: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        connection = store._there
        assert connection is not None
        dialect = connection.dialect
        commit, run = dialect.do_commit, session.run
        driver = connection.connection.driver_connection
        assert driver is not None

        def losing(write: Callable[..., Any]) -> Callable[..., Any]:
            def lose(*given: Any) -> Any:
                if store._doubts._doubt is None:  # keys are taken
                    return write(*given)
                monkeypatch.setattr(dialect, "do_commit", commit)
                monkeypatch.setattr(session, "run", run)
                if when == "after":
                    write(*given)
                meanwhile()
                postgresql.ask(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 5000)")
                return write(*given) if when == "before" else driver.execute("SELECT 1")

            return lose

        monkeypatch.setattr(dialect, "do_commit", losing(commit))
        monkeypatch.setattr(session, "run", losing(run))

    return break_at


@pytest.fixture
def losing(postgresql: Cluster, breaking: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs an action whose commit is done and not answered, and ends the next connection, too: before that has read
    so many sums of what there is now."""

    def lose(store: SharedStore, action: Reserve | Settle, readings: int = 0) -> None:
        tally, left = SharedSums.tally, [readings]

        def losing(self: SharedSums, connection: Connection, *given: Any) -> Any:
            if not left[0]:
                driver = connection.connection.driver_connection
                assert driver is not None
                postgresql.ask(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 5000)")
            left[0] -= 1
            return tally(self, connection, *given)

        breaking(store, "after")
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(SharedSums, "tally", losing)
            [lost] = store.run([action])
        assert isinstance(lost, OperationalError), lost

    return lose


class TestLostConnections:
    @pytest.mark.parametrize("known", [False, True], ids=["planned under locks", "planned by what was seen"])
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_commit_is_done_once(
        self, at: LedgerSettings, breaking: Callable[..., None], when: str, known: bool
    ) -> None:
        """Where the answer to a commit is lost it is found out what became of it: once is every request reserved,
        and settled once."""
        store = SharedStore(place_of(at), "here", 900, MACHINE, at.spool)
        limits, spent = (limit(1_000),), 0
        try:
            if known:
                [first] = store.run([Reserve(request(), 40, limits)])
                store.run([Settle(first, RequestState.DONE, (attempt(spent := 7),))])
            breaking(store, when)
            [key] = store.run([Reserve(request(), 40, limits)])
            breaking(store, when)
            [settled] = store.run([Settle(key, RequestState.DONE, (attempt(10),))])
            assert isinstance(settled, Settled)
            assert (settled.budgets[0].before_nano, settled.budgets[0].after_nano) == (spent, spent + 10)
        finally:
            store.close()
        assert seen(at, "SELECT id, state, cost_nano FROM requests")[known:] == [(key, "done", 10)]
        assert check(at) == []

    def test_what_is_sent_and_not_answered_comes_to_nothing(self, at: LedgerSettings) -> None:
        """A session whose other end is gone may still be at it; it is ended before anybody looks what became of it."""
        sharing, place = place_of(at).engine.sharing, place_of(at)
        assert sharing is not None
        with place.writer().connect() as lost, place.writer().connect() as connection:
            there = sharing.session(lost)
            sharing.end_session(connection, there)
            with pytest.raises(DBAPIError) as ended:
                lost.execute(text("SELECT 1"))
            assert sharing.lost(ended.value)
            sharing.end_session(connection, there)  # it is gone already

    def test_in_a_database_that_has_never_heard_of_it(self, at: LedgerSettings) -> None:
        """A standby that took over without the newest transactions says that this one was not committed."""
        sharing, place = place_of(at).engine.sharing, place_of(at)
        assert sharing is not None
        with place.writer().connect() as connection:
            sharing.enter(connection, alone=False)
            assert not sharing.committed(connection, str(2**40 + 5))

    @pytest.mark.parametrize("known", [False, True], ids=["planned under locks", "planned by what was seen"])
    def test_in_a_database_that_was_restored(
        self, postgresql: Cluster, breaking: Callable[..., None], known: bool
    ) -> None:
        """The key may be another machine's request there: that stays as it is, and what was lost is done anew."""
        at = shared(postgresql.database())
        database, limits = urlsplit(at.url).path.strip("/"), (limit(1_000),)
        SharedStore(place_of(at), "earlier", 900, MACHINE, at.spool).close()
        copy(postgresql, database, f"{database}_saved")

        def restore() -> None:
            postgresql.ask(f"DROP DATABASE {database} WITH (FORCE)")
            copy(postgresql, f"{database}_saved", database)
            there = replace(MACHINE, id="there")
            other = SharedStore(place_of(at), "there", 900, there, at.spool.with_name("other"))
            assert all(isinstance(key, int) for key in other.run([Reserve(request(), 30) for _ in range(3)]))
            other.close()

        store = SharedStore(place_of(at), "here", 900, MACHINE, at.spool)
        try:
            if known:
                [first] = store.run([Reserve(request(), 40, limits)])
                store.run([Settle(first, RequestState.DONE, (attempt(7),))])
            breaking(store, "after", restore)
            [key] = store.run([Reserve(request(), 40, limits)])
            store.run([Settle(key, RequestState.DONE, (attempt(10),))])
        finally:
            store.close()
        found = seen(at, "SELECT instance, state, cost_nano FROM requests ORDER BY id")
        assert found == [*[("there", "pending", 0)] * 3, ("here", "done", 10)]
        assert check(at) == []

    @pytest.mark.parametrize("reading", range(3))
    def test_a_connection_lost_again_while_that_is_found_out(
        self, at: LedgerSettings, losing: Callable[..., None], reading: int
    ) -> None:
        """It is found out later: what is tried again is settled once, and nothing stays reserved for nobody."""
        store = SharedStore(place_of(at), "here", 900, MACHINE, at.spool)
        limits = (limit(1_000),)
        try:
            [first] = store.run([Reserve(request(), 40, limits)])
            store.run([Settle(first, RequestState.DONE, (attempt(7),))])
            [key] = store.run([Reserve(request(), 40, limits)])
            losing(store, settle := Settle(key, RequestState.DONE, (attempt(10),)), reading)
            [settled] = store.run([settle])
            assert isinstance(settled, Settled), settled
            assert (settled.budgets[0].before_nano, settled.budgets[0].after_nano) == (7, 17)
            losing(store, Reserve(request(), 40, limits))
            store.run([RenewLeases()])
        finally:
            store.close()
        assert seen(at, _STATES) == [("cancelled", 0), ("done", 17)]
        assert check(at) == []

    def test_what_others_have_settled_meanwhile(self, at: LedgerSettings, losing: Callable[..., None]) -> None:
        """A reservation of which nobody has the key costs nothing, also where another machine took it for lost before
        that was known."""
        store = SharedStore(place_of(at), "here", 900, MACHINE, at.spool)
        limits = (limit(1_000),)
        try:
            [first] = store.run([Reserve(request(), 40, limits)])
            store.run([Settle(first, RequestState.DONE, (attempt(7),))])
            losing(store, Reserve(request(), 40, limits))
            with place_of(at).writer().begin() as connection:
                connection.execute(text("UPDATE requests SET lease_until = '2026-01-01'"))
            SharedStore(place_of(at), "there", 900, replace(MACHINE, id="there"), at.spool.with_name("other")).close()
            assert seen(at, _STATES) == [("done", 7), ("lost", 40)]
            store.run([RenewLeases()])
        finally:
            store.close()
        assert seen(at, _STATES) == [("cancelled", 0), ("done", 7)]
        assert check(at) == []
