"""The ledger's tables for SQLAlchemy Core. migrations/ builds them; a test holds the two against each other."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    text,
)

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
    Column("host", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("uid", "request_id", name="requests_uid_request_id"),
    Index("requests_day_uid", "day", "uid"),
)
PENDING = requests.c.state == text("'pending'")  # written out, or a partial index would not serve it
requests_pending = Index("requests_pending", requests.c.id, sqlite_where=PENDING)  # migrate.py: elsewhere likewise

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
    Column("first_token_ms", BigInteger),  # the last three as domain/answered.py has them; NULL: not known
    Column("prompt_bytes", BigInteger),
    Column("continued", Boolean),
    sqlite_with_rowid=False,
)

# Append-only: the database refuses UPDATE and DELETE, but for retention.py. An entry's day and month are its request's.
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
    Index("entries_request", "request"),  # or deleting a request would look for its entries through all of them
)

APPEND_ONLY = (entries.name,)

# Sums of pruned requests, kept for good; several rows may have the same day, user, task type, provider and model.
# A request with several attempts has a share in several rows, and so is counted in four ways, each once: `requests`
# at the first of its rows, `at_provider` at its first row with each provider, `at_model` likewise, `at_both` at all.
daily = Table(
    "daily",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("day", Text, nullable=False),
    Column("uid", BigInteger, nullable=False),
    Column("user", Text, nullable=False),
    Column("task_type", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("at_provider", BigInteger, nullable=False),
    Column("at_model", BigInteger, nullable=False),
    Column("at_both", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("cost_known", Boolean, nullable=False),
    Column("host", BigInteger, nullable=False, server_default="0"),
    Index("daily_day_uid", "day", "uid"),
)

# What retention has deleted, a row or more per day and `before`, which is empty for requests that cost nothing.
prunings = Table(
    "prunings",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("before", Text, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("charged_nano", BigInteger, nullable=False),
)

# Sums of all settled requests, kept and pruned, which the writer raises as it settles them: what is read of a long
# time. Counted as in `daily`; `unknown`: attempts (or requests without one) of a cost that nobody told; `high` and
# `low`: the halves of costs, as exact_sum has them. `former`: 0, or which of those that had the uid before.
rollups = Table(
    "rollups",
    metadata,
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
    Column("day", Text, primary_key=True),
    Column("former", BigInteger, primary_key=True, autoincrement=False),
    Column("user", Text, primary_key=True),
    Column("task_type", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("host", BigInteger, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
    Column("at_provider", BigInteger, nullable=False),
    Column("at_model", BigInteger, nullable=False),
    Column("at_both", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("unknown", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Column("low", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What a user's statistics are more than his rollups: after a reset, less.
carried = Table(
    "carried",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("uid", BigInteger, nullable=False),
    Column("provider", Text),  # NULL: over all, with the requests that were tried nowhere
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Index("carried_uid", "uid"),
)

# How well a request went, 0 to 1, by the word of each `source`, and what that weighs. `labels` is JSON.
outcomes = Table(
    "outcomes",
    metadata,
    Column("request", BigInteger, ForeignKey("requests.id", name="outcomes_request"), primary_key=True),
    Column("source", Text, primary_key=True),
    Column("weight", Double, nullable=False),
    Column("score", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("at", DateTime, nullable=False),
    sqlite_with_rowid=False,
)

# What the learner made of a request. `baseline`, `greedy` and `chosen` are PROVIDER/MODEL; `arms` is JSON: a list of
# [PROVIDER/MODEL, mean, sigma, count, penalty, cost in nano-dollars or null].
decisions = Table(
    "decisions",
    metadata,
    Column("request", BigInteger, ForeignKey("requests.id", name="decisions_request"), primary_key=True),
    Column("mode", Text, nullable=False),
    Column("baseline", Text, nullable=False),
    Column("greedy", Text, nullable=False),
    Column("chosen", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("arms", Text, nullable=False),
    sqlite_with_rowid=False,
)

# What outcomes have shown: domain/learned.py. The task is "" for all of them together. `seq` orders by the last change.
learned_cells = Table(
    "learned_cells",
    metadata,
    Column("task_type", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("good", Double, nullable=False),
    Column("bad", Double, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", DateTime, nullable=False),
    Index("learned_cells_seq", "seq"),
    sqlite_with_rowid=False,
)

learned_counts = Table(
    "learned_counts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("of", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# The name that each uid had when it last called. Entries up to `seq` are of those who had the uid before.
owners = Table(
    "owners",
    metadata,
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
    Column("user", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("since", DateTime, nullable=False),
)

preferences = Table(
    "preferences",
    metadata,
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
    Column("wishes", Text, nullable=False),  # JSON
)

# Limits set while the daemon ran; NULL: that period's limit is the configuration's.
budget_overrides = Table(
    "budget_overrides",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("day_nano", BigInteger),
    Column("month_nano", BigInteger),
    Column("by_uid", BigInteger, nullable=False),
    Column("at", DateTime, nullable=False),
)

# domain/own_cap.py. NULL: no such limit, no pause. What was allowed on top holds for `extra_day` and `extra_month`.
own_caps = Table(
    "own_caps",
    metadata,
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
    Column("day_nano", BigInteger),
    Column("month_nano", BigInteger),
    Column("at_limit", Text, nullable=False),
    Column("paused_until", DateTime),
    Column("extra_day", Text, nullable=False),
    Column("extra_day_nano", BigInteger, nullable=False),
    Column("extra_month", Text, nullable=False),
    Column("extra_month_nano", BigInteger, nullable=False),
)

# The machines that have written here, by the number that requests and daily sums have. 0: in a file the machine itself,
# in a shared ledger one that is not known. `id` as machine.py makes it; `schema`: the newest that its cortexd knows;
# `settings`: the revision of the fleet's settings that it runs, "" for none; `users` and `time_zone` as it is set to.
hosts = Table(
    "hosts",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("first_seen", DateTime, nullable=False),
    Column("last_seen", DateTime, nullable=False),
    Column("version", Text, nullable=False),
    Column("schema", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("users", Text, nullable=False),
    UniqueConstraint("id", name="hosts_id"),
)

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)


# Only where several daemons share a ledger. What is spent and reserved, added up by user, program, period and the
# machine that booked it, so that no two machines wait for one row. `uid` EVERYBODY is all users, `app` "" all programs,
# `period` "" all time. `unknown` as records.Own has it, `requests` are those settled.
EVERYBODY = -1
ALL_TIME = ""
shared_metadata = MetaData()
sums = Table(
    "sums",
    shared_metadata,
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
    Column("period", Text, primary_key=True),
    Column("app", Text, primary_key=True),
    Column("host", Text, primary_key=True),
    Column("spent", Numeric, nullable=False),
    Column("reserved", Numeric, nullable=False),
    Column("unknown", Numeric, nullable=False),
    Column("requests", BigInteger, nullable=False),
)
KEYS_AT_ONCE = 256  # that a daemon takes for the requests to come
request_keys = Sequence("request_keys", start=1, increment=KEYS_AT_ONCE, metadata=shared_metadata)

# What the fleet's machines have in common of their settings: domain/fleet.py. Rows are added, the oldest deleted. The
# table may be another role's than the machines' (fleet.md), whose migrations then cannot change it.
fleet_settings = Table(
    "fleet_settings",
    shared_metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", DateTime, nullable=False),
    Column("role", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("text", Text, nullable=False),
)

# How often something was changed that each machine has in memory, so that the others look again.
changes = Table(
    "changes",
    shared_metadata,
    Column("of", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)
