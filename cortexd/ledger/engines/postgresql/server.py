"""The database of a shared ledger: reached within bounds, for writing and for reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import NullPool, QueuePool, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from cortexd.config.ledger_address import with_defaults
from cortexd.config.settings import Secret
from cortexd.errors import ConfigError, InvalidArgument
from cortexd.ledger.engines.engine import Engine, Place
from cortexd.ledger.engines.postgresql.errors import hide_values_of
from cortexd.ledger.engines.postgresql.pooled import Naming
from cortexd.ledger.engines.postgresql.session import begin_where_alone

_WAIT_S = 5.0
# What libpq waits for: a connection, an answer to what was sent, a sign of a silent peer.
_BOUNDS: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


class PostgresqlServer(Place):
    """Several daemons may have it at once. Nothing of a session is relied on beyond its transactions."""

    def __init__(self, engine: Engine, url: str, password: Secret | None) -> None:
        self.engine = engine
        self._url = url
        self._password = password

    def __str__(self) -> str:
        return self._url

    @contextmanager
    def claim(self) -> Iterator[None]:
        yield

    @contextmanager
    def left_alone(self) -> Iterator[None]:
        yield

    def begun(self) -> None:
        """The database is what remembers."""

    def refuse_to_begin_anew(self) -> None:
        """An empty database is an operator's own doing."""

    def forget(self) -> None:
        raise InvalidArgument(f"{self} is a database of its own; an administrator empties it with the database's tools")

    def writer(self) -> sqlalchemy.Engine:
        # Sums are read once their locks are held: a database whose default is stricter would show those of before.
        engine = self._pool(poolclass=NullPool, isolation_level="READ COMMITTED")
        event.listen(engine, "connect", partial(begin_where_alone, Naming()))
        return engine

    def readers(self, connections: int = 1) -> sqlalchemy.Engine:
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        sizes = {"pool_size": connections, "max_overflow": 0, "pool_timeout": _WAIT_S, "pool_pre_ping": True}
        return self._pool(poolclass=QueuePool, execution_options=options, **sizes)

    def reach(self) -> None:
        pool = self.readers()
        try:
            with pool.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            raise self.failure(f"cannot read {self}", error) from error
        finally:
            pool.dispose()

    def copy(self, target: Path) -> None:  # noqa: ARG002
        raise InvalidArgument(f"{self} is a database of its own; copy it with pg_dump")

    def _pool(self, **options: Any) -> sqlalchemy.Engine:
        url = make_url(with_defaults(self._url))
        if self._password is not None:
            url = url.set(password=self._password.reveal())
        # Prepared statements are a session's: PgBouncer before 1.21 mixes those of its clients up.
        given = {**_BOUNDS, "prepare_threshold": None}
        try:
            engine = create_engine(url, connect_args=given, hide_parameters=True, **options)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"[ledger] url: Python's package {error.name} is missing; install Debian's package cortexd-postgresql, "
                "or cortexd[postgresql] where pip installed cortexd"
            ) from error
        event.listen(engine, "handle_error", hide_values_of)
        return engine
