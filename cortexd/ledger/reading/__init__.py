"""What is read: sums, reports, and the ledger held against itself."""
