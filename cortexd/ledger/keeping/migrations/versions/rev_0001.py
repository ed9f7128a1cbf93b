"""The first ledger: requests, attempts, append-only entries, session resets, meta."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cortexd.ledger.engines import engine_of

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _create_requests()
    _create_attempts()
    _create_entries()
    op.create_table(
        "resets",
        sa.Column("uid", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def _create_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", _KEY, primary_key=True, autoincrement=False),
        sa.Column("uid", sa.BigInteger, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("caller_chosen", sa.Boolean, nullable=False),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("task_type", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("lease_until", sa.DateTime, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("finished_at", sa.DateTime),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("month", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False, server_default=""),
        sa.Column("model", sa.Text, nullable=False, server_default=""),
        sa.Column("cost_nano", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("cost_known", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("labels", sa.Text, nullable=False, server_default="{}"),
        sa.UniqueConstraint("uid", "request_id", name="requests_uid_request_id"),
    )
    pending = sa.text("state = 'pending'")
    op.create_index("requests_pending", "requests", ["id"], sqlite_where=pending, postgresql_where=pending)


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("request", sa.BigInteger, sa.ForeignKey("requests.id", name="attempts_request"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("cost_nano", sa.BigInteger, nullable=False),
        sa.Column("cost_known", sa.Boolean, nullable=False),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("cached_tokens", sa.BigInteger),
        sa.Column("cache_write_tokens", sa.BigInteger),
        sa.Column("reasoning_tokens", sa.BigInteger),
        sa.Column("latency_ms", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def _create_entries() -> None:
    op.create_table(
        "entries",
        sa.Column("seq", _KEY, primary_key=True),
        sa.Column("request", sa.BigInteger, sa.ForeignKey("requests.id", name="entries_request"), nullable=False),
        sa.Column("uid", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("nano", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("month", sa.Text, nullable=False),
    )
    op.create_index("entries_uid_month_day", "entries", ["uid", "month", "day", "kind", "nano"])
    op.create_index("entries_uid_seq", "entries", ["uid", "seq"])
    engine_of(op.get_bind()).make_append_only(op.get_bind(), "entries")
