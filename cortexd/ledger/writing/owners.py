"""Whose a uid is: user databases give a uid that is free to somebody else, who must get nothing of the former one's."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, String, cast, delete, func, insert, select, update

from cortexd.domain.people import host_of
from cortexd.errors import AccessDenied
from cortexd.ledger.engines import engine_of
from cortexd.ledger.keeping.schema import own_caps, owners, preferences, requests, rollups, sums
from cortexd.ledger.reading import queries, statistics


def note(connection: Connection, uid: int, user: str) -> None:
    """`uid` is called `user`; all that the ledger has of it is his. Raises AccessDenied where it is another's on the
    other machines."""
    _refuse_strangers(connection, uid, user)
    _replace(connection, uid, user, queries.taken_over_seq(connection, uid))


def take_over(connection: Connection, uid: int, user: str) -> None:
    """`uid` is `user`'s from now on: sums and statistics begin anew, preferences and cap go, request ids are given up.

    The rows stay, under the former name, for reports over all users. Raises AccessDenied where the uid is that of other
    machines, too.
    """
    if _of_all_machines(connection, uid):
        raise _another(uid, queries.owner(connection, uid) or str(uid), user)
    _replace(connection, uid, user, queries.last_seq(connection))
    _keep_apart(connection, uid)
    statistics.reset(connection, uid)
    for kept in (preferences, own_caps):
        connection.execute(delete(kept).where(kept.c.uid == uid))
    if engine_of(connection).sharing:  # a budget that machines share begins anew with what is reserved still
        connection.execute(update(sums).where(sums.c.uid == uid).values(spent=0, unknown=0))
    given_up = requests.c.request_id + "#" + cast(requests.c.id, String)
    connection.execute(update(requests).where(requests.c.uid == uid).values(request_id=given_up))


def _keep_apart(connection: Connection, uid: int) -> None:
    """What the uid's user has spent is no longer its new user's."""
    own = rollups.c.uid == uid
    last = connection.scalar(select(func.max(rollups.c.former)).where(own)) or 0
    connection.execute(update(rollups).where(own, rollups.c.former == 0).values(former=last + 1))


def _refuse_strangers(connection: Connection, uid: int, user: str) -> None:
    """Machines that know a uid by two names would begin its budgets anew in turns."""
    if _of_all_machines(connection, uid) and (known := queries.owner(connection, uid)) not in (None, str(uid), user):
        raise _another(uid, str(known), user)


def _of_all_machines(connection: Connection, uid: int) -> bool:
    return engine_of(connection).sharing is not None and not host_of(uid)


def _another(uid: int, there: str, here: str) -> AccessDenied:
    return AccessDenied(
        f"In the ledger that this machine shares uid {uid} is {there}, and here it is {here}. An administrator gives "
        "everybody the same uid on every machine, or sets [ledger] users to host on all of them."
    )


def _replace(connection: Connection, uid: int, user: str, seq: int) -> None:
    connection.execute(delete(owners).where(owners.c.uid == uid))
    since = datetime.now(UTC).replace(tzinfo=None)
    connection.execute(insert(owners), {"uid": uid, "user": user, "seq": seq, "since": since})
