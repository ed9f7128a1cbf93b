"""The schema's history, as Alembic runs it. Imported only when a ledger's schema is behind."""
