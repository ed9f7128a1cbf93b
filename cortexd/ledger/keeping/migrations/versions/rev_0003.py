"""Which name each uid had last: of a ledger that has none yet, the name that its latest request was made under."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_LATEST = """
INSERT INTO owners (uid, "user", seq, since)
SELECT uid, "user", 0, :now FROM requests WHERE id IN (SELECT max(id) FROM requests GROUP BY uid)
"""
_PRUNED = """
INSERT INTO owners (uid, "user", seq, since)
SELECT uid, "user", 0, :now FROM daily
WHERE id IN (SELECT max(id) FROM daily GROUP BY uid) AND uid NOT IN (SELECT uid FROM owners)
"""


def upgrade() -> None:
    op.create_table(
        "owners",
        sa.Column("uid", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("since", sa.DateTime, nullable=False),
    )
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    for statement in (_LATEST, _PRUNED):
        op.execute(sa.text(statement).bindparams(now=now))
