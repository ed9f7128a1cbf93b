"""The ledger as something that lasts: its tables, their history, retention, copies and checks."""
