"""One benchmark per file, each with a `CASE`. What stands here is found and run by name."""
