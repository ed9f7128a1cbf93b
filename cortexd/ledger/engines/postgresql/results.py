"""What libpq gives for a statement, without the driver's own work around it, which takes as long as the database's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cortexd.ledger.engines.postgresql.adding import OTHERWISE
from cortexd.ledger.engines.sharing import Otherwise


def row(wire: Any, result: Any) -> Sequence[str]:
    """The one that it gives. Raises Otherwise."""
    if not result.nfields:
        raise error(wire, result)
    values = (result.get_value(0, column) for column in range(result.nfields))
    return [(value or b"{}").decode() for value in values]


def failed(result: Any) -> bool:
    from psycopg.pq import ExecStatus

    return result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


def state(result: Any) -> str:
    """ "" where nothing failed."""
    from psycopg.pq import DiagnosticField

    return (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()


def error(wire: Any, result: Any) -> Exception:
    from psycopg import OperationalError, errors, pq

    which = state(result)
    if which == OTHERWISE:
        return Otherwise()
    if not which:
        return OperationalError(wire.get_error_message())
    try:
        kind = errors.lookup(which)
    except KeyError:
        kind = errors.DatabaseError
    message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
    return kind(message)
