"""The ledger as something that lasts: its tables, their history, its place on disk, retention, copies and checks."""
