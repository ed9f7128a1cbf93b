"""Any order of reserving, settling, dying, pruning and reading: the same answers on every kind of database.

Where several daemons may share a ledger two of them take turns; the model does not know.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cortexd.ledger import OverBudget, Period, RequestState, Settled, UsageQuery
from cortexd.ledger.engines import Place, place_of
from cortexd.ledger.keeping import retention
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.reading import statistics, usage
from cortexd.ledger.writing.actions import ReadBooks, Reserve, ReserveMore, ResetStats, Settle, Upkeep
from cortexd.ledger.writing.shared_store import SharedStore
from cortexd.ledger.writing.store import Store
from tests.unit.test_ledger_budgets import limit
from tests.unit.test_ledger_parts import MACHINE, at, attempt, expire_leases, request, settings

pytestmark = pytest.mark.usefixtures("engine")
NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=100)
EVER = (date(2020, 1, 1), date(2100, 1, 1))
LIMITS = (limit(120), limit(60, (1,)), limit(90, (1, 2), Period.MONTH))
UIDS = st.integers(1, 3)
ENDS = st.sampled_from((RequestState.DONE, RequestState.FAILED, RequestState.CANCELLED))


@dataclass
class Made:
    uid: int
    old: bool
    held: int
    key: int
    machine: int
    spent: int = 0
    open: bool = True
    since_reset: bool = True
    spent_before: int = 0
    """At the last reset, after which a correction counts as what it changes."""
    correctable: bool = False
    """Whether others have settled it as lost where it may tell them better."""


class Machines(RuleBasedStateMachine):
    """One ledger, and what it must say by the plainest rules."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.settings = settings(Path(self.directory.name))
        self.stores = self.opened()
        self.made: list[Made] = []
        self.turn = 0

    @property
    def shared(self) -> bool:
        return place_of(self.settings).engine.sharing is not None

    def opened(self) -> list[Store]:
        place = place_of(self.settings)
        return [self.store(place, name) for name in (("a", "b") if place.engine.sharing else ("a",))]

    def store(self, place: Place, name: str) -> Store:
        if place.engine.sharing:
            return SharedStore(place, name, 900, MACHINE, self.settings.spool)
        return Store(place, name, 900, MACHINE)

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        assert check(at(self.settings.path)) == []
        self.directory.cleanup()

    def run(self, action: Any, machine: int | None = None) -> Any:
        if machine is None:
            self.turn += 1
            machine = self.turn
        [result] = self.stores[machine % len(self.stores)].run([action])
        return result

    def open_ones(self) -> list[Made]:
        return [made for made in self.made if made.open]

    def standing(self) -> list[tuple[int, int]]:
        """What today, or this month, is spent and reserved under each limit."""
        new = [made for made in self.made if not made.old]
        under = [[made for made in new if each.uids is None or made.uid in each.uids] for each in LIMITS]
        return [(sum(made.spent for made in some), sum(made.held for made in some)) for some in under]

    def fits(self, uid: int, nano: int) -> bool:
        pairs = zip(LIMITS, self.standing(), strict=True)
        mine = [(each, sums) for each, sums in pairs if each.uids is None or uid in each.uids]
        return nano == 0 or all(sum(sums) + nano <= each.nano for each, sums in mine)

    @rule(uid=UIDS, nano=st.integers(0, 50))
    def reserve(self, uid: int, nano: int) -> None:
        limits = tuple(each for each in LIMITS if each.uids is None or uid in each.uids)
        self.turn += 1
        result = self.run(Reserve(request(uid, started_at=NOW), nano, limits), self.turn)
        if self.fits(uid, nano):
            self.made.append(Made(uid, False, nano, result, self.turn))
        else:
            assert isinstance(result, OverBudget)

    @rule(uid=UIDS, nano=st.integers(0, 50))
    def reserve_long_ago(self, uid: int, nano: int) -> None:
        self.turn += 1
        key = self.run(Reserve(request(uid, started_at=OLD), nano), self.turn)
        self.made.append(Made(uid, True, nano, key, self.turn))

    @precondition(lambda self: self.open_ones())
    @rule(number=st.integers(0, 50), nano=st.integers(0, 30))
    def reserve_more(self, number: int, nano: int) -> None:
        made = self.open_ones()[number % len(self.open_ones())]
        result = self.run(ReserveMore(made.key, nano), made.machine)
        if made.old or self.fits(made.uid, nano):
            assert result is None
            made.held += nano
        else:
            assert isinstance(result, OverBudget)

    @precondition(lambda self: self.made)
    @rule(number=st.integers(0, 50), nano=st.integers(0, 60), end=ENDS)
    def settle(self, number: int, nano: int, end: RequestState) -> None:
        made = self.made[number % len(self.made)]
        result = self.run(Settle(made.key, end, (attempt(nano),)), made.machine)
        assert isinstance(result, Settled) == (made.open or made.correctable)
        if made.open or made.correctable:
            made.spent, made.held, made.open, made.correctable = nano, 0, False, False

    @rule()
    def die(self) -> None:
        """All daemons, with their requests; new ones settle those as lost."""
        for store in self.stores:
            store.close()
        expire_leases(self.settings.path)
        self.stores = self.opened()
        lost = self.open_ones()
        assert sum(store.recovered for store in self.stores) == len(lost)
        for made in lost:
            made.spent, made.held, made.open, made.correctable = made.held, 0, False, self.shared

    @rule()
    def retain(self) -> None:
        """All that is old and settled becomes daily sums, by whoever is at it."""
        before = retention.clamped(date.today(), date.today())

        def prune(connection: Any) -> bool:
            chunk = retention.read_chunk(connection, before, 5)
            return chunk is not None and retention.prune_read(connection, chunk, before) is not None

        while self.run(Upkeep(prune, lambda _: None)):
            pass
        for made in self.made:
            made.correctable = made.correctable and not made.old

    @rule(uid=UIDS)
    def reset(self, uid: int) -> None:
        assert self.run(ResetStats(uid)) is None
        for made in self.made:
            if made.uid == uid and not made.open:
                made.since_reset, made.spent_before = False, made.spent

    @invariant()
    def limits_stand(self) -> None:
        today = NOW.astimezone().date().isoformat()
        for machine, _ in enumerate(self.stores):
            states = self.run(ReadBooks(LIMITS, today), machine)
            assert [(state.spent_nano, state.reserved_nano) for state in states] == self.standing()

    @invariant()
    def reports_agree(self) -> None:
        with place_of(self.settings).reading() as connection:
            settled = [made for made in self.made if not made.open]
            everybody = statistics.everybody(connection)
            assert everybody.total_requests == len(settled)
            assert everybody.total_cost_nano == sum(made.spent for made in settled)
            for uid in (1, 2, 3):
                mine = [made for made in settled if made.uid == uid]
                [row] = usage.read(connection, UsageQuery(uid, *EVER))
                assert (row.requests, row.cost_nano) == (len(mine), sum(made.spent for made in mine))
                since = sum(made.since_reset for made in mine), sum(made.spent - made.spent_before for made in mine)
                stats = statistics.read(connection, uid)
                assert (stats.total_requests, stats.total_cost_nano) == since


class TestModel:
    def test_agrees_with_the_plainest_rules(self) -> None:
        """Every answer, every limit, every report after every step; and the books add up in the end."""
        few = examples(max_examples=8, stateful_step_count=20, deadline=None, database=None)
        run_state_machine_as_test(Machines, settings=few)
