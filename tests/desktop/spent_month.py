"""A ledger with a month of work in it, for pictures: real requests, whose days and costs are then spread."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import date, datetime, timedelta

from cortexd.client import AsyncClient
from simulated import Behaviour
from tests.bus.served import KEYS, Served

_REQUESTS, _DAYS, _TODAY = 160, 30, 12
_HOURS = (8, 9, 10, 11, 13, 14, 15, 16)
_TASKS = ("user_chat", "code_generation", "code_generation", "error_debugging", "configuration")
_EDITOR = {"app": "editor", "app_verified": "systemd"}
_LABELS: tuple[dict[str, str], ...] = (_EDITOR, _EDITOR, {"app": "shell", "app_verified": "executable"}, {})
_SEED = 14
_TABLES = (
    ("requests", "id", "day = :day, started_at = :moment, cost_nano = cost_nano * :times"),
    ("attempts", "request", "cost_nano = cost_nano * :times"),
    ("entries", "request", "day = :day, month = :month, nano = nano * :times"),
)

_ROLLUPS = """
INSERT INTO rollups SELECT uid, day, 0, user, task_type, a.provider, a.model, 0,
    count(*), count(*), count(*), count(*),
    sum(coalesce(input_tokens, 0)), sum(coalesce(output_tokens, 0)), sum(coalesce(cached_tokens, 0)),
    sum(coalesce(reasoning_tokens, 0)), sum(NOT a.cost_known), 0, sum(a.cost_nano)
FROM requests AS r JOIN attempts AS a ON a.request = r.id GROUP BY uid, day, user, task_type, a.provider, a.model
"""


async def spend_a_month(served: Served) -> None:
    """The daemon is stopped and started again."""
    chance = random.Random(_SEED)
    for name in KEYS:
        served.simulated.behave(name, Behaviour(input_tokens=2_000, output_tokens=600))
    async with AsyncClient(served.address) as client:
        for number in range(_REQUESTS):
            await client.complete(
                chance.choice(_TASKS), f"hello {number}", provider=chance.choice(sorted(KEYS)),
                labels=chance.choice(_LABELS),
            )  # fmt: skip
    served.stop()
    with closing(sqlite3.connect(served.ledger)) as ledger, ledger:
        _spread(ledger, chance)
    served.start()


def _spread(ledger: sqlite3.Connection, chance: random.Random) -> None:
    """Entries are never changed elsewhere: triggers see to that."""
    triggers = ledger.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _sql in triggers:
        ledger.execute(f"DROP TRIGGER {name}")
    keys = [key for [key] in ledger.execute("SELECT id FROM requests ORDER BY id")]
    for number, key in enumerate(keys):
        moment = _moment(chance, today=number < _TODAY)
        values = {
            "key": key, "day": moment.date().isoformat(), "month": f"{moment:%Y-%m}",
            "moment": moment.isoformat(" ") + ".000000", "times": chance.randint(20, 160),
        }  # fmt: skip
        for table, column, changes in _TABLES:
            ledger.execute(f"UPDATE {table} SET {changes} WHERE {column} = :key", values)
    ledger.execute("DELETE FROM rollups")
    ledger.execute(_ROLLUPS)
    for _name, sql in triggers:
        ledger.execute(sql)


def _moment(chance: random.Random, *, today: bool) -> datetime:
    """Few work at weekends."""
    day = date.today() - timedelta(days=0 if today else chance.randrange(1, _DAYS))
    if not today and day.weekday() > 4 and chance.random() < 0.85:
        day -= timedelta(days=2)
    return datetime.combine(day, datetime.min.time()).replace(hour=chance.choice(_HOURS), minute=chance.randrange(60))
