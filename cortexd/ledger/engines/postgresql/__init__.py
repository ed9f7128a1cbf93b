"""PostgreSQL: one database that the daemons of several machines share."""
