"""A ledger that is moved: into the database that machines share, and out into a file, with every sum as it was."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, text

from cortexd.cli.app import main
from cortexd.config.settings import LedgerSettings
from cortexd.domain.apps import APP
from cortexd.domain.own_cap import OwnCap
from cortexd.errors import AccessDenied, InvalidArgument, LedgerUnavailable
from cortexd.ledger import DuplicateRequest, Ledger, Limit, LimitOverride, Period, UsageQuery
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping.machine import Machine, hashed
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.keeping.schema import metadata
from cortexd.ledger.moving import sums
from cortexd.ledger.moving.sums import ONE_EACH
from cortexd.ledger.moving.take_in import Moved, take_in
from cortexd.ledger.moving.write_out import write_out
from tests.postgresql import Cluster, shared
from tests.unit.ledger_history import live
from tests.unit.test_ledger_budgets import limit
from tests.unit.test_ledger_parts import attempt, complete, eventually, request, settings, several, told

pytestmark = pytest.mark.slow
EVER = (date(2020, 1, 1), date(2100, 1, 1))
GROUPS = (("day", "uid"), ("provider", "model", "task_type"), ("app",), ("host",))
UIDS = (1000, 1001, 1002)
ALPHA, BETA, GAMMA = (Machine(hashed(name.encode()), name) for name in ("alpha", "beta", "gamma"))


SLOW = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END';
CREATE TRIGGER slow BEFORE INSERT ON daily FOR EACH STATEMENT EXECUTE FUNCTION wait()
"""


@pytest.fixture
def fleet(postgresql: Cluster) -> LedgerSettings:
    return shared(postgresql.ledger())


async def filled(directory: Path) -> Path:
    """A ledger's file with a past: requests of many days, pruned ones, lost ones, outcomes, a reset, a cap, limits."""
    ledger, _ = await live(directory, Random(7), 60)
    await ledger.prune(date.today())
    for uid in UIDS:
        await ledger.note_owner(uid, f"user{uid}")
        await complete(ledger, 11 * uid, uid=uid, labels={"app": "vim"}, request_id=f"job-{uid}", caller_chosen=True)
    await ledger.reset_stats(1000)
    await complete(ledger, 5)
    vain = await ledger.reserve(request(), 90)
    await ledger.settle(vain, "failed", [attempt(70, outcome="timeout", cost_known=False)])
    await told(ledger, 1001, "job-1001", 0.5)
    await ledger.set_own_cap(1001, OwnCap(day_nano=10**9))
    await ledger.set_preferences(1002, {"strategy": "cheapest"})
    await ledger.set_budget("machine", "", LimitOverride(10**9, None), 0)
    await ledger.close()
    return settings(directory).path


async def figures(ledger: Ledger) -> Mapping[str, Any]:
    """All that people are told of money."""
    limits = [limit(10**12), *(limit(10**12, (uid,), Period.MONTH) for uid in UIDS)]
    limits += [Limit(APP, "vim", Period.DAY, 10**12, frozenset((uid,))) for uid in UIDS]
    return {
        "totals": ledger.totals,
        "stats": {uid: await ledger.stats(uid) for uid in (None, *UIDS)},
        "spent": {uid: await ledger.spent(uid) for uid in UIDS},
        "budgets": await ledger.budgets(limits, 1000),
        **{str(group): await ledger.usage(UsageQuery(None, *EVER, group)) for group in GROUPS},
    }


async def figures_of(at: LedgerSettings, machine: Machine | None = None) -> Mapping[str, Any]:
    ledger = await Ledger.open(at, machine=machine)
    try:
        return await figures(ledger)
    finally:
        await ledger.close()


class TestThereAndBack:
    async def test_every_sum_is_as_it_was(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        """Totals, statistics, budgets and reports are the same in the database, and in the file that it is written
        out to; both stand the ledger's own check."""
        file = await filled(tmp_path)
        before = await figures_of(LedgerSettings(path=file))
        moved = take_in(file, fleet)
        assert (moved.requests, moved.cost_nano) == (before["totals"].total_requests, before["totals"].total_cost_nano)
        assert (moved.limits_left, moved.before) == (1, False)
        assert await figures_of(fleet) == before
        assert check(fleet) == []
        back = tmp_path / "back" / "ledger.sqlite3"
        back.parent.mkdir(mode=0o700)
        written, under_way = write_out(fleet, back)
        assert (written.requests, written.cost_nano, under_way) == (moved.requests, moved.cost_nano, 0)
        assert await figures_of(LedgerSettings(path=back)) == before
        assert check(LedgerSettings(path=back)) == []

    async def test_of_what_is_under_way(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        """A ledger is written out while machines work; a daemon books their open requests as lost, as after a crash."""
        running = await Ledger.open(fleet)
        await complete(running, 5)
        await running.reserve(request(), 40)
        back = tmp_path / "back.sqlite3"
        written, under_way = write_out(fleet, back)
        await running.close()
        assert (written.single, written.cost_nano, under_way) == (1, 5, 1)
        assert (await figures_of(LedgerSettings(path=back)))["totals"].total_cost_nano == 45
        assert check(LedgerSettings(path=back)) == []

    async def test_wishes_and_outcomes_come_along(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        """What people have set and said of themselves is theirs still; limits of one machine bind no other."""
        take_in(await filled(tmp_path), fleet)
        ledger = await Ledger.open(fleet)
        assert (await ledger.owners())[1002] == "user1002"
        assert (await ledger.own_caps())[1001].day_nano == 10**9
        assert await ledger.preferences(1002) == {"strategy": "cheapest"}
        assert await ledger.budget_overrides() == {}
        found = await ledger.told(1001, "job-1001")
        assert found is not None
        assert [source for source, _ in found[1]] == ["user"]
        with pytest.raises(DuplicateRequest):
            await ledger.reserve(request(1001, request_id="job-1001", caller_chosen=True), 5)
        await ledger.close()


class TestTogether:
    async def test_adds_to_what_is_there(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        """Ledgers of two machines are one: sums of both, ids of both, while a machine of the fleet goes on."""
        files = [await filled(tmp_path / name) for name in ("one", "two")]
        running = await Ledger.open(fleet, machine=BETA)
        await complete(running, 40)
        await running.note_owner(1000, "user1000")
        before = [await figures_of(LedgerSettings(path=file)) for file in files]
        for file in files:
            take_in(file, fleet)
            await complete(running, 40)
        now = await figures(running)
        await running.close()
        now = await figures_of(fleet)
        assert now["totals"].total_cost_nano == 3 * 40 + sum(each["totals"].total_cost_nano for each in before)
        for uid in UIDS:
            spent = sum(each["spent"][uid].month_nano for each in before) + (3 * 40 if uid == 1000 else 0)
            assert now["spent"][uid].month_nano == spent
            counted = sum(each["stats"][uid].total_requests for each in before) + (3 if uid == 1000 else 0)
            assert now["stats"][uid].total_requests == counted
        assert check(fleet) == []

    async def test_holds_nobody_up_with_days_long_over(
        self, tmp_path: Path, fleet: LedgerSettings, postgresql: Cluster
    ) -> None:
        """Their sums, of which there may be hundreds of thousands, go in while the machines of the fleet go on."""
        file = await filled(tmp_path)
        running = await Ledger.open(fleet, machine=BETA)
        with place_of(fleet).writer().begin() as connection:
            connection.exec_driver_sql(SLOW)
        holding = place_of(fleet).writer().connect()
        holding.exec_driver_sql("SELECT pg_advisory_lock(42)")
        moving = asyncio.create_task(asyncio.to_thread(take_in, file, fleet))
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted"
        await eventually(lambda: bool(postgresql.ask(waiting)))
        await complete(running, 40)
        await running.reset_stats(1002)  # which has to be alone
        async with several(Ledger.open(fleet, machine=GAMMA)) as [starting]:
            await complete(starting, 40)
        holding.invalidate()
        await moving
        assert (await running.stats(1000)).total_requests > 1
        await running.close()
        holding.close()
        assert check(fleet) == []

    async def test_takes_as_long_as_it_takes(
        self, postgresql: Cluster, tmp_path: Path, fleet: LedgerSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A large ledger's sums are added up in more than the seconds that a machine's transaction has, or that an
        administrator gives one; only what holds the others up ends within a bound."""
        file, found, bounds = await filled(tmp_path), list[Any](), list[Any]()
        role = "ALTER ROLE cortexd SET transaction_timeout = '1min'"
        knows = postgresql.ask("SELECT FROM pg_settings WHERE name = 'transaction_timeout'")  # PostgreSQL 17 does

        def bounded(add: Callable[..., None]) -> Callable[..., None]:
            def adding(target: Connection, *given: Any) -> None:
                found.append(target.scalar(text("SHOW statement_timeout")))
                bounds.append(target.scalar(text("SELECT current_setting('transaction_timeout', true)")))
                add(target, *given)

            return adding

        for name in ("add_long_over", "add_lately"):
            monkeypatch.setattr(sums, name, bounded(getattr(sums, name)))
        if knows:
            postgresql.ask(role)
        try:
            await asyncio.to_thread(take_in, file, fleet)
        finally:
            if knows:
                postgresql.ask(role.replace("SET", "RESET").partition(" =")[0])
        assert found == ["0", "20s"]
        assert bounds == (["0", "0"] if knows else [None, None])

    async def test_people_of_each_machine(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        """Where each machine has users of its own, a moved one is of the machine whose file it was."""
        ledger = await Ledger.open(settings(tmp_path), machine=ALPHA)
        await complete(ledger, 7)
        await ledger.note_owner(1000, "ann")
        await ledger.close()
        by_host = replace(fleet, users="host")
        beta = await Ledger.open(by_host, machine=BETA)
        await beta.note_owner(1000, "bob")
        take_in(settings(tmp_path).path, by_host)
        assert (await beta.spent(1000)).day_nano == 0
        alpha = await Ledger.open(by_host, machine=ALPHA)
        assert ((await alpha.spent(1000)).day_nano, await alpha.owners()) == (7, {1000: "ann"})
        for machine in (alpha, beta):
            await machine.close()
        assert check(by_host) == []


class TestOnce:
    async def test_interrupted_it_begins_again(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        """Of a move that ends in the middle nothing is left; the next one is whole, and one more changes nothing."""
        file = await filled(tmp_path)
        before = await figures_of(LedgerSettings(path=file))

        def interrupt(_moved: int, _of: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            take_in(file, fleet, interrupt)
        assert (await figures_of(fleet))["totals"].total_requests == 0
        first = take_in(file, fleet)
        assert take_in(file, fleet) == replace(first, before=True, limits_left=0)
        assert await figures_of(fleet) == before

    async def test_the_file_is_left(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        """No daemon books in a file whose budgets go on elsewhere; what it wrote out itself is not moved in."""
        file = await filled(tmp_path)
        take_in(file, fleet)
        with pytest.raises(LedgerUnavailable):
            await Ledger.open(LedgerSettings(path=file))
        back = tmp_path / "back.sqlite3"
        write_out(fleet, back)
        with pytest.raises(InvalidArgument):
            take_in(back, fleet)
        with pytest.raises(InvalidArgument):
            write_out(fleet, back)


class TestRefused:
    async def test_while_a_daemon_has_it(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        """What is still written to is not moved."""
        ledger = await Ledger.open(settings(tmp_path))
        with pytest.raises(LedgerUnavailable):
            take_in(settings(tmp_path).path, fleet)
        await ledger.reserve(request(), 5)
        await ledger.close()
        with pytest.raises(InvalidArgument):
            take_in(settings(tmp_path).path, fleet)

    async def test_where_a_uid_is_anothers(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        ledger = await Ledger.open(settings(tmp_path))
        await ledger.note_owner(1000, "ann")
        await ledger.close()
        running = await Ledger.open(fleet, machine=BETA)
        await running.note_owner(1000, "bob")
        await running.close()
        with pytest.raises(AccessDenied):
            take_in(settings(tmp_path).path, fleet)

    async def test_where_a_uid_becomes_anothers_meanwhile(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        """Nothing of it is moved: it would be the new one's."""
        file = await filled(tmp_path)
        running = await Ledger.open(fleet, machine=BETA)

        def note(_moved: int, _of: int) -> None:
            with place_of(fleet).writer().begin() as connection:
                connection.exec_driver_sql("DELETE FROM owners")
                connection.exec_driver_sql("INSERT INTO owners VALUES (1001, 'bob', 0, now())")

        with pytest.raises(AccessDenied):
            take_in(file, fleet, note)
        assert (await running.stats(None)).total_requests == 0
        await running.close()

    async def test_without_a_database(self, tmp_path: Path) -> None:
        await (await Ledger.open(settings(tmp_path))).close()
        with pytest.raises(InvalidArgument):
            take_in(settings(tmp_path).path, LedgerSettings(path=tmp_path / "other"))

    async def test_where_its_sums_are_wrong(self, tmp_path: Path, fleet: LedgerSettings) -> None:
        """A daily sum that is not what was pruned stays as it is, and is told by the check: it is moved as it is."""
        file = await filled(tmp_path)
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(
                "UPDATE requests SET cost_nano = cost_nano + 1 WHERE id = (SELECT max(id) FROM requests)"
            )
        assert isinstance(take_in(file, fleet), Moved)
        assert len(check(fleet)) == 1


class TestCommands:
    async def test_say_what_was_moved(
        self, tmp_path: Path, postgresql: Cluster, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """cortexctl fleet moves a file in and writes one out, and tells the sums; usage of all machines is there."""
        file, back = await filled(tmp_path), tmp_path / "back.sqlite3"
        before = await figures_of(LedgerSettings(path=file))
        config = tmp_path / "config.toml"
        config.write_text(f'[ledger]\nurl = "{postgresql.database()}"\n')
        nano = str(before["totals"].total_cost_nano)
        for words in (("import", str(file)), ("import", str(file)), ("export", str(back))):
            assert main(["fleet", *words, "--config", str(config)]) == 0
            assert nano in capsys.readouterr().out
        assert main(["fleet", "usage", "--by", "day", "--days", "3650", "--json", "--config", str(config)]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert sum(row["cost_nano_usd"] for row in rows) == int(nano)
        assert main(["fleet", "import", str(back), "--config", str(config)]) != 0


def test_every_table_is_moved_or_meant_to_stay() -> None:
    """A new table wants its way into another ledger."""
    with_requests = {"requests", "attempts", "entries", "outcomes", "decisions"}
    added_up = {"daily", "prunings", "carried", "rollups", "owners", "hosts"}
    one_each = {table.name for table in ONE_EACH}
    stay = {"budget_overrides", "meta"}
    assert with_requests | added_up | one_each | stay == metadata.tables.keys()
