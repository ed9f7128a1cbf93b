"""A shared ledger that is restored from a backup while machines go on: nobody books under another's number."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.errors import CortexError
from cortexd.ledger import Ledger
from cortexd.ledger.keeping.maintenance import check
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import MACHINE, complete
from tests.unit.test_ledger_shared import seen

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
