"""What a session of a shared ledger's database has prepared, what becomes of it, and for whom it waits."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import make_url, text

from cortexd.errors import LedgerUnavailable
from cortexd.ledger import AttemptRecord, Ledger, RequestState, Settled
from cortexd.ledger.engines import engine_of, place_of
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.keeping.schema import requests
from cortexd.ledger.reading.queries import find
from cortexd.ledger.writing.actions import Reserve, Settle
from cortexd.ledger.writing.shared_store import SharedStore
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import MACHINE, attempt, complete, eventually, request, several

pytestmark = pytest.mark.slow
GROUPS = "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement LIKE '%AS given%'"


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


@pytest.mark.parametrize("earlier", [0, 1], ids=["for the first time", "prepared"])
async def test_whoever_is_alone_is_waited_for_before_anything_is_written(postgresql: Cluster, earlier: int) -> None:
    """No entry gets a number that is lower than one which he sees."""
    at = shared(postgresql.ledger())
    place = place_of(at)
    assert place.engine.sharing is not None
    numbered = "SELECT last_value FROM entries_seq_seq"
    waiting = "SELECT 1 FROM pg_locks WHERE relation = CAST('sums' AS regclass) AND NOT granted"
    async with several(Ledger.open(at)) as [ledger]:
        for _ in range(earlier):
            await complete(ledger)
        key = await ledger.reserve(request(), 9)
        with place.writer().connect() as alone:
            place.engine.sharing.enter(alone, alone=True)
            before = alone.scalar(text(numbered))
            settling = asyncio.ensure_future(ledger.settle(key, "done", [attempt(7)]))
            await eventually(lambda: alone.scalar(text(waiting)) is not None)
            assert alone.scalar(text(numbered)) == before
            alone.rollback()
            assert (await settling).cost_nano == 7


async def test_a_transaction_that_the_database_ends_is_done_later(postgresql: Cluster) -> None:
    """An administrator's transaction_timeout ends the session: what it cut short is booked once, later."""
    [(version,)] = postgresql.ask("SELECT CAST(current_setting('server_version_num') AS INTEGER)")
    if int(str(version)) < 170000:
        pytest.skip("transaction_timeout came with PostgreSQL 17")
    at = shared(postgresql.database())
    await (await Ledger.open(at)).close()
    postgresql.ask(f"ALTER DATABASE {make_url(at.url).database} SET transaction_timeout = '2s'")
    told: list[Settled] = []
    async with several(Ledger.open(at)) as [ledger]:
        key = await ledger.reserve(request(), 9)
        with place_of(at).writer().connect() as somebody:
            somebody.execute(text("SET transaction_timeout = 0"))
            somebody.execute(text("LOCK TABLE sums"))
            with pytest.raises(LedgerUnavailable, match="ended a transaction that took too long"):
                await ledger.settle(key, "done", [attempt(7)], told.append)
            assert not ledger.writable
        await eventually(lambda: bool(told))
        assert told[0].cost_nano == 7
        await complete(ledger, 5)
        assert (await ledger.stats(1000)).total_cost_nano == 12
    assert check(at) == []


def test_what_a_group_settles_is_found_by_its_keys(postgresql: Cluster) -> None:
    """From the first on, when the database knows nothing of its tables: what is pending elsewhere is not gone through,
    nor all of the group for each of its requests. What else is written is planned as ever."""
    at = shared(postgresql.ledger())
    store = SharedStore(place_of(at), "here", 900, MACHINE, at.spool)
    try:
        for _ in range(2):
            keys = store.run([Reserve(request(), 5) for _ in range(3)])
            settled = store.run([Settle(key, RequestState.DONE, (attempt(1),)) for key in keys])
            assert all(isinstance(each, Settled) for each in settled)
        there, sharing = store._there, store._sharing
        assert there is not None
        [(name, values)] = there.execute(text(GROUPS)).fetchall()
        explained = there.exec_driver_sql(f"EXPLAIN EXECUTE {name} ({', '.join(['NULL'] * values)})")
        plan = "\n".join(line for (line,) in explained)
        assert "Index Cond: (id = ANY" in plan
        assert "Nested Loop" not in plan
        assert "Seq Scan on requests" not in plan
        sharing.enter(there, alone=False)
        assert there.scalar(text("SHOW enable_nestloop")) == "on"
        there.rollback()
    finally:
        store.close()


def test_requests_are_found_by_their_names_one_by_one(postgresql: Cluster) -> None:
    """By the index, also by a plan for an empty ledger: a session keeps it while a file is moved in, request by request
    compared with all that are looked for."""
    at = shared(postgresql.ledger())
    store = SharedStore(place_of(at), "here", 900, MACHINE, at.spool)
    try:
        there = store._there
        assert there is not None
        names = [(1000 + number % 7, f"id-{number}") for number in range(1000)]
        wanted = engine_of(there).with_pairs(requests, (requests.c.uid, requests.c.request_id), names)
        made = wanted.compile(dialect=there.dialect, compile_kwargs={"literal_binds": True})
        plan = "\n".join(there.exec_driver_sql(f"EXPLAIN {made}".replace("%", "%%")).scalars())
        there.rollback()
        assert "Index Scan using requests_uid_request_id on requests" in plan
        assert "JIT" not in plan  # a nested loop seems dear where sessions go without, and compiling takes longer
        key = store.run([Reserve(request(uid=1003, request_id="id-3"), 0)])[0]
        assert {name: one.key for name, one in find(there, names).items()} == {(1003, "id-3"): key}
        assert find(there, []) == {}
        there.rollback()
    finally:
        store.close()
