"""A ledger in an administrator's hands: copied, checked, written out; also while its daemon runs."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from sqlalchemy import Connection, Row, Select, func, select

from cortexd.config.settings import LedgerSettings
from cortexd.domain.people import uid_of
from cortexd.errors import InvalidArgument, LedgerUnavailable
from cortexd.ledger.engines import engine_of, place_of
from cortexd.ledger.keeping.migrate import revision_problem
from cortexd.ledger.keeping.schema import APPEND_ONLY, attempts, hosts, requests
from cortexd.ledger.reading import rollups
from cortexd.ledger.reading.audit import audit

Format = Literal["jsonl", "csv"]


class Stream(Protocol):
    def write(self, text: str, /) -> object: ...


_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_PLAIN = ("request_id", "uid", "user", "task_type", "state", "day", "provider", "model")
FIELDS = (*_PLAIN, "host", "started_at", "finished_at", "attempts", *_TOKENS, "cost_nano_usd", "cost_known", "labels")


def backup(ledger: LedgerSettings, target: Path) -> None:
    """Copy the ledger as it is at one instant into a new file of mode 0600, which needs nothing beside it.

    Raises InvalidArgument where there is something at `target`, AccessDenied, LedgerUnavailable.
    """
    place = place_of(ledger)
    place.reach()
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        raise InvalidArgument(f"{target} exists already; name a file that does not") from None
    except OSError as error:
        raise LedgerUnavailable(f"cannot write {target}: {error.strerror}") from error
    try:
        place.copy(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def begin_anew(ledger: LedgerSettings) -> None:
    """Let the next daemon begin a ledger where the one that was here is gone, which it refuses by itself.

    Raises InvalidArgument where there is one, AccessDenied, LedgerUnavailable.
    """
    place_of(ledger).forget()


def check(ledger: LedgerSettings) -> list[str]:
    """What is wrong with the ledger, a line each; empty where nothing is. Reads all of it."""
    with _reading(ledger) as connection:
        if problem := revision_problem(connection):
            return [problem]
        return [problem for look in _CHECKS for problem in look(connection)]


def export(ledger: LedgerSettings, since: date, until: date, stream: Stream, form: Format) -> int:
    """Write a line per request of these days, both included, oldest first; give their number.

    `jsonl`: an object each, by FIELDS; `csv`: FIELDS as the first line, labels as JSON. Times are UTC.
    """
    with _reading(ledger) as connection:
        if problem := revision_problem(connection):
            raise LedgerUnavailable(f"{place_of(ledger)}: {problem}")
        write = _WRITERS[form](stream)
        number = 0
        found = connection.execution_options(yield_per=1000).execute(_requests(since, until))
        for number, row in enumerate(found, start=1):  # noqa: B007  the last one is the result
            write(_record(row))
        return number


@contextmanager
def _reading(ledger: LedgerSettings) -> Iterator[Connection]:
    place = place_of(ledger)
    place.reach()
    with place.reading() as connection:
        yield connection


def _damage(connection: Connection) -> Iterator[str]:
    return engine_of(connection).damage(connection, APPEND_ONLY)


def _sums(connection: Connection) -> Iterator[str]:
    found, totals = audit(connection), rollups.totals(connection)
    if found.wrong_rows:
        yield f"{found.wrong_rows} requests have a cost that is not the sum of their entries"
    if found.wrong_days:
        yield "the daily sums are not those of the requests that were pruned into them"
    settled = found.requests - found.pending
    if (settled, found.charged_nano) != (totals.total_requests, totals.total_cost_nano):
        yield (
            f"the rollups say {totals.total_requests} requests and {totals.total_cost_nano} nano-dollars, "
            f"the rows {settled} and {found.charged_nano}"
        )
    if wrong := rollups.wrong(connection):
        yield f"{wrong} rollups are not the sums of their requests"


_CHECKS: tuple[Callable[[Connection], Iterator[str]], ...] = (_damage, _sums)


def _requests(since: date, until: date) -> Select[Any]:
    tokens = [func.coalesce(func.sum(attempts.c[name]), 0).label(name) for name in _TOKENS]
    made = requests.outerjoin(attempts, attempts.c.request == requests.c.id)
    return (
        select(
            requests,
            func.coalesce(hosts.c.name, "").label("host_name"),
            func.count(attempts.c.number).label("attempts"),
            *tokens,
        )
        .select_from(made.outerjoin(hosts, hosts.c.number == requests.c.host))
        .where(requests.c.day.between(since.isoformat(), until.isoformat()))
        .group_by(requests.c.id, hosts.c.number)
        .order_by(requests.c.id)
    )


def _record(row: Row[Any]) -> dict[str, Any]:
    values = row._mapping
    given = {
        "started_at": _instant(row.started_at),
        "finished_at": _instant(row.finished_at),
        "cost_nano_usd": row.cost_nano,
        "labels": json.loads(row.labels),
        "uid": uid_of(row.uid),
        "host": row.host_name,
        **{name: int(values[name]) for name in _TOKENS},
    }
    return {name: given[name] if name in given else values[name] for name in FIELDS}


def _instant(moment: datetime | None) -> str:
    return "" if moment is None else moment.replace(tzinfo=UTC).isoformat()


Write = Callable[[Mapping[str, Any]], object]


def _json_lines(stream: Stream) -> Write:
    return lambda record: stream.write(json.dumps(record) + "\n")


def _csv_lines(stream: Stream) -> Write:
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()
    return lambda record: writer.writerow({**record, "labels": json.dumps(record["labels"])})


_WRITERS: dict[Format, Callable[[Stream], Write]] = {"jsonl": _json_lines, "csv": _csv_lines}
