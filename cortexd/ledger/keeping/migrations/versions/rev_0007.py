"""The machines that have written, and which of them each request and daily sum is of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_TEXTS = ("version", "schema", "settings", "time_zone", "users")


def upgrade() -> None:
    op.create_table(
        "hosts",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("first_seen", sa.DateTime, nullable=False),
        sa.Column("last_seen", sa.DateTime, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
        sa.UniqueConstraint("id", name="hosts_id"),
    )
    for table in ("requests", "daily"):
        op.add_column(table, sa.Column("host", sa.BigInteger, nullable=False, server_default="0"))
