"""A ledger moved as a whole: from a file into the one that machines share, and out into a file again."""
