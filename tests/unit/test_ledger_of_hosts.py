"""Users by machine: where each machine has its own, the same uid on two of them is two people, in everything kept."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.domain.own_cap import OwnCap
from cortexd.errors import RequestNotFound
from cortexd.ledger import DuplicateRequest, Ledger, LimitOverride, OverBudget, UsageQuery
from cortexd.ledger.keeping.machine import Machine, hashed
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.of_hosts import LedgerOfHosts
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_budgets import limit
from tests.unit.test_ledger_parts import attempt, complete, request, several
from tests.unit.test_ledger_shared import change

EVER = (date(2020, 1, 1), date(2100, 1, 1))


def test_no_method_takes_a_uid_as_it_is() -> None:
    """Whatever the ledger is asked by uid, or by limits, is asked of this machine's people."""
    asked = {
        name
        for name, method in inspect.getmembers(Ledger, inspect.isfunction)
        if not name.startswith("_")
        and {"uid", "by_uid", "limits", "query", "request"} & set(inspect.signature(method).parameters)
    }
    assert asked <= vars(LedgerOfHosts).keys()
    assert {"reserve", "usage", "budgets", "set_budget"} <= asked


@pytest.fixture
def at(postgresql: Cluster) -> LedgerSettings:
    return replace(shared(postgresql.ledger()), users="host")


@pytest.fixture
async def machines(at: LedgerSettings) -> AsyncIterator[list[Ledger]]:
    known = [Machine(hashed(name.encode()), name) for name in ("alpha", "beta")]
    async with several(*(Ledger.open(at, machine=machine) for machine in known)) as machines:
        yield machines


@pytest.mark.slow
class TestPeople:
    async def test_have_budgets_of_their_own(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """What a namesake on another machine spends is not theirs; what all spend together is."""
        alpha, beta = machines
        key = await alpha.reserve(request(), 90, [limit(100, (1000,)), limit(150)])
        await alpha.settle(key, "done", [attempt(90)])
        await beta.reserve(request(), 60, [limit(100, (1000,)), limit(150)])
        with pytest.raises(OverBudget) as refused:
            await beta.reserve(request(), 41, [limit(100, (1000,))])
        assert refused.value.room_nano == 40
        with pytest.raises(OverBudget):
            await beta.reserve(request(), 1, [limit(150)])
        own, everybody = await beta.budgets([limit(100, (1000,)), limit(150)], 1000)
        assert (own.spent_nano, own.reserved_nano, everybody.spent_nano) == (0, 60, 90)
        assert [(await machine.spent(1000)).day_nano for machine in machines] == [90, 0]
        assert check(at) == []

    async def test_have_requests_and_counters_of_their_own(self, machines: list[Ledger]) -> None:
        """A request id is used once by each; nobody finds another's request, or resets another's counters."""
        for machine in machines:
            key = await machine.reserve(request(request_id="job", caller_chosen=True), 5)
            await machine.settle(key, "done", [attempt(5)])
            with pytest.raises(DuplicateRequest):
                await machine.reserve(request(request_id="job", caller_chosen=True), 5)
        await machines[0].reset_stats(1000)
        assert [(await machine.stats(1000)).total_requests for machine in machines] == [0, 1]
        found = await machines[0].find(1000, "job")
        other = await machines[1].find(1000, "job")
        assert found is not None
        assert other is not None
        assert found.key != other.key

    async def test_have_names_caps_and_wishes_of_their_own(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """Two names for a uid are two people; each machine sees its own alone, also after a restart."""
        for machine, name in zip(machines, ("ann", "bob"), strict=True):
            await machine.note_owner(1000, name)
            await machine.set_preferences(1000, {"strategy": name})
            await machine.set_own_cap(1000, OwnCap(day_nano=len(name)))
            await machine.set_budget("user", name, LimitOverride(1, 1), 1000)
        assert await machines[0].owners() == {1000: "ann"}
        assert await machines[1].preferences(1000) == {"strategy": "bob"}
        again = await Ledger.open(at, machine=Machine(hashed(b"beta"), "beta"))
        assert (await again.owners(), list(await again.own_caps())) == ({1000: "bob"}, [1000])
        await again.close()

    async def test_may_follow_each_other(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """A uid that is a new person's on one machine begins anew there, and nowhere else: sums, budgets, ids."""
        for machine in machines:
            await machine.note_owner(1000, "ann")
            await complete(machine, 50, request_id="first", caller_chosen=True)
        await machines[0].take_over(1000, "eve")
        own = [limit(100, (1000,))]
        assert [(await machine.budgets(own, 1000))[0].spent_nano for machine in machines] == [0, 50]
        assert [(await machine.spent(1000)).day_nano for machine in machines] == [0, 50]
        await machines[0].reserve(request(request_id="first", caller_chosen=True), 100, own)
        [everybody] = await machines[0].budgets([limit(1_000)])
        assert (everybody.spent_nano, everybody.reserved_nano) == (100, 100)
        assert check(at) == []

    @pytest.mark.parametrize("then", [("eve",), ("eve", "user1000")], ids=["another", "of the same name"])
    async def test_gain_nothing_by_what_a_former_one_gets_back(
        self, machines: list[Ledger], at: LedgerSettings, then: tuple[str, ...]
    ) -> None:
        """A request that was settled as lost, and ends once its uid is another's, gives the new one no money."""
        first = machines[0]
        await first.note_owner(1000, "user1000")
        key = await first.reserve(request(), 40)
        change(at, "UPDATE requests SET lease_until = started_at")
        await (await Ledger.open(at)).close()
        for user in then:
            await first.take_over(1000, user)
        with pytest.raises(RequestNotFound):
            await first.settle(key, "done", [attempt(10)])
        [own] = await first.budgets([limit(100, (1000,))], 1000)
        assert (own.spent_nano, (await first.spent(1000)).day_nano) == (0, 0)
        assert check(at) == []

    async def test_have_put_right_what_they_were_charged(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """A former one's request that is settled as lost at the new one's cost costs him what it came to."""
        first = machines[0]
        await first.note_owner(1000, "user1000")
        key = await first.reserve(request(), 40)
        await first.take_over(1000, "eve")
        change(at, "UPDATE requests SET lease_until = started_at")
        await (await Ledger.open(at)).close()
        assert (await first.spent(1000)).day_nano == 40
        await first.settle(key, "done", [attempt(10)])
        [own] = await first.budgets([limit(100, (1000,))], 1000)
        assert (own.spent_nano, (await first.spent(1000)).day_nano) == (10, 10)
        assert check(at) == []

    async def test_are_not_the_next_machines(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """What users of a machine that is long gone have set, nobody finds on a machine that comes later."""
        first, gone = machines
        await gone.note_owner(1000, "ann")
        await gone.set_preferences(1000, {"providers": {"chat": "own"}})
        await gone.close()
        await first.fleet.forget_hosts(datetime.now(UTC) + timedelta(days=1))
        later = await Ledger.open(at, machine=Machine(hashed(b"gamma"), "gamma"))
        assert (await later.preferences(1000), await later.owners()) == ({}, {})
        await later.close()

    async def test_are_told_apart_in_reports(self, machines: list[Ledger]) -> None:
        """By user means by machine, too; by machine alone all of its users are together."""
        for cost, machine in enumerate(machines, start=1):
            await complete(machine, cost)
            await complete(machine, 10 * cost, uid=1001)
        rows = await machines[0].usage(UsageQuery(None, *EVER, ("uid",)))
        told = {(row.keys["uid"], row.keys["host"]): row.cost_nano for row in rows}
        assert told == {(1000, "alpha"): 1, (1001, "alpha"): 10, (1000, "beta"): 2, (1001, "beta"): 20}
        [alpha, beta] = await machines[1].usage(UsageQuery(None, *EVER, ("host",)))
        assert (alpha.keys["host"], alpha.cost_nano, beta.cost_nano) == ("alpha", 11, 22)
        [own] = await machines[1].usage(UsageQuery(1000, *EVER, user="user1000"))
        assert own.cost_nano == 2
