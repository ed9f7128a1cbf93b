"""Commits of a shared ledger whose answer was lost: each is done once, and it is known which were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cortexd.config.settings import LedgerSettings
from cortexd.ledger import RequestState, Settled
from cortexd.ledger.engines import place_of
from cortexd.ledger.engines.postgresql import session
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.writing.actions import Reserve, Settle
from cortexd.ledger.writing.shared_store import SharedStore
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_budgets import limit
from tests.unit.test_ledger_parts import MACHINE, attempt, request

pytestmark = pytest.mark.slow


@pytest.fixture
def at(postgresql: Cluster) -> LedgerSettings:
    """Of an empty ledger in a database."""
    return shared(postgresql.ledger())


def seen(at: LedgerSettings, statement: str) -> list[tuple[object, ...]]:
    """What is in the database."""
    with place_of(at).reading() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


@pytest.fixture
def breaking(postgresql: Cluster, monkeypatch: pytest.MonkeyPatch) -> Callable[[SharedStore, str], None]:
    """Ends the store's connection once: before its next commit is sent, or after it has been done."""

    def break_at(store: SharedStore, when: str) -> None:
        connection = store._there
        assert connection is not None
        dialect = connection.dialect
        commit, run = dialect.do_commit, session.run
        driver = connection.connection.driver_connection
        assert driver is not None

        def losing(write: Callable[..., Any]) -> Callable[..., Any]:
            def lose(*given: Any) -> Any:
                monkeypatch.setattr(dialect, "do_commit", commit)
                monkeypatch.setattr(session, "run", run)
                if when == "after":
                    write(*given)
                postgresql.ask(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 5000)")
                return write(*given) if when == "before" else driver.execute("SELECT 1")

            return lose

        monkeypatch.setattr(dialect, "do_commit", losing(commit))
        monkeypatch.setattr(session, "run", losing(run))

    return break_at


class TestLostConnections:
    @pytest.mark.parametrize("known", [False, True], ids=["planned under locks", "planned by what was seen"])
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_commit_is_done_once(
        self, at: LedgerSettings, breaking: Callable[[SharedStore, str], None], when: str, known: bool
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
