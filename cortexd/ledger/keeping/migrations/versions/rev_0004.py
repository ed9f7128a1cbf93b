"""What predictions are made of: when an attempt's first word came, its prompt's size, whether it went on with a
conversation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("first_token_ms", sa.BigInteger))
    op.add_column("attempts", sa.Column("prompt_bytes", sa.BigInteger))
    op.add_column("attempts", sa.Column("continued", sa.Boolean))
