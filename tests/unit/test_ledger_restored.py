"""A shared ledger that is restored from a backup while machines go on: nobody books under another's number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.errors import CortexError, LedgerUnavailable, RequestNotFound
from cortexd.ledger import Ledger
from cortexd.ledger.keeping.maintenance import check
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import MACHINE, attempt, complete, eventually, request
from tests.unit.test_ledger_shared import change, seen

pytestmark = pytest.mark.slow
WROTE = "SELECT name, count(*) FROM requests JOIN hosts ON hosts.number = requests.host GROUP BY name"


async def opened(at: LedgerSettings, name: str) -> Ledger:
    return await Ledger.open(at, machine=replace(MACHINE, id=name * 32, name=name))


def copy(cluster: Cluster, database: str, to: str) -> None:
    """A backup, and what comes of it again. By the server itself: PostgreSQL's builds for tests have no pg_dump."""
    cluster.ask(f"ALTER DATABASE {database} WITH ALLOW_CONNECTIONS false")
    cluster.ask(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'")
    cluster.ask(f"CREATE DATABASE {to} TEMPLATE {database}")
    cluster.ask(f"ALTER DATABASE {database} WITH ALLOW_CONNECTIONS true")


async def saved(cluster: Cluster, at: LedgerSettings) -> Callable[[], None]:
    """Knows machine a. Gives what brings that state back."""
    database = urlsplit(at.url).path.strip("/")
    await (await opened(at, "a")).close()
    copy(cluster, database, f"{database}_saved")

    def restore() -> None:
        cluster.ask(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        copy(cluster, f"{database}_saved", database)

    return restore


async def test_what_a_newer_one_has_made(postgresql: Cluster) -> None:
    """A backup of a newer cortexd's: this one writes nothing there, however often it tries again."""
    at = shared(postgresql.database())
    restore = await saved(postgresql, at)
    unknown = await opened(at, "b")
    restore()
    change(at, "UPDATE alembic_version SET version_num = '9999'")
    for _ in range(6):
        with pytest.raises(LedgerUnavailable):
            await complete(unknown)
        await asyncio.sleep(1)  # meanwhile it tries
    await unknown.close()
    assert seen(at, "SELECT count(*) FROM requests") == [(0,)]


async def test_in_place(postgresql: Cluster) -> None:
    """Its connection stays: a machine whose number is another's by then finds that out when it renews its leases."""
    at = shared(postgresql.database())
    await (await opened(at, "a")).close()
    unknown = await opened(replace(at, lease_s=0.3), "b")
    await complete(unknown)
    change(at, f"UPDATE hosts SET name = 'c', id = '{'c' * 32}' WHERE name = 'b'")
    await eventually(lambda: len(seen(at, "SELECT number FROM hosts")) == 3)
    await complete(unknown)
    await unknown.close()
    assert sorted(seen(at, WROTE), key=str) == [("b", 1), ("c", 1)]
    assert check(at) == []


@pytest.mark.parametrize("lost", [False, True], ids=["under way", "lost"])
@pytest.mark.parametrize("whose", ["a", "b"])
async def test_what_was_under_way_ends_nothing_else(postgresql: Cluster, whose: str, lost: bool) -> None:
    """Its key may be another machine's request there, or a later one of its own: that goes on, at what it reserved."""
    at = shared(postgresql.database())
    restore = await saved(postgresql, at)
    known = await opened(at, "a")
    key = await known.reserve(request(), 40)
    restore()
    machine = known if whose == "a" else await opened(at, whose)
    with suppress(CortexError):  # whose connection broke
        await machine.stats(1000)
    keys = [await machine.reserve(request(), 30) for _ in range(3)]
    if lost:
        change(at, "UPDATE requests SET lease_until = started_at")
        await (await opened(at, "c")).close()
    with pytest.raises(RequestNotFound):
        await known.settle(key, "done", [attempt(10)])
    assert seen(at, "SELECT state, cost_nano FROM requests") == 3 * [("lost", 30) if lost else ("pending", 0)]
    for later in keys:
        await machine.settle(later, "done", [attempt(7)])
    assert seen(at, "SELECT state, cost_nano FROM requests") == 3 * [("done", 7)]
    for each in {known, machine}:
        await each.close()
    assert check(at) == []


async def test_what_waited_on_the_disk_ends_nothing_else(postgresql: Cluster) -> None:
    """The same of an end that was kept there while the database was away, and booked by the next daemon."""
    at = shared(postgresql.database())
    restore = await saved(postgresql, at)
    known = await opened(at, "a")
    key = await known.reserve(request(), 40)
    postgresql.ask(f"DROP DATABASE {urlsplit(at.url).path.strip('/')} WITH (FORCE)")
    with pytest.raises(LedgerUnavailable):
        await known.settle(key, "done", [attempt(10)])
    await known.close()
    restore()
    other = await opened(replace(at, path=at.path.with_name("other")), "b")
    keys = [await other.reserve(request(), 30) for _ in range(3)]
    assert key in keys
    again = await opened(at, "a")
    await eventually(lambda: not again.state.waiting)
    assert seen(at, "SELECT state, cost_nano FROM requests") == 3 * [("pending", 0)]
    for machine in (again, other):
        await machine.close()
    assert check(at) == []


async def test_machines_go_on(postgresql: Cluster) -> None:
    """One that the backup does not know gets a number and keys of its own, as does one that comes after it."""
    at = shared(postgresql.database())
    database = urlsplit(at.url).path.strip("/")
    known = await opened(at, "a")
    await complete(known)
    backup = f"{database}_saved"
    copy(postgresql, database, backup)
    unknown = await opened(at, "b")
    await complete(unknown)
    postgresql.ask(f"DROP DATABASE {database} WITH (FORCE)")
    copy(postgresql, backup, database)
    later = await opened(at, "c")
    machines = (known, unknown, later)
    for machine in machines:
        with suppress(CortexError):  # whose connection broke
            await complete(machine)
    for machine in machines * 3:
        await complete(machine)
    for machine in machines:
        await machine.close()
    wrote = {str(name): int(str(count)) for name, count in seen(at, WROTE)}
    assert wrote.keys() == {"a", "b", "c"}
    assert all(3 <= count <= 5 for count in wrote.values())
    assert check(at) == []


@pytest.mark.parametrize("in_backup", ["a", "b"], ids=["unknown", "known"])
async def test_a_machine_behind_a_pooler_goes_on(postgresql: Cluster, in_backup: str) -> None:
    """Which keeps its clients meanwhile: one that had nothing to do has lost no connection, and is another all the
    same. What it does first there is done, under a number and keys that are nobody else's."""
    at = shared(postgresql.database())
    database = urlsplit(at.url).path.strip("/")
    await (await opened(at, in_backup)).close()
    copy(postgresql, database, f"{database}_saved")
    with postgresql.pooled(at.url) as url:
        machine = await opened(shared(url), "b")
        await complete(machine)
        postgresql.ask(f"DROP DATABASE {database} WITH (FORCE)")
        copy(postgresql, f"{database}_saved", database)
        later = await opened(at, "c")
        for each in (later, machine, later, machine):
            await complete(each)
            await complete(each, cost_nano=0)
        for each in (later, machine):
            await each.close()
    assert sorted(seen(at, WROTE)) == [("b", 4), ("c", 4)]
    assert check(at) == []


async def test_so_does_what_goes_under_locks_there(postgresql: Cluster) -> None:
    """A reset is the first thing that such a machine does: it has a number of its own by then."""
    at = shared(postgresql.database())
    restore = await saved(postgresql, at)
    with postgresql.pooled(at.url) as url:
        machine = await opened(shared(url), "b")
        await complete(machine)
        restore()
        await machine.reset_stats(1002)
        assert sorted(seen(at, "SELECT name FROM hosts")) == [("a",), ("b",)]
        await machine.close()
    assert check(at) == []
