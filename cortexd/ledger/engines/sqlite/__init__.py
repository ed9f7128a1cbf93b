"""SQLite: one file in WAL mode, in the hands of one daemon."""
