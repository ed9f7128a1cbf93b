"""What a ledger tells of the machines that write it: who they are, what is under way, where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from cortexd.config.settings import LedgerSettings
from cortexd.domain.fleet import Refusal
from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping import hosts
from cortexd.ledger.keeping.hosts import Host
from cortexd.ledger.keeping.migrate import revision_problem
from cortexd.ledger.keeping.schema import PENDING, requests
from cortexd.ledger.reading import usage as sums
from cortexd.ledger.reading.queries import exact, exact_sum
from cortexd.ledger.records import UsageQuery, UsageRow


@dataclass(frozen=True, slots=True)
class HostState:
    """`under_way`: its open requests; `today_nano`: what it has spent on the fleet's day; `silent`: it has not written
    for longer than a running daemon is silent; `behind`: in what it is not what the newest machine is (version, schema,
    settings); `refused`: the revision of the fleet's settings that it cannot take."""

    host: Host
    under_way: int
    requests_today: int
    today_nano: int
    silent: bool
    behind: tuple[str, ...] = ()
    refused: Refusal | None = None


@dataclass(frozen=True, slots=True)
class FleetState:
    """`shared`: whether several machines may write it. `day`: in the fleet's time zone. `differences`: a sentence
    for each setting that machines disagree on."""

    where: str
    shared: bool
    day: str
    hosts: Sequence[HostState]
    differences: Sequence[str] = field(default_factory=tuple)

    @property
    def under_way(self) -> int:
        return sum(each.under_way for each in self.hosts)

    @property
    def today_nano(self) -> int:
        return sum(each.today_nano for each in self.hosts)


def look(ledger: LedgerSettings) -> FleetState:
    """Raises AccessDenied, LedgerUnavailable."""
    with _reading(ledger) as connection:
        return _look(connection, ledger)


def usage(ledger: LedgerSettings, query: UsageQuery) -> list[UsageRow]:
    """As Ledger.usage. Raises AccessDenied, LedgerUnavailable, TooLarge."""
    by_person = ledger.users == "host" and "uid" in query.group_by
    groups = (*query.group_by, "host") if by_person else query.group_by
    with _reading(ledger) as connection:
        return sums.read(connection, replace(query, group_by=groups))


def today(ledger: LedgerSettings) -> date:
    """In the fleet's time zone."""
    return datetime.now(ZoneInfo(ledger.time_zone) if ledger.time_zone else None).date()


@contextmanager
def _reading(ledger: LedgerSettings) -> Iterator[Connection]:
    place = place_of(ledger)
    place.reach()
    with place.reading() as connection:
        if problem := revision_problem(connection):
            raise LedgerUnavailable(f"{place}: {problem}")
        yield connection


def _look(connection: Connection, ledger: LedgerSettings) -> FleetState:
    now = datetime.now(UTC)
    day = today(ledger).isoformat()
    known = hosts.known(connection)
    under_way = Counter(dict(_rows(connection, select(requests.c.host, func.count()).where(PENDING))))
    spent = select(requests.c.host, func.count(), *exact_sum(requests.c.cost_nano)).where(requests.c.day == day)
    today_by_host = {host: (count, exact(high, low)) for host, count, high, low in _rows(connection, spent)}
    shared = place_of(ledger).engine.sharing is not None
    newest = _newest(known)
    refused = hosts.refusals(connection) if shared else {}
    silent_before = now - timedelta(seconds=ledger.lease_s)
    states = [
        HostState(
            host,
            under_way[host.number],
            *today_by_host.get(host.number, (0, 0)),
            silent=shared and host.last_seen < silent_before,
            behind=_behind(host, newest),
            refused=refused.get(host.number),
        )
        for host in known
    ]
    running = [state.host for state in states if not state.silent]
    return FleetState(str(place_of(ledger)), shared, day, states, tuple(_differences(running or known)))


def _rows(connection: Connection, sums: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(sums.group_by(requests.c.host))]


_ORDERED: Mapping[str, Callable[[Host], tuple[Any, ...]]] = {
    "version": lambda host: _in_order(host.version),
    "schema": lambda host: _in_order(host.schema),
    "settings": lambda host: _in_order(host.settings),
}


def _newest(known: Iterable[Host]) -> Mapping[str, tuple[Any, ...]]:
    every = list(known)
    return {name: max((of(host) for host in every), default=()) for name, of in _ORDERED.items()}


def _behind(host: Host, newest: Mapping[str, tuple[Any, ...]]) -> tuple[str, ...]:
    return tuple(name for name, of in _ORDERED.items() if of(host) < newest[name])


def _in_order(text: str) -> tuple[Any, ...]:
    """1.10 comes after 1.9."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in text.split(".") if part)


_AGREED: Mapping[str, Callable[[Host], str]] = {
    "time_zone": lambda host: host.time_zone,
    "users": lambda host: host.users,
}


def _differences(known: Sequence[Host]) -> Iterator[str]:
    for name, of in _AGREED.items():
        said: dict[str, list[str]] = {}
        for host in known:
            said.setdefault(of(host), []).append(host.name)
        if len(said) > 1:
            each = "; ".join(f"{value} on {_some(names)}" for value, names in sorted(said.items()))
            yield f"Machines differ in [ledger] {name}: {each}. Set the same on all of them."


def _some(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(sorted(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
