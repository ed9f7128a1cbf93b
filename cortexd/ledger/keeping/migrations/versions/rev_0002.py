"""Retention, outcomes, preferences, budgets set at run time, and the indices of reports and pruning."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_index("requests_day_uid", "requests", ["day", "uid"])
    op.create_index("entries_request", "entries", ["request"])
    _create_daily()
    _create_prunings()
    _create_carried()
    _create_outcomes()
    _create_preferences()


def _create_daily() -> None:
    op.create_table(
        "daily",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("uid", sa.BigInteger, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("task_type", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("at_provider", sa.BigInteger, nullable=False),
        sa.Column("at_model", sa.BigInteger, nullable=False),
        sa.Column("at_both", sa.BigInteger, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_nano", sa.BigInteger, nullable=False),
        sa.Column("cost_known", sa.Boolean, nullable=False),
    )
    op.create_index("daily_day_uid", "daily", ["day", "uid"])


def _create_prunings() -> None:
    op.create_table(
        "prunings",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("charged_nano", sa.BigInteger, nullable=False),
    )


def _create_carried() -> None:
    op.create_table(
        "carried",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("uid", sa.BigInteger, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_nano", sa.BigInteger, nullable=False),
    )
    op.create_index("carried_uid", "carried", ["uid"])


def _create_outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("request", sa.BigInteger, sa.ForeignKey("requests.id", name="outcomes_request"), primary_key=True),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sqlite_with_rowid=False,
    )


def _create_preferences() -> None:
    op.create_table(
        "preferences",
        sa.Column("uid", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("wishes", sa.Text, nullable=False),
    )
    op.create_table(
        "budget_overrides",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("day_nano", sa.BigInteger),
        sa.Column("month_nano", sa.BigInteger),
        sa.Column("by_uid", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )
