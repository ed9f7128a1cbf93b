"""The writer's transactions in a file: begun without SQLAlchemy, and one with what is asked through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from cortexd.config.settings import LedgerSettings
from cortexd.ledger.engines import engine_of, place_of
from cortexd.ledger.engines.driver import Sending, send

INSERT = "INSERT INTO kept VALUES (:word)"


@pytest.fixture(name="connections")
def connections_fixture(tmp_path: Path) -> Iterator[tuple[Connection, Connection]]:
    """Two that write to one file with a table of words."""
    place = place_of(LedgerSettings(path=tmp_path / "file.sqlite3"))
    with place.claim(), place.writer().connect() as one, place.writer().connect() as other:
        with one.begin():
            one.execute(text("CREATE TABLE kept (word TEXT)"))
        yield one, other


def words(connection: Connection) -> list[str]:
    with connection.begin():
        return list(connection.execute(text("SELECT word FROM kept")).scalars())


@pytest.mark.parametrize("through_sqlalchemy", [False, True], ids=["driver alone", "SQLAlchemy too"])
@pytest.mark.parametrize("kept", [False, True], ids=["rolled back", "committed"])
def test_all_of_it_or_nothing(
    connections: tuple[Connection, Connection], *, through_sqlalchemy: bool, kept: bool
) -> None:
    one, other = connections
    engine = engine_of(one)
    engine.begin(one)
    send(one, Sending(INSERT), [{"word": "sent"}])
    if through_sqlalchemy:
        one.execute(text(INSERT), {"word": "asked"})
    if kept:
        engine.commit(one)
    else:
        engine.rollback(one)
    assert words(other) == (["sent", "asked"][: 1 + through_sqlalchemy] if kept else [])


def test_another_can_be_begun_after_each(connections: tuple[Connection, Connection]) -> None:
    one, other = connections
    engine = engine_of(one)
    for number in range(6):
        engine.begin(one)
        send(one, Sending(INSERT), [{"word": str(number)}])
        if number % 2:
            one.execute(text("SELECT 1"))
        (engine.commit if number < 4 else engine.rollback)(one)
    assert words(other) == ["0", "1", "2", "3"]


def test_a_file_that_is_locked_is_told_as_sqlalchemy_does(connections: tuple[Connection, Connection]) -> None:
    """What `unwritable` reads."""
    one, other = connections
    engine = engine_of(one)
    engine.wait_for_others(one, False)
    engine.begin(other)
    with pytest.raises(OperationalError) as refused:
        engine.begin(one)
    assert engine.unwritable(refused.value) == "another process keeps the file locked"
    engine.rollback(one)
    engine.commit(other)
    engine.begin(one)
    engine.commit(one)
