"""The ledger's tables for SQLAlchemy Core. migrations/ builds them; a test holds the two against each other."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

# Newest last. A new migration adds its revision here.
REVISIONS = ("0001",)
HEAD = REVISIONS[-1]

metadata = MetaData()
_Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows itself only in an INTEGER key

# Times are UTC without a zone. `day` (2026-11-23) and `month` (2026-11): the machine's time zone, at the start.
requests = Table(
    "requests",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=False),
    Column("uid", BigInteger, nullable=False),
    Column("user", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("caller_chosen", Boolean, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("task_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("instance", Text, nullable=False),
    Column("lease_until", DateTime, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("finished_at", DateTime),
    Column("day", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("provider", Text, nullable=False, server_default=""),
    Column("model", Text, nullable=False, server_default=""),
    Column("cost_nano", BigInteger, nullable=False, server_default="0"),
    Column("cost_known", Boolean, nullable=False, server_default=text("false")),
    Column("labels", Text, nullable=False, server_default="{}"),
    UniqueConstraint("uid", "request_id", name="requests_uid_request_id"),
)
PENDING = requests.c.state == text("'pending'")  # written out, or a partial index would not serve it
Index("requests_pending", requests.c.id, sqlite_where=PENDING)

attempts = Table(
    "attempts",
    metadata,
    Column("request", BigInteger, ForeignKey("requests.id", name="attempts_request"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("cost_known", Boolean, nullable=False),
    Column("input_tokens", BigInteger),  # tokens are NULL where the provider reported none
    Column("output_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("latency_ms", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    sqlite_with_rowid=False,
)

# Append-only: triggers refuse UPDATE and DELETE. An entry's day and month are its request's.
entries = Table(
    "entries",
    metadata,
    Column("seq", _Key, primary_key=True),
    Column("request", BigInteger, ForeignKey("requests.id", name="entries_request"), nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("nano", BigInteger, nullable=False),
    Column("at", DateTime, nullable=False),
    Column("day", Text, nullable=False),
    Column("month", Text, nullable=False),
    Index("entries_uid_month_day", "uid", "month", "day", "kind", "nano"),  # covers sums by month and by day
    Index("entries_uid_seq", "uid", "seq"),
)

resets = Table(
    "resets",
    metadata,
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
