"""A shared ledger's database that does not let cortexd in: an operator learns why."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from cortexd.config.settings import LedgerSettings, Secret
from cortexd.errors import AccessDenied, LedgerUnavailable
from cortexd.ledger.engines import place_of
from cortexd.ledger.engines.postgresql import errors

_GIVE_A_PASSWORD = b"R\0\0\0\x08\0\0\0\x03"
_WRONG = b"SFATAL\0VFATAL\0C28P01\0Mwrong password\0\0"
_REFUSED = b"E" + (len(_WRONG) + 4).to_bytes(4, "big") + _WRONG
_READY = b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """The address of what speaks PostgreSQL's protocol just so far: an answer to each message."""

    def serve() -> None:
        taken, _ = listening.accept()
        with taken:
            for answer in answers:
                if taken.recv(4096):
                    taken.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        server = Thread(target=serve)
        server.start()
        yield f"postgresql+psycopg://cortexd@127.0.0.1:{listening.getsockname()[1]}/cortexd?sslmode=disable"
        server.join(20)


def test_says_what_the_driver_says() -> None:
    """Not only that it cannot be reached, and never with a password."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        url = f"postgresql+psycopg://cortexd@127.0.0.1:{taken.getsockname()[1]}/cortexd"
        with pytest.raises(LedgerUnavailable) as refused:
            place_of(LedgerSettings(url=url, password=Secret("hunter2"))).reach()
    assert str(refused.value).endswith("the database cannot be reached: Connection refused")
    assert "hunter2" not in str(refused.value)


def test_says_that_a_password_is_wanted() -> None:
    """And where it belongs."""
    with answering(_GIVE_A_PASSWORD) as url, pytest.raises(AccessDenied, match="ledger_password"):
        place_of(LedgerSettings(url=url)).reach()


def test_says_that_the_database_refuses() -> None:
    """A server that is there and says no is not taken for one that cannot be reached."""
    with answering(_GIVE_A_PASSWORD, _REFUSED) as url, pytest.raises(AccessDenied) as refused:
        place_of(LedgerSettings(url=url, password=Secret("hunter2"))).reach()
    assert str(refused.value).endswith("the database refuses the connection: wrong password")


def test_a_connection_that_answers_what_was_not_asked_is_lost() -> None:
    """Behind a pooler whose server died psycopg had two answers to one BEGIN, and to all that came after it."""
    confused = psycopg.InternalError("received 2 results from command 'BEGIN'")
    dialect = create_engine("postgresql+psycopg://").dialect
    of_server = psycopg.errors.InternalError_("cache lookup failed")
    for error, lost in ((confused, True), (of_server, False)):
        wrapped = DBAPIError.instance("BEGIN", None, error, psycopg.Error, dialect=dialect)
        assert errors.is_lost(wrapped) is lost
        assert (errors.reason(wrapped) is not None) is lost


def test_a_connection_whose_answers_are_cut_is_lost() -> None:
    """A pooler whose server dies in the middle of an answer says so there. It was taken for the record's own fault, and
    nobody found out what had become of it."""
    dialect = create_engine("postgresql+psycopg://").dialect
    with answering(_READY, b"error") as url, pytest.raises(psycopg.DatabaseError) as cut:
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True).execute("SELECT 1")
    error = DBAPIError.instance("SELECT 1", None, cut.value, psycopg.Error, dialect=dialect)
    assert errors.is_lost(error)
    assert str(errors.reason(error)).startswith("the database cannot be reached: lost synchronization")


def test_says_what_a_pooler_says() -> None:
    """That it has no session left for this client, say."""
    fatal = b"SFATAL\0VFATAL\0C08P01\0Mquery_wait_timeout\0\0"
    with (
        answering(_READY, b"E" + (len(fatal) + 4).to_bytes(4, "big") + fatal) as url,
        pytest.raises(psycopg.OperationalError) as refused,
    ):
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True).execute("SELECT 1")
    dialect = create_engine("postgresql+psycopg://").dialect
    error = DBAPIError.instance("SELECT 1", None, refused.value, psycopg.Error, dialect=dialect)
    assert errors.reason(error) == "the database cannot be reached: query_wait_timeout"
