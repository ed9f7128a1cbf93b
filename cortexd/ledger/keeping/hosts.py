"""The machines of a ledger: each has a number, from when it first opens it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, update

from cortexd.domain.fleet import Refusal
from cortexd.domain.people import person
from cortexd.ledger.engines import engine_of
from cortexd.ledger.keeping import marks, meta_rows
from cortexd.ledger.keeping.machine import Machine
from cortexd.ledger.keeping.revisions import HEAD
from cortexd.ledger.keeping.schema import hosts, owners, requests, rollups

NOT_KNOWN = 0  # in a ledger that several machines write
_FIRST = 1
_REFUSED = "settings refused by "  # and the machine's number: a note of the ledger
_LATELY = timedelta(hours=1)
_IN_COMMON = ("time_zone", "users")
_log = logging.getLogger("cortexd.ledger")


@dataclass(frozen=True, slots=True)
class Host:
    """A machine as the ledger knows it. Times are aware; `settings`: the revision of the fleet's that it runs."""

    number: int
    id: str
    name: str
    first_seen: datetime
    last_seen: datetime
    version: str
    schema: str
    settings: str
    time_zone: str
    users: str


def known(connection: Connection) -> list[Host]:
    """All of them, who was seen last first."""
    found = connection.execute(select(hosts).order_by(hosts.c.last_seen.desc(), hosts.c.number))
    return [
        Host(row.number, row.id, row.name, _aware(row.first_seen), _aware(row.last_seen), *row[5:]) for row in found
    ]


def enter(connection: Connection, machine: Machine, now: datetime) -> int:
    """Note, and commit, that this machine opens the ledger now (UTC, without a zone); its number."""
    if sharing := engine_of(connection).sharing:
        sharing.enter(connection, alone=True)
    marks.own_id(connection)
    for remark in _remarks(connection, machine, now - _LATELY):
        _log.warning(remark)
    number = number_of(connection, machine, now)
    connection.execute(update(hosts).where(hosts.c.number == number).values(last_seen=now, **_said(machine)))
    connection.commit()
    return number


def number_of(connection: Connection, machine: Machine, now: datetime) -> int:
    """That of a machine; one that is not known yet gets the next. Alone in the open transaction."""
    number = connection.scalar(select(hosts.c.number).where(hosts.c.id == machine.id))
    if number is None:
        number = _free_number(connection)
        seen = {"first_seen": now, "last_seen": now}
        connection.execute(
            insert(hosts), {"number": number, "id": machine.id, **seen, "settings": "", **_said(machine)}
        )
    return int(number)


def id_of(connection: Connection, number: int) -> str | None:
    """Of the machine that has this number."""
    return connection.scalar(select(hosts.c.id).where(hosts.c.number == number))


def seen(connection: Connection, number: int, machine: str, now: datetime) -> bool:
    """That machine (its id) writes here still; False where the number is not its own."""
    its = (hosts.c.number == number) & (hosts.c.id == machine)
    return connection.execute(update(hosts).where(its).values(last_seen=now)).rowcount == 1


def run_settings(connection: Connection, number: int, revision: str, refused: Refusal | None) -> None:
    """That machine runs this revision of the fleet's settings, and cannot take that other one."""
    connection.execute(update(hosts).where(hosts.c.number == number).values(settings=revision))
    if refused is None:
        meta_rows.forget(connection, f"{_REFUSED}{number}")
    else:
        meta_rows.note(connection, f"{_REFUSED}{number}", f"{refused.revision} {refused.reason}")


def refusals(connection: Connection) -> dict[int, Refusal]:
    """By the machine's number, the revision of the fleet's settings that it cannot take."""
    noted = meta_rows.noted_under(connection, _REFUSED)
    parted = {number: value.partition(" ") for number, value in noted.items()}
    return {int(number): Refusal(int(revision), reason) for number, (revision, _, reason) in parted.items()}


def long_gone(connection: Connection, before: datetime) -> list[int]:
    """Machines that were seen last before then (aware) and of which nothing else is left."""
    moment = before.astimezone(UTC).replace(tzinfo=None)
    old = list(connection.scalars(select(hosts.c.number).where(hosts.c.last_seen < moment)))
    return [number for number in old if not _mentioned(connection, number)]


def forget(connection: Connection, numbers: Iterable[int]) -> None:
    gone = list(numbers)
    connection.execute(delete(hosts).where(hosts.c.number.in_(gone)))
    for number in gone:
        meta_rows.forget(connection, f"{_REFUSED}{number}")


def _remarks(connection: Connection, machine: Machine, lately: datetime) -> Iterator[str]:
    """What is to be seen to among machines that wrote lately."""
    for host in known(connection):
        if host.last_seen.replace(tzinfo=None) < lately:
            continue
        if host.id == machine.id:
            if host.name != machine.name:
                yield (
                    f"the ledger knows this machine as {host.name}: it was renamed to {machine.name}, or both have the "
                    "same /etc/machine-id. Then give one a new one, with systemd-machine-id-setup"
                )
            continue
        for name in _IN_COMMON:
            own, other = getattr(machine, name), getattr(host, name)
            if own != other:
                yield (
                    f"[ledger] {name} is {own} here and {other} on {host.name}, which shares the ledger; set the same "
                    "on all machines"
                )


def _mentioned(connection: Connection, number: int) -> bool:
    """In what there is of it, or of users of its own: the next machine that got its number would have them."""
    found = [select(table.c.host).where(table.c.host == number).limit(1) for table in (rollups, requests)]
    if number != NOT_KNOWN:
        own = owners.c.uid.between(person(0, number), person(0, number + 1) - 1)
        found.append(select(owners.c.uid).where(own).limit(1))
    return any(connection.scalar(each) is not None for each in found)


def _free_number(connection: Connection) -> int:
    """0 in a file that is new: then it says nothing of the machine, and takes no room in any row."""
    last = connection.scalar(select(func.max(hosts.c.number)))
    shared = engine_of(connection).sharing is not None
    return (_FIRST if shared else NOT_KNOWN) if last is None else max(int(last) + 1, _FIRST)


def _said(machine: Machine) -> dict[str, str]:
    return {
        "name": machine.name,
        "version": machine.version,
        "schema": HEAD,
        "time_zone": machine.time_zone,
        "users": machine.users,
    }


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
