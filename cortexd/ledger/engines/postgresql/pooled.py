"""A connection behind a pooler, which gives each transaction whichever session of the database is free.

What is prepared stays with the session, for whoever has it next, so its name is made of its text: under a name is one
statement, whoever prepared it. PgBouncer from 1.21 on keeps count of that by itself.
https://www.pgbouncer.org/config.html#max_prepared_statements
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, MutableMapping, Sequence, Set
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any

from cortexd.ledger.engines.postgresql import results
from cortexd.ledger.engines.postgresql.errors import LOST

STATEMENT, LOCK = "20s", "10s"
BOUNDS = f"set_config('statement_timeout', '{STATEMENT}', true), set_config('lock_timeout', '{LOCK}', true)"
Info = MutableMapping[Any, Any]
_Step = tuple[str, Callable[[], None]]
Guard = tuple[str, list[str]]  # of what `write` counts as written; its values

_PLACE = """
(SELECT oid FROM pg_database WHERE datname = current_database()) || ' ' ||
EXTRACT(EPOCH FROM pg_postmaster_start_time())
""".strip()
_CLOCK = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS FLOAT)"
_MOST = "CAST(current_setting('max_connections') AS INTEGER)"  # of one server, whatever stands before it
LOOK = f"SELECT {_PLACE}, {_CLOCK}, {_MOST}"
_SENT_S = 5
# What `write` counts as written, unless it goes to another database or begins too late, or the clock was set. It has
# its tables by then: who has them for himself (sharing.py) comes before all of it or after.
_GUARD = f"CASE WHEN {_PLACE} = {{}} AND abs({_CLOCK} - CAST({{}} AS FLOAT)) < {_SENT_S} THEN {{written}} ELSE -1 END"
# For as long as the guard may let it pass; not for as long as a clock was set back since.
_END = f"""
SELECT pg_sleep(%(sent)s + {_SENT_S} - {_CLOCK}) WHERE {_PLACE} = %(place)s AND abs({_CLOCK} - %(sent)s) < {_SENT_S}
"""
_MOST_PREPARED = 128
_UNNAMED_S = 600.0
_TRIES = 5
_THERE, _DROPPED = "42P05", "26000"
_KNOWN = "cortexd pooled"
_BEGIN, _COMMIT = "BEGIN ISOLATION LEVEL READ COMMITTED", "COMMIT"
_PLANNED = "set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true)"  # as session.py has it
_BOUND = f"SELECT {BOUNDS}, {_PLANNED}"


class Naming:
    """Of all connections, and from when on (by time.monotonic): poolers one before the other lose count of names, and
    refuse those for ever."""

    since = 0.0


class _Known:
    """Of the connection: `place` is the database's, `ahead_s` its clock's before this machine's, `sent` when the
    transaction went out, by that clock, that was not answered."""

    def __init__(self, naming: Naming) -> None:
        self.naming = naming
        self.place = ""
        self.ahead_s = 0.0
        self.most = 0
        self.sent = 0.0
        self.prepared: set[str] = set()

    def look(self, place: str, clock: float, most: int) -> None:
        self.place, self.most = place, most
        self.ahead_s = clock - time.monotonic()


def begin(driver: Any, info: Info, naming: Naming) -> None:
    info[_KNOWN] = known = _Known(naming)
    known.look(*driver.execute(LOOK).fetchone())


def is_pooled(info: Info) -> bool:
    return _KNOWN in info


def looked(info: Info, place: str, clock: float, most: int) -> None:
    """What LOOK gives. Raise OperationalError where it is not the place that a pooler's client has found at first. Who
    has a session would have lost that; a pooler keeps its clients while a database is restored, or another server takes
    over."""
    from psycopg import OperationalError

    known: _Known = info[_KNOWN]
    if place != known.place:
        raise OperationalError("behind the pooler is another database, or its server has started anew")
    known.look(place, clock, most)


def most_at_once(info: Info) -> int:
    most: int = info[_KNOWN].most
    return most


def guard(info: Info) -> Guard:
    known: _Known = info[_KNOWN]
    known.sent = time.monotonic() + known.ahead_s
    return _GUARD, [known.place, str(known.sent)]


def which(info: Info) -> Any:
    """By which `ending` knows what was sent there."""
    return info[_KNOWN]


def ending(which: Any) -> tuple[str, dict[str, Any]]:
    """What waits until nothing comes of it any more: a pooler may pass on what a client has left with it."""
    return _END, {"sent": which.sent, "place": which.place}


def run(driver: Any, info: Info, statement: str, values: Sequence[bytes | None]) -> Sequence[str]:
    """The one row that it gives, as a transaction, in one round trip. Raises Otherwise."""
    from psycopg.errors import ProtocolViolation

    known: _Known = info[_KNOWN]
    try:
        return _run(driver, known, statement, values)
    except ProtocolViolation:  # PgBouncer has the same code for all that it refuses
        known.naming.since = time.monotonic() + _UNNAMED_S
        raise


def _run(driver: Any, known: _Known, statement: str, values: Sequence[bytes | None]) -> Sequence[str]:
    wire, prepared = driver.pgconn, known.prepared
    sent, known.sent = known.sent, 0.0
    _look_whether_there(wire)
    missing = {_BOUND, statement} - prepared
    named = time.monotonic() >= known.naming.since and len(prepared) + len(missing) <= _MOST_PREPARED
    for left in reversed(range(_TRIES)):
        named = named and left > 0
        work = [*_steps(wire, _BOUND, (), missing, named), *_steps(wire, statement, values, missing, named)]
        known.sent = sent
        *done, last = driver.wait(_sent(wire, [_plain(wire, _BEGIN), *work, _plain(wire, _COMMIT)]))
        known.sent = 0.0
        failed = next((each for each in (*done, last) if results.failed(each[1])), None)
        if failed is None:
            prepared.update((_BOUND, statement) if named else ())
            return results.row(wire, done[-1][1])
        driver.rollback()
        text, result = failed
        state = results.state(result)
        if named and state == _DROPPED:  # by a session where it never was, nor what is always prepared after it
            missing.update((text, statement))
        elif named and state == _THERE:
            missing.discard(text)
        else:
            break
    raise results.error(wire, result)


def _look_whether_there(wire: Any) -> None:
    """Raise OperationalError where the pooler has gone meanwhile: of what was never sent nobody waits for an end."""
    wire.consume_input()
    wire.consume_input()  # the first may have read why


def _plain(wire: Any, text: str, values: Sequence[bytes | None] = ()) -> _Step:
    return text, partial(wire.send_query_params, text.encode(), values)


def _steps(wire: Any, text: str, values: Sequence[bytes | None], missing: Set[str], named: bool) -> Iterator[_Step]:
    if not named:
        yield _plain(wire, text, values)
        return
    statement = text.encode()
    if text in missing:
        yield text, partial(wire.send_prepare, _name(statement), statement)
    yield text, partial(wire.send_query_prepared, _name(statement), values)


@lru_cache(_MOST_PREPARED)
def _name(statement: bytes) -> bytes:
    return b"cortexd_" + blake2b(statement, digest_size=20).hexdigest().encode()


def _sent(wire: Any, steps: Sequence[_Step]) -> Generator[Any, Any, list[tuple[str, Any]]]:
    """Each one's text and result, all sent at once; what comes after one that failed is not done. Raise what the other
    end says of it where it goes away."""
    from psycopg import OperationalError, generators

    found = []
    try:
        wire.enter_pipeline_mode()
        for _, send in steps:
            send()
        wire.pipeline_sync()
        yield from generators.send(wire)
        for text, _ in steps:
            while (result := (yield from generators.fetch(wire))) is not None:
                found.append((text, result))
        yield from generators.fetch(wire)  # that all is done
        wire.exit_pipeline_mode()
    except OperationalError as error:
        ends = [result for _, result in found if results.state(result).startswith(LOST)]
        if not ends:
            raise
        raise results.error(wire, ends[0]) from error
    return found
