"""The revisions of the ledger's schema."""

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
"""Newest last. A new migration adds its revision here."""
HEAD = REVISIONS[-1]
