"""What was learned, as it is changed: by an outcome in its own transaction, by a decision in its request's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select

from cortexd.domain.learned import TASK, Cell, CountKey, Key, Learned, Reported, Teach
from cortexd.domain.targets import Target
from cortexd.ledger.engines import engine_of
from cortexd.ledger.engines.driver import Prepared
from cortexd.ledger.keeping.schema import learned_cells, learned_counts

MOST_CELLS = 4096  # as the learner keeps
_FIGURES = ("good", "bad", "count", "seen")
_newest = Prepared(lambda _engine: select(func.max(learned_cells.c.seq)))


def alone(connection: Connection) -> None:
    """No other daemon that shares the ledger changes what was learned until the transaction ends: what each adds is
    added to what the others have."""
    if sharing := engine_of(connection).sharing:
        sharing.ask(connection, [sharing.taking(["learned"])])


def taught(connection: Connection, reported: Reported, teach: Teach) -> Mapping[Key, Cell]:
    """The cells that an outcome changes, as they are from now on. What fades does so by the decisions of all daemons,
    in the cell that they share, and so once."""
    alone(connection)
    known = {key: cell for key in reported.keys if (cell := _cell(connection, key)) is not None}
    changed = teach(reported, known, _decisions(connection, reported.task_type))
    keep_cells(connection, changed)
    return changed


def keep_cells(connection: Connection, cells: Mapping[Key, Cell]) -> None:
    """Have these in place of their like; of too many those go that were changed longest ago."""
    seq = _newest.scalar(connection) or 0
    for key in cells:
        connection.execute(delete(learned_cells).where(_is(key)))
    rows = [_row(key, cell, seq + place) for place, (key, cell) in enumerate(cells.items(), 1)]
    if rows:
        connection.execute(insert(learned_cells), rows)
        _drop_surplus(connection)


def count_rows(more: Mapping[CountKey, int]) -> list[dict[str, Any]]:
    """By how much which counts are raised, in the same order whoever does it: two daemons may begin one at once."""
    return [{"name": name, "of": of, "value": by} for (name, of), by in sorted(more.items())]


def replace(connection: Connection, learned: Learned) -> None:
    """Forget all, and know this."""
    alone(connection)
    connection.execute(delete(learned_cells))
    connection.execute(delete(learned_counts))
    keep_cells(connection, learned.cells)
    if rows := count_rows(learned.counts):
        connection.execute(engine_of(connection).add(learned_counts, ("name", "of"), ("value",)), rows)


def drop_old(connection: Connection, before: datetime) -> list[Key]:
    """Cells that nothing has changed since then (aware); which they were."""
    old = learned_cells.c.at < before.astimezone(UTC).replace(tzinfo=None)
    named = (learned_cells.c[name] for name in ("task_type", "provider", "model"))
    gone = [(task, Target(provider, model)) for task, provider, model in connection.execute(select(*named).where(old))]
    connection.execute(delete(learned_cells).where(old))
    return gone


def _decisions(connection: Connection, task: str) -> Mapping[str, int] | None:
    """How many there were of that task and of all, by every daemon; None where only one has the ledger, and knows."""
    if engine_of(connection).sharing is None:
        return None
    chosen = (learned_counts.c.name == TASK) & learned_counts.c.of.in_(("", task))
    return {row.of: row.value for row in connection.execute(select(learned_counts).where(chosen))}


def _cell(connection: Connection, key: Key) -> Cell | None:
    row = connection.execute(select(*(learned_cells.c[name] for name in _FIGURES)).where(_is(key))).one_or_none()
    return None if row is None else Cell(*row)


def _is(key: Key) -> ColumnElement[bool]:
    task, target = key
    return and_(
        learned_cells.c.task_type == task,
        learned_cells.c.provider == target.provider,
        learned_cells.c.model == (target.model or ""),
    )


def _row(key: Key, cell: Cell, seq: int) -> dict[str, Any]:
    task, target = key
    figures = {name: getattr(cell, name) for name in _FIGURES}
    now = datetime.now(UTC).replace(tzinfo=None)
    return {
        "task_type": task,
        "provider": target.provider,
        "model": target.model or "",
        **figures,
        "seq": seq,
        "at": now,
    }


def _drop_surplus(connection: Connection) -> None:
    newest = select(learned_cells.c.seq).order_by(learned_cells.c.seq.desc()).limit(1).offset(MOST_CELLS - 1)
    least = connection.scalar(newest)
    if least is not None:
        connection.execute(delete(learned_cells).where(learned_cells.c.seq < least))
