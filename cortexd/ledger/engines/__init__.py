"""What is a database's own and not SQL."""
