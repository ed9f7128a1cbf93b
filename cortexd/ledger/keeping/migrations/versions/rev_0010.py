"""What a database that machines share does of a transaction by itself."""

from __future__ import annotations

from alembic import op

from cortexd.ledger.engines import engine_of

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    if sharing := engine_of(op.get_bind()).sharing:
        sharing.make_routines(op.get_bind())
