"""Whose a moved row is: machines get their numbers in the new ledger, and people those of their machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from cortexd.domain.people import host_of, person, uid_of
from cortexd.errors import AccessDenied, InvalidArgument
from cortexd.ledger.engines import Sharing
from cortexd.ledger.keeping import hosts as known_hosts
from cortexd.ledger.keeping.hosts import NOT_KNOWN, number_of
from cortexd.ledger.keeping.machine import Machine
from cortexd.ledger.keeping.schema import hosts, owners

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class People:
    """`numbers`: of machines, there -> here. `by_host`: whether each machine has users of its own here."""

    numbers: Mapping[int, int]
    by_host: bool

    def host(self, number: int) -> int:
        return self.numbers.get(number, NOT_KNOWN)

    def person(self, there: int) -> int:
        """A uid of no machine is, where each has its own, of the one whose file it was."""
        return person(uid_of(there), self.host(host_of(there))) if self.by_host else there


def introduced(source: Connection, target: Connection, sharing: Sharing, users: str) -> People:
    """Let the new ledger know the machines of the old one, and commit that.

    Raises InvalidArgument where the old one has users by machine and the new one has not, AccessDenied where a uid
    would be two people's.
    """
    target.begin()
    sharing.enter(target, alone=True)
    numbers = {}
    for host in known_hosts.known(source):
        machine = Machine(host.id, host.name, host.version, host.time_zone, host.users)
        seen = {"first_seen": host.first_seen.replace(tzinfo=None), "last_seen": host.last_seen.replace(tzinfo=None)}
        numbers[host.number] = number = number_of(target, machine, seen["last_seen"])
        for name, earlier in (("first_seen", True), ("last_seen", False)):
            column = hosts.c[name]
            outside = column > seen[name] if earlier else column < seen[name]
            target.execute(update(hosts).where(hosts.c.number == number, outside).values({name: seen[name]}))
    target.commit()
    people = People(numbers, users == "host")
    refuse_strangers(source, target, people)
    target.rollback()
    return people


def refuse_strangers(source: Connection, target: Connection, people: People) -> None:
    """Raise AccessDenied where a uid would be two people's, in the open transactions."""
    there, here = (dict(map(tuple, each.execute(select(owners.c.uid, owners.c.user)))) for each in (source, target))
    if not people.by_host and any(map(host_of, there)):
        raise InvalidArgument('this ledger has users by machine; set [ledger] users = "host" to move it in')
    differ = [
        f"uid {uid_of(uid)} is {user} in it, and {known}"
        for uid, user in sorted(there.items())
        if (known := here.get(people.person(uid), user)) != user and str(uid_of(uid)) not in (known, user)
    ]
    if differ:
        more = f", and {len(differ) - _MOST_NAMED} more" if len(differ) > _MOST_NAMED else ""
        raise AccessDenied(
            f"uids are other people's in the ledger that it would go into: {'; '.join(differ[:_MOST_NAMED])}{more}. "
            'Give everybody the same uid on every machine, or set [ledger] users = "host" on all of them'
        )
