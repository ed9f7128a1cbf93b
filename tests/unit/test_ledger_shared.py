"""One ledger in the hands of several daemons: nobody's budget is passed, nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from cortexd.config.settings import LedgerSettings
from cortexd.domain.apps import APP
from cortexd.errors import AccessDenied, InvalidArgument, LedgerUnavailable, RequestNotFound
from cortexd.ledger import DuplicateRequest, Ledger, Limit, OverBudget, Period, Settled, UsageQuery
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping.maintenance import backup, begin_anew, check, export
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_budgets import limit
from tests.unit.test_ledger_parts import MACHINE, attempt, complete, eventually, request, several

pytestmark = pytest.mark.slow
EVER = (date(2020, 1, 1), date(2100, 1, 1))


@pytest.fixture
def at(postgresql: Cluster) -> LedgerSettings:
    """Of an empty ledger in a database."""
    return shared(postgresql.ledger())


@pytest.fixture
async def machines(at: LedgerSettings) -> AsyncIterator[list[Ledger]]:
    async with several(*(Ledger.open(at) for _ in range(3))) as machines:
        yield machines


def seen(at: LedgerSettings, statement: str) -> list[tuple[object, ...]]:
    """What is in the database."""
    with place_of(at).reading() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def change(at: LedgerSettings, statement: str) -> None:
    with place_of(at).writer().begin() as connection:
        connection.execute(text(statement))


class TestBudgets:
    @pytest.mark.parametrize("uids", [None, (1,), (1, 2, 3)], ids=["everybody", "one", "group"])
    async def test_are_not_passed_together(
        self, machines: list[Ledger], at: LedgerSettings, uids: tuple[int, ...] | None
    ) -> None:
        """Of many reservations at once on all machines as many are taken as fit, and not one more; their sums are
        those of the entries."""
        limits = (limit(1_000, uids), limit(1_500, uids, Period.MONTH))
        chance = random.Random(1)

        async def ask(machine: Ledger) -> int:
            nano = chance.randrange(1, 40)
            try:
                key = await machine.reserve(request(1 if uids == (1,) else chance.choice((1, 2, 3))), nano, limits)
            except OverBudget:
                return 0
            if chance.random() < 0.5:
                await machine.settle(key, "done", [attempt(nano // 2)])
            return 1

        taken = await asyncio.gather(*(ask(machine) for _ in range(100) for machine in machines))
        assert 0 < sum(taken) < len(taken)
        [state] = await machines[0].budgets(limits[:1])
        assert state.spent_nano + state.reserved_nano <= 1_000
        [(spent, reserved)] = seen(
            at,
            "SELECT sum(nano) FILTER (WHERE kind = 'charge'), sum(nano) FILTER (WHERE kind = 'reserve') - "
            "sum(nano) FILTER (WHERE kind = 'release') FROM entries",
        )
        assert (state.spent_nano, state.reserved_nano) == (spent, reserved)

    @pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
    async def test_in_a_database_of_another_default(self, at: LedgerSettings, isolation: str) -> None:
        """What transactions see elsewhere in it is no reason to give the same money away twice."""
        chosen = f"{at.url}%20-cdefault_transaction_isolation%3D{isolation.replace(' ', '%5C%20')}"
        ids = ("1" * 32, "2" * 32)
        one, other = [await Ledger.open(replace(at, url=chosen), machine=replace(MACHINE, id=each)) for each in ids]
        asked = [machine.reserve(request(), 30, [limit(100)]) for _ in range(5) for machine in (one, other)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(key, int) for key in found) == 3
        assert all(isinstance(refused, OverBudget) for refused in found if not isinstance(refused, int))
        await one.close()
        await other.close()

    async def test_are_the_same_everywhere(self, machines: list[Ledger]) -> None:
        """What one machine reserves and settles, the others see at once."""
        first, second, _ = machines
        key = await first.reserve(request(), 70, [limit(100)])
        with pytest.raises(OverBudget) as refused:
            await second.reserve(request(), 31, [limit(100)])
        assert (refused.value.room_nano, refused.value.state.reserved_nano) == (30, 70)
        await first.settle(key, "done", [attempt(10)])
        await second.reserve(request(), 90, [limit(100)])

    async def test_of_one_program(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """A program's budget goes by its requests alone, on every machine, also by those that a dead daemon left."""
        first, second, _ = machines
        limits = [Limit(APP, "vim", Period.DAY, 100, frozenset((1000,)))]
        await first.reserve(request(labels={"app": "vim", "long": "x" * 500}), 60, limits)
        await first.reserve(request(labels={"app": "code"}), 60)
        with pytest.raises(OverBudget) as refused:
            await second.reserve(request(labels={"app": "vim"}), 41, limits)
        assert refused.value.room_nano == 40
        change(at, "UPDATE requests SET lease_until = started_at")
        await (await Ledger.open(at)).close()
        [state] = await second.budgets(limits)
        assert (state.spent_nano, state.reserved_nano) == (60, 0)

    async def test_a_threshold_is_crossed_once(self, machines: list[Ledger]) -> None:
        """Settlements of several machines tell a limit's way without gaps or overlaps."""
        limits = [limit(1_000)]
        keys = [(machine, await machine.reserve(request(), 10, limits)) for machine in machines for _ in range(10)]
        settled = await asyncio.gather(*(machine.settle(key, "done", [attempt(10)]) for machine, key in keys))
        steps = sorted((each.budgets[0].before_nano, each.budgets[0].after_nano) for each in settled)
        assert steps == [(nano, nano + 10) for nano in range(0, 300, 10)]


class TestRequests:
    async def test_an_id_is_used_once(self, machines: list[Ledger]) -> None:
        """Of all machines one takes a request id that a user has chosen; the others learn of that request."""

        async def ask(machine: Ledger) -> object:
            try:
                return await machine.reserve(request(request_id="job", caller_chosen=True), 5)
            except DuplicateRequest as used:
                return used.stored.request_id

        answers = await asyncio.gather(*map(ask, machines))
        assert sorted(map(str, answers))[1:] == ["job", "job"]

    async def test_keys_are_those_of_one_machine(self, machines: list[Ledger]) -> None:
        """No two requests have the same key."""
        keys = await asyncio.gather(*(machine.reserve(request(), 1) for machine in machines for _ in range(300)))
        assert len(set(keys)) == 900

    async def test_reports_are_of_all_machines(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """Usage, statistics, sums and the books' check take in what each has done."""
        for machine in machines:
            await complete(machine, 5)
        for machine in machines:
            assert (await machine.stats(1000)).total_cost_nano == 15
            assert (await machine.stats(None)).total_requests == 3
            assert (await machine.spent(1000)).day_nano == 15
            [row] = await machine.usage(UsageQuery(None, *EVER))
            assert (row.requests, row.cost_nano) == (3, 15)
        assert check(at) == []
        [again] = [await Ledger.open(at)]
        assert (again.totals.total_requests, again.totals.total_cost_nano) == (3, 15)
        await again.close()

    async def test_pruning_beside_another_machine(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """Old requests are turned into daily sums once, whoever does it, and no figure changes."""
        old = datetime.now(UTC) - timedelta(days=100)
        for machine in machines:
            for _ in range(20):
                await complete(machine, 5, started_at=old)
        first = date.today() - timedelta(days=70)
        pruned = await asyncio.gather(*(machine.prune(first) for machine in machines))
        assert sum(each.requests for each in pruned) == 60
        assert (await machines[0].stats(1000)).total_cost_nano == 300
        assert check(at) == []


class TestDeadDaemons:
    async def test_requests_are_lost_once_after_their_lease(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """What a daemon left is settled at what it had reserved, once, by any other, when its lease is over."""
        await machines[0].reserve(request(), 40)
        opened = [await Ledger.open(at) for _ in range(2)]
        assert [machine.recovered for machine in opened] == [0, 0]
        change(at, "UPDATE requests SET lease_until = started_at")
        late = await asyncio.gather(Ledger.open(at), Ledger.open(at))
        assert sorted(machine.recovered for machine in late) == [0, 1]
        assert (await late[0].spent(1000)).day_nano == 40
        for machine in (*opened, *late):
            await machine.close()
        assert check(at) == []

    async def test_a_settlement_that_comes_too_late(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """A request that others have settled as lost, at what it had reserved, is put right by whoever had it."""
        key = await machines[0].reserve(request(), 40, [limit(100)])
        change(at, "UPDATE requests SET lease_until = started_at")
        await (await Ledger.open(at)).close()
        assert (await machines[1].spent(1000)).day_nano == 40
        with pytest.raises(LedgerUnavailable):
            await machines[0].reserve_more(key, 1)
        settled = await machines[0].settle(key, "done", [attempt(10)])
        assert (settled.cost_nano, settled.user_day_nano) == (10, 10)
        [state] = await machines[1].budgets([limit(100)])
        assert (state.spent_nano, state.reserved_nano) == (10, 0)
        assert seen(at, "SELECT state, cost_nano FROM requests") == [("done", 10)]
        assert seen(at, "SELECT spent FROM sums WHERE uid = 1000 AND spent <> 10") == []
        with pytest.raises(RequestNotFound):
            await machines[0].settle(key, "done", [attempt(10)])
        assert check(at) == []

    @pytest.mark.parametrize("cost", [10, 70], ids=["less", "more"])
    async def test_a_settlement_that_comes_after_a_reset(
        self, machines: list[Ledger], at: LedgerSettings, cost: int
    ) -> None:
        """A request that was lost before its user's statistics began anew is none of them, whatever it came to; one
        that is lost afterwards is."""
        for reset in (True, False):
            key = await machines[0].reserve(request(), 40)
            change(at, "UPDATE requests SET lease_until = started_at")
            await (await Ledger.open(at)).close()
            if reset:
                await machines[1].reset_stats(1000)
                await complete(machines[1], 5)
            before = await machines[1].stats(1000)
            await machines[0].settle(key, "done", [attempt(cost)])
            found = await machines[1].stats(1000)
            assert found.total_requests == before.total_requests
            assert found.total_cost_nano - before.total_cost_nano == (0 if reset else cost - 40)
            assert (found.providers == before.providers) is reset
        assert found.providers["claude"].cost_nano == 5 + cost
        assert (await machines[1].stats(None)).total_cost_nano == 5 + 2 * cost
        assert check(at) == []

    async def test_are_found_while_others_run(self, at: LedgerSettings) -> None:
        """A daemon that has nothing to do itself settles what another has left."""
        dead = await Ledger.open(at)
        await dead.reserve(request(), 40)
        other = await Ledger.open(LedgerSettings(url=at.url, lease_s=0.3))
        change(at, "UPDATE requests SET lease_until = started_at")
        await eventually(lambda: seen(at, "SELECT state FROM requests") == [("lost",)])
        await eventually(lambda: other.totals.total_cost_nano == 40)
        for machine in (dead, other):
            await machine.close()


class TestUsers:
    async def test_a_uid_of_two_people(self, machines: list[Ledger]) -> None:
        """Machines that know a uid by two names would share a budget, or begin it anew in turns: it is refused."""
        await machines[0].note_owner(1000, "ann")
        await machines[1].note_owner(1000, "ann")
        with pytest.raises(AccessDenied):
            await machines[1].note_owner(1000, "bob")
        with pytest.raises(AccessDenied):
            await machines[1].take_over(1000, "bob")


class TestAway:
    async def test_refuses_at_once_and_recovers(self, at: LedgerSettings, postgresql: Cluster) -> None:
        """While the database is away requests are refused, and what was under way is settled when it is back."""
        ledger = await Ledger.open(at)
        key = await ledger.reserve(request(), 40, [limit(100)])
        told: list[Settled] = []
        postgresql.stop()
        try:
            with pytest.raises(LedgerUnavailable):
                await ledger.settle(key, "done", [attempt(10)], told.append)
            assert not ledger.writable
            for _ in range(50):
                with pytest.raises(LedgerUnavailable):
                    await ledger.reserve(request(), 1)
        finally:
            postgresql.start()
        await eventually(lambda: bool(told))
        await eventually(lambda: ledger.writable)
        [state] = await ledger.budgets([limit(100)])
        assert (state.spent_nano, state.reserved_nano) == (10, 0)
        await complete(ledger, 5)
        assert (await ledger.stats(1000)).total_cost_nano == 15
        await ledger.close()
        assert check(at) == []

    async def test_recovers_with_nothing_to_do(self, at: LedgerSettings, postgresql: Cluster) -> None:
        """Nobody has to ask for it."""
        ledger = await Ledger.open(at)
        postgresql.stop()
        try:
            with pytest.raises(LedgerUnavailable):
                await ledger.reserve(request(), 1)
            assert not ledger.writable
        finally:
            postgresql.start()
        await eventually(lambda: ledger.writable)
        await complete(ledger, 5)
        await ledger.close()


class TestTools:
    async def test_of_a_database(self, at: LedgerSettings, tmp_path: Path) -> None:
        """It is checked and written out like a file; copies and beginnings are for the database's own tools."""
        ledger = await Ledger.open(at)
        await complete(ledger, 5)
        lines: list[str] = []

        class Stream:
            def write(self, text: str, /) -> None:
                lines.append(text)

        assert export(at, *EVER, Stream(), "jsonl") == 1
        with pytest.raises(InvalidArgument):
            backup(at, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
        with pytest.raises(InvalidArgument):
            begin_anew(at)
        await ledger.close()

    async def test_is_made_once_by_many(self, postgresql: Cluster) -> None:
        """Daemons that begin together on an empty database make one ledger."""
        empty = shared(postgresql.database())
        machines = await asyncio.gather(*(Ledger.open(empty) for _ in range(4)))
        for machine in machines:
            await complete(machine, 5)
            await machine.close()
        assert check(empty) == []


class TestJournal:
    async def test_quotes_no_row(
        self, machines: list[Ledger], at: LedgerSettings, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What a database objects to is told by its code and first line; what comes after that quotes the row."""
        change(at, "ALTER TABLE requests ADD CONSTRAINT no_such_id CHECK (request_id <> 'a-secret')")
        change(at, "ALTER TABLE owners ADD CONSTRAINT no_such_name CHECK (\"user\" <> 'a-secret')")
        with pytest.raises(LedgerUnavailable):
            await machines[0].reserve(request(request_id="a-secret"), 1)
        with pytest.raises(LedgerUnavailable):
            await machines[0].note_owner(1000, "a-secret")
        for name in ("no_such_id", "no_such_name"):
            assert f'violates check constraint "{name}" (23514)' in caplog.text
        assert "a-secret" not in caplog.text
