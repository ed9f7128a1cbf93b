"""What PostgreSQL's errors mean to an operator, by their five letters: https://www.postgresql.org/docs/15/errcodes-appendix.html."""

from __future__ import annotations

from sqlalchemy import ExceptionContext
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError

_GONE = "the database cannot be reached"
_REFUSES = "the database refuses the connection: "
_WANTS_MORE = (
    "the database wants a password; put it into /etc/cortexd/credentials/ledger_password, or name its file with "
    "[ledger] password_file (for cortexctl fleet settings --role, with --password-file)"
)
# What libpq says where TLS ends a connection, and what an operator does then.
_TLS_ADVICE = {
    "certificate verify failed": "name the file of the authority that signed it: sslrootcert in [ledger] url",
    "does not match host name": "use the name that is in its certificate in [ledger] url",
    "server does not support SSL": "switch TLS on there: ssl = on in postgresql.conf",
}
_FATAL = "FATAL:"  # what a server says, and no network
_LONGEST_REASON = 200
# Codes, or the classes that they begin with, after which no other write would succeed either.
_UNWRITABLE = {
    "57P01": "the database is shutting down",
    "57P02": "the database has crashed and is starting again",
    "57P03": "the database is starting or stopping",
    "57P05": "the database has ended an idle connection",
    "25006": "the database is read-only: it is a standby",
    "25P03": "the database has ended a transaction that took too long",
    "25P04": "the database has ended a transaction that took too long",
    "28": "the database refuses this user; look at its password and pg_hba.conf",
    "3D000": "there is no such database",
    "42501": "the database's user may not do this",
    "53100": "the database's disk is full",
    "53200": "the database is out of memory",
    "53300": "the database has too many connections",
    "55P03": "another machine keeps the ledger locked",
    "57014": "the database has not answered in time",
    "58": "the database's disk failed",
    "XX001": "the database is damaged",
    "XX002": "an index of the database is damaged",
}
_LETS_NOBODY_IN = ("28", "3D000", "42501")
_STAYS = (*_LETS_NOBODY_IN, "XX001", "XX002")
_DAMAGED = ("XX001", "XX002")
_AGAIN = ("40001", "40P01")
_DRIVERS_OWN = (OperationalError, InterfaceError, InternalError)
LOST = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04")


def code(error: BaseException) -> str | None:
    """Its SQLSTATE; "" where the driver alone failed, which is a matter of the connection: it is gone, or answers what
    was not asked; None for other errors."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    found: str | None = getattr(cause, "sqlstate", None)
    if found is None and (type(error) is DatabaseError or isinstance(error, _DRIVERS_OWN)):
        return ""
    return found


def hide_values(error: BaseException) -> None:
    """Leave of the text of a server's error its first line and its code: what comes after that may quote a row."""
    if found := getattr(error, "sqlstate", None):
        primary, *_ = str(error).splitlines() or [""]
        error.args = (f"{primary} ({found})",)


def hide_values_of(context: ExceptionContext) -> None:
    """The same where SQLAlchemy has the error, which it has quoted already."""
    hide_values(context.original_exception)
    if (found := context.sqlalchemy_exception) is not None and code(found):
        kind = type(context.original_exception)
        found.args = (f"({kind.__module__}.{kind.__name__}) {context.original_exception}",)


def reason(error: BaseException) -> str | None:
    """Why nothing can be written or read for now; None where `error` concerns one statement only."""
    found = code(error)
    if found is None:
        return None
    if not found or found.startswith("08"):  # a pooler's own words have no other code
        return _gone(error)
    return _UNWRITABLE.get(found) or _UNWRITABLE.get(found[:2])


def _gone(error: BaseException) -> str:
    """With libpq's own reason, such as a certificate that nobody vouches for; it names no password."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if getattr(getattr(cause, "pgconn", None), "needs_password", False):
        return _WANTS_MORE
    if isinstance(error, InternalError):  # what the driver makes of answers to nothing
        return _GONE
    first, *_ = str(cause).splitlines() or [""]
    why = first.rpartition(" failed: ")[2].strip()[:_LONGEST_REASON]
    if why.startswith(_FATAL):
        return f"{_REFUSES}{why.removeprefix(_FATAL).strip()}"
    advice = next((f"; {step}" for said, step in _TLS_ADVICE.items() if said in why), "")
    return f"the database cannot be reached: {why}{advice}" if why else _GONE


def is_refusal(error: BaseException) -> bool:
    """Whether the server has answered that this user may not connect, or do that."""
    found = code(error)
    return (reason(error) or "").startswith((_REFUSES, _WANTS_MORE)) or (found or "").startswith(_LETS_NOBODY_IN)


def may_pass(error: BaseException) -> bool:
    found = code(error)
    return reason(error) is not None and not (found or "").startswith(_STAYS)


def is_damage(error: BaseException) -> bool:
    return (code(error) or "").startswith(_DAMAGED)


def is_conflict(error: BaseException) -> bool:
    return (code(error) or "").startswith(_AGAIN)


def is_lost(error: BaseException) -> bool:
    found = code(error)
    return found is not None and (not found or found.startswith(LOST))
