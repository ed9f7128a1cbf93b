"""What a transaction adds to the sums of a shared ledger, in the database itself: a round trip under a lock is long.

cortexd_add raises CX001, and so undoes its whole statement, where other rows were written than were meant, or where a
sum has become larger than whoever planned the statement allowed for. It adds last: the locks are held for that alone.
"""

from __future__ import annotations

OTHERWISE = "CX001"

MAKE = """
CREATE OR REPLACE FUNCTION cortexd_add(
  written BIGINT, meant BIGINT, locks BIGINT[], together BOOLEAN[], machine TEXT,
  uids BIGINT[], periods TEXT[], apps TEXT[],
  spents NUMERIC[], reserveds NUMERIC[], unknowns NUMERIC[], settled BIGINT[],
  of_uids TEXT[], of_periods TEXT[], of_apps TEXT[],
  most_used NUMERIC[], most_spent NUMERIC[], most_reserved NUMERIC[], most_unknown NUMERIC[],
  OUT spent NUMERIC[], OUT reserved NUMERIC[], OUT unknown NUMERIC[]
) LANGUAGE plpgsql AS $$
DECLARE
  sum_spent NUMERIC;
  sum_reserved NUMERIC;
  sum_unknown NUMERIC;
BEGIN
  IF written <> meant THEN
    RAISE EXCEPTION 'other rows are there than were meant' USING ERRCODE = 'CX001';
  END IF;
  FOR place IN 1 .. cardinality(locks) LOOP
    IF together[place] THEN
      PERFORM pg_advisory_xact_lock_shared(locks[place]);
    ELSE
      PERFORM pg_advisory_xact_lock(locks[place]);
    END IF;
  END LOOP;
  FOR place IN 1 .. cardinality(of_uids) LOOP
    SELECT coalesce(sum(each.spent), 0), coalesce(sum(each.reserved), 0), coalesce(sum(each.unknown), 0)
    INTO sum_spent, sum_reserved, sum_unknown FROM sums AS each
    WHERE each.uid = ANY (CAST(of_uids[place] AS BIGINT[]))
      AND each.period = of_periods[place] AND each.app = of_apps[place];
    IF sum_spent + sum_reserved > most_used[place] OR sum_spent > most_spent[place]
        OR sum_reserved > most_reserved[place] OR sum_unknown > most_unknown[place] THEN
      RAISE EXCEPTION 'a sum has grown meanwhile' USING ERRCODE = 'CX001';
    END IF;
    spent[place] := sum_spent;
    reserved[place] := sum_reserved;
    unknown[place] := sum_unknown;
  END LOOP;
  INSERT INTO sums AS there (uid, period, app, host, spent, reserved, unknown, requests)
  SELECT new.uid, new.period, new.app, machine, new.spent, new.reserved, new.unknown, new.settled
  FROM unnest(uids, periods, apps, spents, reserveds, unknowns, settled)
    AS new (uid, period, app, spent, reserved, unknown, settled)
  ON CONFLICT (uid, period, app, host) DO UPDATE SET
    spent = there.spent + excluded.spent, reserved = there.reserved + excluded.reserved,
    unknown = there.unknown + excluded.unknown, requests = there.requests + excluded.requests;
END $$
"""

# In the order of the values; each row that was written is counted. No row of sums is locked by the last line, but the
# table: before anything is written, so that whoever is alone (sharing.py) sees what began before.
CALL = """
SELECT * FROM cortexd_add({written}, CAST({} AS BIGINT), CAST({} AS BIGINT[]), CAST({} AS BOOLEAN[]), {},
CAST({} AS BIGINT[]), CAST({} AS TEXT[]), CAST({} AS TEXT[]), CAST({} AS NUMERIC[]), CAST({} AS NUMERIC[]),
CAST({} AS NUMERIC[]), CAST({} AS BIGINT[]),
CAST({} AS TEXT[]), CAST({} AS TEXT[]), CAST({} AS TEXT[]), CAST({} AS NUMERIC[]), CAST({} AS NUMERIC[]),
CAST({} AS NUMERIC[]), CAST({} AS NUMERIC[]))
WHERE NOT EXISTS (SELECT FROM sums WHERE false FOR KEY SHARE)
"""
VALUES = CALL.count("{}")
