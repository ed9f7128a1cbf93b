"""What may be amiss with a PostgreSQL database before a ledger is in it, or this role at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, text

OLDEST = 15  # fleet.md states it
_SERVER = text("""
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'), pg_is_in_recovery(),
  current_setting('fsync') = 'off' OR current_setting('synchronous_commit') = 'off', current_schema() IS NOT NULL
""")
_MAY_MAKE = text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
_WITHOUT = text("""
SELECT name FROM unnest(CAST(:names AS TEXT[])) AS name
WHERE to_regclass(quote_ident(name)) IS NULL OR NOT has_table_privilege(to_regclass(quote_ident(name)), :privilege)
""")


def amiss(connection: Connection, rights: Mapping[str, Sequence[str]], begun: bool) -> Iterator[tuple[bool, str]]:
    """As Engine.amiss."""
    version, encoding, standby, careless, somewhere = connection.execute(_SERVER).one()
    if version < OLDEST:
        yield True, f"it is PostgreSQL {version}; cortexd needs {OLDEST} or newer."
    if encoding != "UTF8":
        yield True, f"its encoding is {encoding}, which not every name fits. Make one WITH ENCODING 'UTF8'."
    if standby:
        yield False, "it is a standby, which nobody can write. Name the primary, or all hosts and target_session_attrs."
    if careless:
        yield False, "fsync or synchronous_commit is off: a crash may undo what was spent. Turn them on."
    if not begun and not (somewhere and connection.scalar(_MAY_MAKE)):
        yield True, "its user may make no tables. As its administrator: GRANT CREATE ON SCHEMA public TO that user."
    for privilege, names in rights.items():
        if missing := connection.scalars(_WITHOUT, {"names": list(names), "privilege": privilege}).all():
            yield (
                True,
                f"its user may not {privilege} in {', '.join(sorted(missing))}. As its administrator GRANT that, or "
                "name the user that made the tables.",
            )
