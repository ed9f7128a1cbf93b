"""Routing that learns: outcomes by source and weight, what the learner decided, and what it knows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COPY = """
INSERT INTO outcomes (request, source, weight, score, reason, labels, at)
SELECT request, 'user', 1.0, score, reason, labels, at FROM outcomes_before
"""


def upgrade() -> None:
    _outcomes_by_source()
    op.create_table(
        "decisions",
        sa.Column("request", sa.BigInteger, sa.ForeignKey("requests.id", name="decisions_request"), primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("mode", "baseline", "greedy", "chosen", "why", "arms")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "learned_cells",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("task_type", "provider", "model")),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("good", "bad")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("count", "seen", "seq")),
        sa.Column("at", sa.DateTime, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("learned_cells_seq", "learned_cells", ["seq"])
    op.create_table(
        "learned_counts",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("name", "of")),
        sa.Column("value", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _outcomes_by_source() -> None:
    """A key cannot be changed in place."""
    op.rename_table("outcomes", "outcomes_before")
    op.create_table(
        "outcomes",
        sa.Column("request", sa.BigInteger, sa.ForeignKey("requests.id", name="outcomes_request"), primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("weight", sa.Double, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(sa.text(_COPY))
    op.drop_table("outcomes_before")
