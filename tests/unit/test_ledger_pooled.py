"""A shared ledger behind PgBouncer in transaction mode: each transaction has another session of the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger, OverBudget
from cortexd.ledger.engines import place_of
from cortexd.ledger.engines.postgresql import pooled
from cortexd.ledger.keeping.maintenance import check
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_budgets import limit
from tests.unit.test_ledger_parts import attempt, complete, eventually, request, several
from tests.unit.test_ledger_shared import seen

pytestmark = pytest.mark.slow
# The server's clock can be set back, as it seems to all who ask in a new session of this database.
_CLOCK = """
CREATE TABLE set_back (seconds FLOAT);
CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
  $$ SELECT pg_catalog.clock_timestamp() - make_interval(secs => (SELECT coalesce(sum(seconds), 0) FROM set_back)) $$;
ALTER DATABASE {name} SET search_path = public, pg_catalog;
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()
"""


def sockets(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


def asked(url: str, statement: str) -> list[tuple[object, ...]]:
    """What some other client of the pooler sees, in the session that it is given."""
    at = urlsplit(url)
    with psycopg.connect(host=str(sockets(url)), dbname=at.path.strip("/"), user=at.username, autocommit=True) as other:
        found = other.execute(statement)
        return found.fetchall() if found.description else []


class Between:
    """Passes bytes on between clients and PgBouncer, as a proxy does. While it is `keeping`, it keeps back what a
    client sent and lets that client go, whose connection to PgBouncer stays, and takes no other."""

    def __init__(self, pool: Path) -> None:
        self._pool = pool
        self._kept: list[tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.keeping = False
        self.serving: list[asyncio.Task[None]] = []

    def accept(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        self.serving.append(asyncio.ensure_future(self._serve(client, answers)))

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        if self._kept and self.keeping:
            answers.close()
            return
        reader, writer = await asyncio.open_unix_connection(self._pool / ".s.PGSQL.5432")
        back = asyncio.ensure_future(_pass_on(reader, answers))
        while data := await client.read(65536):
            if self.keeping:
                back.cancel()
                self._kept.append((data, reader, writer))
                answers.close()
                return
            writer.write(data)
        writer.close()
        await back

    async def pass_on(self) -> None:
        """What was kept, and wait for what comes of it."""
        [(data, reader, writer)] = self._kept
        writer.write(data)
        assert await asyncio.wait_for(reader.read(65536), 10)
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def between(directory: Path, url: str) -> AsyncIterator[tuple[Between, LedgerSettings]]:
    proxy = Between(sockets(url))
    async with await asyncio.start_unix_server(proxy.accept, directory / ".s.PGSQL.5432"):
        yield proxy, shared(url.replace(str(sockets(url)), str(directory)))
        await asyncio.gather(*proxy.serving)


async def test_by_transactions(postgresql: Cluster) -> None:
    """Behind PgBouncer, whose clients share fewer connections than they are, all is as without it."""
    limits = [limit(1_000)]
    with postgresql.pooled(postgresql.database()) as url:
        machines = [await Ledger.open(shared(url)) for _ in range(3)]

        async def ask(machine: Ledger) -> int:
            try:
                key = await machine.reserve(request(), 10, limits)
            except OverBudget:
                return 0
            return (await machine.settle(key, "done", [attempt(10)])).cost_nano

        spent = await asyncio.gather(*(ask(machine) for _ in range(50) for machine in machines))
        assert sum(spent) <= 1_000
        assert [(await machine.spent(1000)).day_nano for machine in machines] == [sum(spent)] * 3
        for machine in machines:
            await machine.close()
        assert check(shared(url)) == []


async def test_what_was_seen_is_not_so_any_more(postgresql: Cluster) -> None:
    """A machine whose plan does not hold any more plans anew, there too."""
    limits = [limit(1_000)]
    with postgresql.pooled(postgresql.database()) as url:
        async with several(*(Ledger.open(shared(url)) for _ in range(2))) as (first, second):
            await first.reserve(request(), 1, limits)
            await second.reserve(request(), 900, limits)
            await first.reserve(request(), 50, limits)
            with pytest.raises(OverBudget) as refused:
                await second.reserve(request(), 50, limits)
        assert refused.value.room_nano == 49


async def test_sessions_keep_what_was_prepared(postgresql: Cluster) -> None:
    """For whichever machine has them next, once each; and it is prepared again where somebody has dropped it."""
    statements = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%cortexd_add%' ORDER BY 1"
    with postgresql.pooled(postgresql.database(), connections=1) as url:
        async with several(*(Ledger.open(shared(url)) for _ in range(2))) as (first, second):
            await complete(first)
            prepared = asked(url, statements)
            assert len(prepared) >= 2
            await complete(second)
            assert asked(url, statements) == prepared
            asked(url, "DEALLOCATE ALL")
            await complete(first)
            assert asked(url, statements) == prepared
        assert check(shared(url)) == []


async def test_a_pooler_that_has_lost_count(postgresql: Cluster) -> None:
    """PgBouncer from 1.21 on refuses a name that is brought anew, as where another one stands before or behind it. An
    older one counts nothing: CORTEXD_PGBOUNCER is for another. Each machine meets it once at most."""
    long = 0
    with postgresql.pooled(postgresql.database(), connections=1) as url:
        async with several(*(Ledger.open(shared(url)) for _ in range(2))) as machines:
            for _ in range(2):
                for machine in machines:
                    await complete(machine)
                    asked(url, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
                    began = time.monotonic()
                    await complete(machine)
                    long += time.monotonic() - began > 3
        assert long <= len(machines)
        assert check(shared(url)) == []


def test_each_sees_what_others_have_committed(postgresql: Cluster) -> None:
    """While it waited for a lock, whatever the database's default is; and no wait is without a bound."""
    url = postgresql.database()
    postgresql.ask(f"ALTER DATABASE {urlsplit(url).path[1:]} SET default_transaction_isolation = 'repeatable read'")
    names = ("transaction_isolation", "lock_timeout", "statement_timeout", "enable_nestloop")
    asking = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    with postgresql.pooled(url) as through, place_of(shared(through)).writer().connect() as connection:
        driver = connection.connection.driver_connection
        assert pooled.run(driver, connection.info, asking, ()) == ["read committed", "10s", "20s", "off"]


def test_far_from_a_limit_they_go_together(postgresql: Cluster) -> None:
    """There are no more transactions at once than the server has sessions, whoever stands before it."""
    with postgresql.pooled(postgresql.database()) as url, place_of(shared(url)).writer().connect() as connection:
        sharing = place_of(shared(url)).engine.sharing
        assert sharing is not None
        assert sharing.most_at_once(connection) == int(str(postgresql.ask("SHOW max_connections")[0][0]))


async def test_a_pooler_that_was_started_again(postgresql: Cluster) -> None:
    """Nothing was on its way meanwhile, so nobody waits until nothing comes of it."""
    url = postgresql.database()
    with postgresql.pooled(url) as through:
        machine = await Ledger.open(shared(through))
        await complete(machine)
    with postgresql.pooled(url):
        began = time.monotonic()
        await complete(machine)
        assert time.monotonic() - began < 3
        await machine.close()
    assert check(shared(url)) == []


def test_what_has_failed_is_over(postgresql: Cluster) -> None:
    """Once the database has said so, there is nothing to wait for."""
    with postgresql.pooled(postgresql.database()) as url, place_of(shared(url)).writer().connect() as connection:
        driver = connection.connection.driver_connection
        pooled.guard(connection.info)
        with pytest.raises(psycopg.errors.DivisionByZero):
            pooled.run(driver, connection.info, "SELECT 1 / 0", ())
        began = time.monotonic()
        connection.exec_driver_sql(*pooled.ending(pooled.which(connection.info)))
        assert time.monotonic() - began < 3


def test_says_why_a_session_has_ended(postgresql: Cluster) -> None:
    """As the server said before it went, and not only that it has gone."""
    with postgresql.pooled(postgresql.database()) as url, place_of(shared(url)).writer().connect() as connection:
        driver = connection.connection.driver_connection
        with pytest.raises(psycopg.errors.AdminShutdown):
            pooled.run(driver, connection.info, "SELECT CAST(pg_terminate_backend(pg_backend_pid()) AS TEXT)", ())


@pytest.mark.parametrize("set_back_s", [0, 3600])
async def test_what_comes_late_does_nothing(postgresql: Cluster, tmp_path: Path, set_back_s: int) -> None:
    """A machine lost its connection with a reservation in it, and has found out since that nothing came of that. A
    proxy that passes it on later changes nothing, nor where the server's clock was set meanwhile."""
    with postgresql.pooled(postgresql.database()) as url:
        async with between(tmp_path, url) as (proxy, at):
            machine = await Ledger.open(at)
            postgresql.ask(_CLOCK.format(name=urlsplit(url).path[1:]), urlsplit(url).path[1:])
            await complete(machine)  # its statements are known
            asked(url, f"INSERT INTO set_back VALUES ({set_back_s})")
            proxy.keeping = True
            with pytest.raises(LedgerUnavailable):
                await machine.reserve(request(), 10)
            proxy.keeping = False
            await eventually(lambda: machine.writable)
            await proxy.pass_on()
            assert seen(shared(url), "SELECT state FROM requests") == [("done",)]
            await complete(machine)
            await machine.close()
        assert check(shared(url)) == []
