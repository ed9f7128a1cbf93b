"""The ledger for a person: its latest rows, its sums, and whether the two agree. Reads only, also beside a daemon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from cortexd.config.settings import LedgerSettings
from cortexd.domain.money import format_usd
from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping.migrate import revision
from cortexd.ledger.keeping.revisions import HEAD
from cortexd.ledger.keeping.schema import attempts, requests
from cortexd.ledger.reading.audit import Audit, audit

_TITLES = ("started", "user", "request", "task", "state", "tried", "model", "cost")


def report(path: Path, limit: int = 50) -> str:
    """The last `limit` requests and the sums over all, as text. Raises LedgerUnavailable."""
    if not path.exists():
        raise LedgerUnavailable(f"there is no ledger at {path}")
    with place_of(LedgerSettings(path=path)).reading() as connection:
        found = revision(connection)
        if found != HEAD:
            raise LedgerUnavailable(f"{path} has schema {found or 'none'}, and this cortexd reads {HEAD}")
        lines = _table(_rows(connection, limit))
        return "\n".join((*lines, "", *_summary(audit(connection))))


def _rows(connection: Connection, limit: int) -> list[tuple[str, ...]]:
    latest = connection.execute(select(requests).order_by(requests.c.id.desc()).limit(limit)).all()[::-1]
    tried = _tried(connection, [row.id for row in latest])
    return [_cells(row, tried.get(row.id, "")) for row in latest]


def _tried(connection: Connection, keys: Sequence[int]) -> dict[int, str]:
    chosen = select(attempts).where(attempts.c.request.in_(keys)).order_by(attempts.c.request, attempts.c.number)
    steps: dict[int, list[str]] = {}
    for row in connection.execute(chosen):
        steps.setdefault(row.request, []).append(f"{row.provider} {row.outcome}")
    return {key: ", ".join(made) for key, made in steps.items()}


def _cells(row: Row[Any], tried: str) -> tuple[str, ...]:
    started = row.started_at.replace(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    cost = "" if row.state == "pending" else format_usd(row.cost_nano) + ("" if row.cost_known else " (not known)")
    return tuple(
        _printable(cell)
        for cell in (started, row.user, row.request_id, row.task_type, row.state, tried, row.model, cost)
    )


def _printable(text: str) -> str:
    """Names come from callers and providers; a terminal must not obey them."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    grid = [_TITLES, *rows]
    widths = [max(len(line[column]) for line in grid) for column in range(len(_TITLES))]
    return ["  ".join(_aligned(line, widths)).rstrip() for line in grid]


def _aligned(line: tuple[str, ...], widths: list[int]) -> list[str]:
    *left, cost = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
    return [*left, cost.strip().rjust(widths[-1])]


def _summary(found: Audit) -> list[str]:
    agree = f"{found.wrong_rows} ROWS DIFFER" if found.wrong_rows else "every row's cost equals its entries"
    pruned = f", {found.pruned} pruned" if found.pruned else ""
    return [
        f"requests            {found.requests} ({found.pending} pending{pruned})",
        f"sum of charges      {format_usd(found.charged_nano)} ({found.charged_nano} nano-dollars)",
        f"open reservations   {format_usd(found.reserved_nano)}",
        f"rows and entries    {agree}",
    ]
