"""The caps that users set on their own spending."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "own_caps",
        sa.Column("uid", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("day_nano", sa.BigInteger),
        sa.Column("month_nano", sa.BigInteger),
        sa.Column("at_limit", sa.Text, nullable=False),
        sa.Column("paused_until", sa.DateTime),
        sa.Column("extra_day", sa.Text, nullable=False),
        sa.Column("extra_day_nano", sa.BigInteger, nullable=False),
        sa.Column("extra_month", sa.Text, nullable=False),
        sa.Column("extra_month_nano", sa.BigInteger, nullable=False),
    )
