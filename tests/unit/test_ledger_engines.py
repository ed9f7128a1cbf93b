"""What any engine promises the ledger, and that the ledger outside engines/ names none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    MetaData,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from cortexd.ledger.engines import Place, engine_of, place_of
from cortexd.ledger.keeping.migrate import migrate
from cortexd.ledger.keeping.schema import metadata
from tests.unit.test_ledger_parts import settings

pytestmark = pytest.mark.usefixtures("engine")

LEDGER = Path(__file__).resolve().parents[2] / "cortexd" / "ledger"
OWN_WORDS = re.compile("sqlite|pragma|json_each|postgres|psycopg", re.IGNORECASE)
# Their declarations say what SQLAlchemy shall do differently in one dialect; they may not speak to a driver.
DECLARATIONS = ("keeping/schema.py", "keeping/migrations/")
DECLARED = re.compile("sqlite|(sqlite|postgresql)_[a-z_]+")

marks = Table("marks", MetaData(), Column("uid", BigInteger, primary_key=True), Column("seq", BigInteger))


def modules() -> list[str]:
    found = (path.relative_to(LEDGER).as_posix() for path in sorted(LEDGER.rglob("*.py")))
    return [name for name in found if not name.startswith("engines/")]


def words(tree: ast.AST) -> Iterator[str]:
    """Every name and every text of a module's code."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname", "module", "value"):
            found = getattr(node, field, None)
            if isinstance(found, str):
                yield found


class TestRooms:
    @pytest.mark.parametrize("module", modules())
    def test_name_no_database(self, module: str) -> None:
        """Whatever a database has of its own stands in engines/; the tables' declarations name dialects alone."""
        found = [word for word in words(ast.parse((LEDGER / module).read_text("utf-8"))) if OWN_WORDS.search(word)]
        if module.startswith(DECLARATIONS):
            found = [word for word in found if not DECLARED.fullmatch(word)]
        assert not found

    @pytest.mark.parametrize("code", ["import sqlite3", "from x import y_sqlite", "run('PRAGMA y')", "f(sqlite_x=1)"])
    def test_would_be_heard_naming_one(self, code: str) -> None:
        """Modules, names, texts and arguments are all looked at."""
        assert any(OWN_WORDS.search(word) for word in words(ast.parse(code)))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_of(settings(tmp_path))


@pytest.fixture
def writing(place: Place) -> Iterator[Connection]:
    """A claimed, migrated ledger's writing connection, with a row in a table made append-only."""
    with place.claim(), place.writer().connect() as connection:
        migrate(connection)
        marks.create(connection)
        place.engine.make_append_only(connection, "marks")
        connection.execute(insert(marks), {"uid": 1, "seq": 1})
        connection.commit()
        yield connection


def delete_and_fail(place: Place, connection: Connection) -> None:
    with place.engine.deletable(connection, "marks"):
        connection.execute(delete(marks))
        raise ZeroDivisionError


class TestEngine:
    def test_is_found_by_its_connections(self, place: Place, writing: Connection) -> None:
        """Who has only a connection finds the engine of its place, in writing and in reading."""
        assert engine_of(writing) is place.engine
        with place.reading() as connection:
            assert engine_of(connection) is place.engine

    def test_append_only_refuses_changes(self, place: Place, writing: Connection) -> None:
        """Rows can be added, neither changed nor deleted, and that is no reason to write nothing any more."""
        writing.execute(insert(marks), {"uid": 2, "seq": 1})
        for change in (delete(marks), update(marks).values(seq=2)):
            with pytest.raises(IntegrityError) as refused, writing.begin_nested():
                writing.execute(change)
            assert place.engine.unwritable(refused.value) is None

    def test_deletable_ends_with_its_block(self, place: Place, writing: Connection) -> None:
        """Meanwhile rows can be deleted, thereafter not."""
        with place.engine.deletable(writing, "marks"):
            writing.execute(delete(marks))
        writing.execute(insert(marks), {"uid": 2, "seq": 1})
        with pytest.raises(IntegrityError):
            writing.execute(delete(marks))

    def test_deletable_that_fails_is_rolled_back(self, place: Place, writing: Connection) -> None:
        """An error while rows may be deleted leaves, after the rollback, the rows and the refusal."""
        with pytest.raises(ZeroDivisionError):
            delete_and_fail(place, writing)
        writing.rollback()
        assert writing.scalars(select(marks.c.uid)).all() == [1]
        with pytest.raises(IntegrityError):
            writing.execute(delete(marks))

    def test_damage_tells_a_table_that_can_be_changed(self, place: Place, writing: Connection) -> None:
        """Each way in which a table can be changed that should be append-only is a line; a sound one has none."""
        assert list(place.engine.damage(writing, ["entries", "marks"])) == []
        assert len(list(place.engine.damage(writing, ["meta"]))) == 2

    def test_keys_may_be_many(self, place: Place, writing: Connection) -> None:
        """More keys than a statement could bind one by one."""
        chosen = select(marks.c.uid).where(place.engine.among(marks.c.uid, bindparam("keys")))
        assert writing.scalars(chosen, {"keys": place.engine.key_list(range(1, 500_000))}).all() == [1]

    def test_deadline_interrupts(self, place: Place, writing: Connection) -> None:
        """What would take for ever ends with an error once its time is up, and the connection goes on."""
        numbers = select(literal(1).label("number")).cte("numbers", recursive=True)
        endless = select(func.max(numbers.union_all(select(numbers.c.number + 1)).c.number))
        with place.engine.deadline(writing, 0.05) as over, pytest.raises(DBAPIError):
            writing.execute(endless).all()
        assert over()
        writing.rollback()
        assert writing.scalar(select(marks.c.uid)) == 1

    def test_readers_cannot_write(self, place: Place, writing: Connection) -> None:
        """A reading connection refuses to change anything."""
        pool = place.readers()
        with pool.connect() as connection, pytest.raises(DBAPIError):
            connection.execute(delete(marks))
        pool.dispose()

    @pytest.mark.of_a_file
    def test_copy_is_a_ledger_by_itself(self, place: Place, writing: Connection, tmp_path: Path) -> None:
        """The copy has every table's rows while the writer stays open, and takes no writing that is not committed."""
        writing.execute(insert(marks), {"uid": 2, "seq": 1})
        copied = settings(tmp_path / "copy")
        copied.path.parent.mkdir(parents=True)
        place.copy(copied.path)
        with place_of(copied).reading() as connection:
            for table in (marks, *metadata.sorted_tables):
                rows = connection.execute(select(table)).all()
                assert rows == ([(1, 1)] if table is marks else [])
        assert [found.name for found in copied.path.parent.iterdir()] == [copied.path.name]
