"""What a session of a shared ledger's database has prepared, and what becomes of it."""

from __future__ import annotations

import pytest

from cortexd.ledger import AttemptRecord, RequestState, Settled
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.writing.actions import Reserve, Settle
from cortexd.ledger.writing.shared_store import SharedStore
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import MACHINE, attempt, request

pytestmark = pytest.mark.slow


def test_transactions_of_a_new_kind_go_on_after_all_was_dropped(postgresql: Cluster) -> None:
    """The driver drops everything as it rolls back. What was prepared after that has a name which nothing else gets."""
    at = shared(postgresql.ledger())
    store = SharedStore(place_of(at), "here", 900, MACHINE, at.spool)

    def settle(key: int, *made: AttemptRecord) -> None:
        [settled] = store.run([Settle(key, RequestState.FAILED, made)])
        assert isinstance(settled, Settled), settled

    def reserve() -> int:
        [key] = store.run([Reserve(request(), 0)])
        assert isinstance(key, int), key
        return key

    try:
        first, second = reserve(), reserve()
        settle(reserve(), attempt(1))
        there = store._there
        assert there is not None
        for _ in range(4):
            there.exec_driver_sql("SELECT 1")
        there.rollback()
        settle(first)
        settle(reserve(), attempt(1))
        settle(second)
    finally:
        store.close()
    assert check(at) == []
