"""What the machines that share a ledger decide together: revisions of their settings, and counts of changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cortexd.ledger.engines import engine_of

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    if engine_of(op.get_bind()).sharing is None:
        return
    op.create_table(
        "fleet_settings",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("of", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
