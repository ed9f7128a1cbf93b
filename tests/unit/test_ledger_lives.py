"""Ends that former lives of a daemon have left on the disk, beside the requests of the present one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.errors import RequestNotFound
from cortexd.ledger import RequestState, Settled
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.keeping.revisions import HEAD
from cortexd.ledger.writing.actions import RenewLeases, Reserve, Settle
from cortexd.ledger.writing.shared_store import SharedStore
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import MACHINE, attempt, request
from tests.unit.test_ledger_restored import copy
from tests.unit.test_ledger_shared import change, seen

pytestmark = pytest.mark.slow
_ROWS = "SELECT instance, state, cost_nano FROM requests ORDER BY id"


@pytest.fixture
def at(postgresql: Cluster) -> LedgerSettings:
    return shared(postgresql.database())


@pytest.fixture
def restore(postgresql: Cluster, at: LedgerSettings) -> Callable[[], None]:
    """Knows this machine, and nothing that it has asked for."""
    life(at, "earlier").close()
    database = urlsplit(at.url).path.strip("/")
    copy(postgresql, database, f"{database}_saved")

    def restore() -> None:
        postgresql.ask(f"DROP DATABASE {database} WITH (FORCE)")
        copy(postgresql, f"{database}_saved", database)

    return restore


def life(at: LedgerSettings, instance: str, machine: str = MACHINE.id, spool: Path | None = None) -> SharedStore:
    return SharedStore(place_of(at), instance, 900, replace(MACHINE, id=machine), spool or at.spool)


def leave(at: LedgerSettings, instance: str, cost: int) -> int:
    """A life that begins a request, keeps its end on the disk, and is over. The request's key."""
    store = life(at, instance)
    [key] = store.run([Reserve(request(), 40)])
    assert store.spool is not None
    assert store.spool.keep_settlement(done(key, cost))
    store.close()
    assert isinstance(key, int)
    return key


def done(key: int, cost: int) -> Settle:
    return Settle(key, RequestState.DONE, (attempt(cost),))


def booked(store: SharedStore) -> list[Any]:
    """What comes of all lines."""
    assert store.spool is not None
    lines = store.spool.next(256)
    results = store.run(lines)
    store.spool.done(lines, results)
    return results


def test_a_key_that_is_the_present_ones_own_after_a_restore(at: LedgerSettings, restore: Callable[[], None]) -> None:
    """The former request is not there any more; the present one goes on and is settled at what it came to."""
    former = leave(at, "former", 10)
    restore()
    store = life(at, "present")
    [key] = store.run([Reserve(request(), 30)])
    assert key == former
    [lost] = booked(store)
    assert isinstance(lost, RequestNotFound)
    [settled] = store.run([done(key, 7)])
    assert isinstance(settled, Settled), settled
    store.close()
    assert seen(at, _ROWS) == [("present", "done", 7)]
    assert check(at) == []


def test_a_key_of_two_former_lives(at: LedgerSettings, restore: Callable[[], None]) -> None:
    """Both booked at once, each ends what its own life has begun, where that is there."""
    key = leave(at, "first", 20)
    restore()
    assert leave(at, "second", 10) == key
    store = life(at, "present")
    lost, settled = booked(store)
    store.close()
    assert isinstance(lost, RequestNotFound)
    assert isinstance(settled, Settled)
    assert seen(at, _ROWS) == [("second", "done", 10)]
    assert check(at) == []


@pytest.mark.parametrize("whose", ["another machine's", "the present one's"])
def test_an_end_that_does_not_say_who_has_begun_it(at: LedgerSettings, restore: Callable[[], None], whose: str) -> None:
    """A former version has kept it, of this machine: it ends no other machine's request, and none that began since."""
    store = life(at, "former")
    [former] = store.run([Reserve(request(), 40)])
    assert store.spool is not None
    store.spool.keep([(b'{"type":"settlement","key":%d,"state":"cancelled","attempts":[]}' % former, None)])
    store.close()
    restore()
    present = life(at, "present")
    one = present if whose == "the present one's" else life(at, "there", "b" * 32, at.spool.with_name("other"))
    [key] = one.run([Reserve(request(), 30)])
    assert key == former
    [lost] = booked(present)
    assert isinstance(lost, RequestNotFound)
    [settled] = one.run([done(key, 7)])
    assert isinstance(settled, Settled), settled
    for each in {present, one}:
        each.close()
    assert check(at) == []


def test_an_end_that_does_not_say_who_has_begun_it_ends_it(at: LedgerSettings) -> None:
    """Where no database was restored it is of who left it."""
    store = life(at, "former")
    [key] = store.run([Reserve(request(), 40)])
    assert store.spool is not None
    store.spool.keep([(b'{"type":"settlement","key":%d,"state":"cancelled","attempts":[]}' % key, None)])
    store.close()
    present = life(at, "present")
    [settled] = booked(present)
    assert isinstance(settled, Settled)
    present.close()
    assert seen(at, _ROWS) == [("former", "cancelled", 0)]
    assert check(at) == []


def test_two_ends_of_what_others_have_settled(at: LedgerSettings) -> None:
    """Of two at once one puts it right, and the other finds it ended."""
    store = life(at, "here")
    [key] = store.run([Reserve(request(), 40)])
    change(at, "UPDATE requests SET lease_until = started_at")
    life(at, "there", "b" * 32, at.spool.with_name("other")).close()
    assert seen(at, _ROWS) == [("here", "lost", 40)]
    cancelled = Settle(key, RequestState.CANCELLED, ())
    settled, again = store.run([cancelled, cancelled])
    assert isinstance(settled, Settled)
    assert isinstance(again, RequestNotFound)
    store.close()
    assert seen(at, _ROWS) == [("here", "cancelled", 0)]
    assert seen(at, "SELECT sum(spent) FROM sums WHERE uid = 1000 AND app = '' GROUP BY period")[0] == (0,)
    assert check(at) == []


def test_what_ended_since_the_backup_has_no_lease_for_good(at: LedgerSettings, postgresql: Cluster) -> None:
    """It is under way again there, and of a daemon that goes on; nobody ends it but who finds its lease over."""
    database = urlsplit(at.url).path.strip("/")
    store = life(at, "here")
    ended, goes_on = store.run([Reserve(request(), 40), Reserve(request(), 50)])
    copy(postgresql, database, f"{database}_saved")
    store.run([done(ended, 10)])
    postgresql.ask(f"DROP DATABASE {database} WITH (FORCE)")
    copy(postgresql, f"{database}_saved", database)
    change(at, "UPDATE requests SET lease_until = started_at")
    store.run([RenewLeases()])
    assert seen(at, _ROWS) == [("here", "lost", 40), ("here", "pending", 0)]
    [settled] = store.run([done(goes_on, 7)])
    assert isinstance(settled, Settled)
    store.close()
    assert check(at) == []


def test_a_database_that_a_newer_one_has_taken_meanwhile(at: LedgerSettings, postgresql: Cluster) -> None:
    """Whoever comes back to it writes nothing there, however often it is tried, until it is as it was."""
    store = life(at, "here")
    database = urlsplit(at.url).path.strip("/")
    [key] = store.run([Reserve(request(), 40)])
    change(at, "UPDATE alembic_version SET version_num = '9999'")
    postgresql.ask(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'")
    for action in (Reserve(request(), 30), done(key, 7), RenewLeases()):
        [refused] = store.run([action])
        assert isinstance(refused, Exception), refused
        assert "newer than" in str(store.unwritable(refused))
    change(at, f"UPDATE alembic_version SET version_num = '{HEAD}'")
    [settled] = store.run([done(key, 7)])
    assert isinstance(settled, Settled)
    store.close()
    assert seen(at, _ROWS) == [("here", "done", 7)]
