"""Budgets in transaction A: whatever happens at once or in between, no limit is passed, and no nano-dollar is lost."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cortexd.accounts import thresholds_crossed
from cortexd.ledger import BudgetChange, DuplicateRequest, Ledger, Limit, OverBudget, Period, Totals
from tests.unit.test_ledger_parts import attempt, audited, request, rows, settings, while_locked

pytestmark = pytest.mark.usefixtures("engine")

UIDS = (1000, 1001, 1002)
NAMES = {None: ("machine", ""), frozenset((1000, 1001)): ("group", "students")}
THRESHOLDS = (0.5, 0.8, 0.95)
TEN_CENTS = 100_000_000


def limit(nano: int, uids: Iterable[int] | None = None, period: Period = Period.DAY) -> Limit:
    whose = None if uids is None else frozenset(uids)
    scope, name = NAMES.get(whose, ("user", "someone"))
    return Limit(scope, name, period, nano, whose)


def limits_of(uid: int) -> tuple[Limit, ...]:
    """$0.10 for the machine a month, $0.07 for a group of two users a day, $0.05 for each user a day."""
    group = (limit(70_000_000, (1000, 1001)),) if uid != 1002 else ()
    return (limit(50_000_000, (uid,)), *group, limit(TEN_CENTS, None, Period.MONTH))


def concerns(each: Limit, entry: Any) -> bool:
    return each.uids is None or entry["uid"] in each.uids


class Replay:
    """Entries read back in order: what each limit had spent and reserved after each, in each of its periods."""

    def __init__(self, path: Path, limits: Iterable[Limit]) -> None:
        self.spent: Counter[tuple[Limit, str]] = Counter()
        self.reserved: Counter[tuple[Limit, str]] = Counter()
        self.passed: list[str] = []
        """Instants at which more was spent and reserved than a limit allows; `by_reserving`: through a reservation."""
        self.by_reserving: list[str] = []
        chosen = set(limits)
        for entry in rows(path, "SELECT * FROM entries ORDER BY seq"):
            for each in chosen:
                if concerns(each, entry):
                    self._take(each, entry)

    def _take(self, each: Limit, entry: Any) -> None:
        key = (each, entry[each.period.value])
        kind, nano = entry["kind"], entry["nano"]
        if kind in ("charge", "adjust"):
            self.spent[key] += nano
        else:
            self.reserved[key] += nano if kind == "reserve" else -nano
        if self.spent[key] + self.reserved[key] > each.nano:
            words = f"seq {entry['seq']}: {self.spent[key]} + {self.reserved[key]} of {each}"
            self.passed.append(words)
            if kind == "reserve" and nano:
                self.by_reserving.append(words)


class User:
    """One request after another of one user, with what came of each."""

    def __init__(self, ledger: Ledger, uid: int, chance: random.Random, overshoot: bool) -> None:
        self.ledger, self.uid, self.chance, self.overshoot = ledger, uid, chance, overshoot
        self.costs: list[int] = []
        self.changes: list[BudgetChange] = []
        self.refused = 0

    async def ask(self) -> None:
        worst = self.chance.randrange(1, 1_200_000)
        try:
            key = await self.ledger.reserve(request(self.uid), worst, limits_of(self.uid))
        except OverBudget:
            self.refused += 1
            return
        if self.chance.random() < 0.2:
            try:
                await self.ledger.reserve_more(key, 300_000)
                worst += 300_000
            except OverBudget:
                self.refused += 1
        await asyncio.sleep(self.chance.random() / 100)
        await self._settle(key, worst)

    async def _settle(self, key: int, worst: int) -> None:
        fate = self.chance.random()
        if fate < 0.1:
            settled = await self.ledger.settle(key, "cancelled", [])
        elif fate < 0.15 and self.overshoot:
            settled = await self.ledger.settle(key, "done", [attempt(worst + 7)])
        else:
            first = self.chance.randrange(worst)
            settled = await self.ledger.settle(key, "done", [attempt(first), attempt(worst - first)])
        self.costs.append(settled.cost_nano)
        self.changes.extend(settled.budgets)


class TestManyAtOnce:
    @pytest.mark.parametrize("overshoot", [False, True], ids=["within_reservations", "some_above"])
    async def test_never_pass_a_limit(self, tmp_path: Path, overshoot: bool) -> None:
        """1,000 requests of three users at once: at no instant is more spent and reserved than a limit allows."""
        chance = random.Random(4)
        ledger = await Ledger.open(settings(tmp_path))
        users = [User(ledger, uid, chance, overshoot) for uid in UIDS]
        await asyncio.gather(*(users[number % 3].ask() for number in range(1000)))
        every = {each for uid in UIDS for each in limits_of(uid)}
        states = {state.limit: state for state in await ledger.budgets(list(every))}
        await ledger.close()

        path = settings(tmp_path).path
        replay = Replay(path, every)
        assert replay.by_reserving == []
        assert overshoot or replay.passed == []
        assert sum(user.refused for user in users) > 100, "the limits were never reached: this proves nothing"
        assert sum(map(len, (user.costs for user in users))) > 100
        assert states.keys() == every
        for each, state in states.items():
            (period,) = {period for known, period in replay.spent if known == each}
            assert (state.spent_nano, state.reserved_nano) == (replay.spent[each, period], 0)
        audit = audited(path)
        assert audit.charged_nano == sum(sum(user.costs) for user in users)
        assert (audit.pending, audit.reserved_nano, audit.wrong_rows) == (0, 0, 0)

    async def test_tell_each_threshold_once(self, tmp_path: Path) -> None:
        """Each limit's changes join without a gap or an overlap, so that each threshold is crossed in one of them."""
        ledger = await Ledger.open(settings(tmp_path))
        users = [User(ledger, uid, random.Random(uid), overshoot=True) for uid in UIDS]
        await asyncio.gather(*(users[number % 3].ask() for number in range(600)))
        await ledger.close()
        told: Counter[tuple[Limit, float]] = Counter()
        for each in {each for uid in UIDS for each in limits_of(uid)}:
            changes = sorted(change for user in users for change in user.changes if change.limit == each)
            changes = [change for change in changes if change.before_nano != change.after_nano]
            assert changes[0].before_nano == 0
            assert all(one.after_nano == following.before_nano for one, following in pairwise(changes))
            for change in changes:
                told.update((each, fraction) for fraction in thresholds_crossed(change, THRESHOLDS))
        assert set(told.values()) == {1}
        assert len(told) >= 6


# Spends under limits until it is killed; says "over" for each refusal, "settled" for each settlement.
DAEMON = """
import asyncio, os, sys
from pathlib import Path
from tests.unit.test_ledger_parts import attempt, request, settings
from tests.unit.test_ledger_budgets import UIDS, limits_of
from cortexd.ledger import Ledger, OverBudget

async def main():
    ledger = await Ledger.open(settings(Path(sys.argv[1])))

    async def user(number):
        uid = UIDS[number % 3]
        while True:
            try:
                key = await ledger.reserve(request(uid, request_id=os.urandom(8).hex()), 400_000, limits_of(uid))
            except OverBudget:
                os.write(1, b"over\\n")
                await asyncio.sleep(0.002)
                continue
            await asyncio.sleep(number % 20 / 1000)  # some are under way whenever it is killed
            await ledger.settle(key, "done", [attempt(150_000 + number)])
            os.write(1, b"settled\\n")

    await asyncio.gather(*(user(number) for number in range(60)))

asyncio.run(main())
"""


def spend_and_kill(directory: Path, after_lines: int) -> list[str]:
    command = [sys.executable, "-c", DAEMON, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        said = [daemon.stdout.readline() for _ in range(after_lines)]
        daemon.kill()
        said.extend(daemon.stdout)
    return said


@pytest.mark.of_a_file
class TestKill:
    async def test_no_limit_is_passed_across_kills(self, tmp_path: Path) -> None:
        """After each kill -9 what was under way counts as spent, and the next daemon keeps to what is left."""
        path = settings(tmp_path).path
        every = {each for uid in UIDS for each in limits_of(uid)}
        recovered = 0
        said: list[str] = []
        for after_lines in (100, 150, 200, 400):
            said += spend_and_kill(tmp_path, after_lines)
            ledger = await Ledger.open(settings(tmp_path))
            recovered += ledger.recovered
            states = await ledger.budgets(sorted(every, key=repr))
            await ledger.close()
            replay = Replay(path, every)
            assert replay.passed == []
            for state in states:
                spent = sum(nano for (each, _), nano in replay.spent.items() if each == state.limit)
                assert (state.spent_nano, state.reserved_nano) == (spent, 0)
        assert recovered > 0, "no kill met a pending request: the test proves nothing"
        assert "over\n" in said
        assert audited(path).wrong_rows == 0


async def spend(ledger: Ledger, nano: int, limits: Sequence[Limit], worst: int | None = None, **given: Any) -> Any:
    key = await ledger.reserve(request(**given), nano if worst is None else worst, limits)
    return await ledger.settle(key, "done", [attempt(nano)])


class TestReserve:
    async def test_fits_to_the_last_nano_dollar(self, ledger: Ledger) -> None:
        """What is left may be reserved whole, and not one nano-dollar more."""
        limits = [limit(1_000, (1000,))]
        await spend(ledger, 300, limits)
        with pytest.raises(OverBudget) as refused:
            await ledger.reserve(request(), 701, limits)
        assert (refused.value.state.spent_nano, refused.value.state.left_nano) == (300, 700)
        await ledger.reserve(request(), 700, limits)
        (state,) = await ledger.budgets(limits)
        assert (state.spent_nano, state.reserved_nano, state.left_nano) == (300, 700, 0)

    async def test_refused_writes_nothing(self, ledger: Ledger, tmp_path: Path) -> None:
        """A refusal leaves no row, no entry, and its request id free."""
        with pytest.raises(OverBudget):
            await ledger.reserve(request(request_id="again", caller_chosen=True), 6, [limit(5)])
        assert rows(settings(tmp_path).path, "SELECT * FROM entries") == []
        assert await ledger.find(1000, "again") is None
        await ledger.reserve(request(request_id="again", caller_chosen=True), 5, [limit(5)])

    async def test_names_the_tightest_limit(self, ledger: Ledger) -> None:
        """Of several limits that are too small, the refusal tells the one with the least left."""
        limits = [limit(50, (1000,)), limit(20, (1000, 1001)), limit(30)]
        with pytest.raises(OverBudget) as refused:
            await ledger.reserve(request(), 60, limits)
        assert refused.value.state.limit == limits[1]

    async def test_nothing_always_fits(self, ledger: Ledger) -> None:
        """A model that costs nothing is never stopped by a budget, not even by one of $0."""
        settled = await spend(ledger, 0, [limit(0)])
        assert settled.budgets == (BudgetChange(limit(0), 0, 0),)

    async def test_more_is_refused_and_changes_nothing(self, ledger: Ledger) -> None:
        """A further attempt keeps to the limits of its request; refused, the request stays as it was."""
        limits = [limit(1_000, (1000,))]
        key = await ledger.reserve(request(), 600, limits)
        await ledger.reserve_more(key, 300)
        with pytest.raises(OverBudget):
            await ledger.reserve_more(key, 101)
        assert (await ledger.budgets(limits))[0].reserved_nano == 900
        settled = await ledger.settle(key, "done", [attempt(650)])
        assert settled.budgets == (BudgetChange(limits[0], 0, 650),)
        assert (await ledger.budgets(limits))[0].left_nano == 350

    async def test_usage_above_the_reservation_stops_the_next(self, ledger: Ledger) -> None:
        """More was used than reserved: the truth is booked, and the next request is refused until money is free."""
        limits = [limit(1_000)]
        settled = await spend(ledger, 5_000, limits, worst=10)
        assert (settled.cost_nano, settled.budgets) == (5_000, (BudgetChange(limits[0], 0, 5_000),))
        with pytest.raises(OverBudget) as refused:
            await ledger.reserve(request(1002), 1, limits)
        assert (refused.value.state.spent_nano, refused.value.state.left_nano) == (5_000, 0)

    async def test_a_used_id_is_told_before_an_empty_budget(self, ledger: Ledger) -> None:
        """Repeating a paid request is a repetition, also when no budget is left for a new one."""
        again: dict[str, Any] = {"request_id": "again", "caller_chosen": True}
        await spend(ledger, 5, [limit(5)], **again)
        with pytest.raises(DuplicateRequest):
            await ledger.reserve(request(**again), 5, [limit(5)])

    async def test_groups_count_what_their_members_spent_before(self, ledger: Ledger, tmp_path: Path) -> None:
        """A limit that is new finds what its users, and only they, have spent and reserved already."""
        for uid, nano in ((1000, 10), (1001, 200), (1002, 3_000)):
            await spend(ledger, nano, (), uid=uid)
        await ledger.reserve(request(1001), 50_000)
        limits = [limit(10**9, (1000, 1001)), limit(10**9), limit(10**9, (1002,), Period.MONTH)]
        found = [(state.spent_nano, state.reserved_nano) for state in await ledger.budgets(limits)]
        assert found == [(210, 50_000), (3_210, 50_000), (3_000, 0)]

    async def test_sums_past_64_bits(self, ledger: Ledger) -> None:
        """Amounts that add up past 64 bits are refused, not wrapped round."""
        most = 2**63 - 1
        for uid in UIDS:
            await spend(ledger, most, (), uid=uid)
        (state,) = await ledger.budgets([limit(3 * most + 5)])
        assert state.left_nano == 5
        with pytest.raises(OverBudget):
            await ledger.reserve(request(), 6, [limit(3 * most + 5)])


@pytest.fixture
def in_vain(ledger: Ledger) -> Callable[[int], Awaitable[None]]:
    """Someone leaves a request of whose costs, so many nano-dollars, nobody has told."""

    async def leave(nano: int) -> None:
        key = await ledger.reserve(request(), nano)
        await ledger.settle(key, "cancelled", [attempt(nano, cost_known=False)])

    return leave


class TestShares:
    """Of $0.0000001 of the machine's, half of the rest for one user's uncertain costs."""

    HALF = (replace(limit(100), share=Fraction(1, 2)),)

    async def test_a_single_request_may_take_all(self, ledger: Ledger) -> None:
        """Where nothing else is under way, a request has the whole rest, and may go on in it."""
        key = await ledger.reserve(request(), 60, self.HALF)
        await ledger.reserve_more(key, 40)
        with pytest.raises(OverBudget) as refused:
            await ledger.reserve(request(1001), 1, self.HALF)
        assert not refused.value.own_share

    @pytest.mark.parametrize("under_way", [1, 20, 49])
    async def test_several_keep_to_their_share(self, ledger: Ledger, under_way: int) -> None:
        """With one under way, be it the smallest, they may hold half of it together and no more."""
        await ledger.reserve(request(), under_way, self.HALF)
        with pytest.raises(OverBudget) as refused:
            await ledger.reserve(request(), 51 - under_way, self.HALF)
        assert refused.value.own_share
        assert refused.value.state.uncertain_nano == under_way
        await ledger.reserve(request(), 50 - under_way, self.HALF)
        await ledger.reserve(request(), 0, self.HALF)

    @pytest.mark.parametrize(("unknown", "left"), [(50, 50), (49, 51)])
    async def test_unknown_costs_within_the_share(
        self, ledger: Ledger, in_vain: Callable[[int], Awaitable[None]], unknown: int, left: int
    ) -> None:
        """They take no part of the rest from a single request."""
        await in_vain(unknown)
        await ledger.reserve(request(), left, self.HALF)

    async def test_unknown_costs_beyond_the_share(
        self, ledger: Ledger, in_vain: Callable[[int], Awaitable[None]]
    ) -> None:
        """He who brought them about gets nothing that costs; others do."""
        await in_vain(51)
        with pytest.raises(OverBudget) as refused:
            await ledger.reserve(request(), 1, self.HALF)
        assert refused.value.own_share
        await ledger.reserve(request(), 0, self.HALF)
        await ledger.reserve(request(1001), 49, self.HALF)

    async def test_the_smallest_share_is_named(self, ledger: Ledger) -> None:
        """Of several that are too small."""
        quarter = replace(limit(120, None, Period.MONTH), share=Fraction(1, 4))
        limits = (*self.HALF, quarter, replace(limit(150, (1000, 1001)), share=Fraction(1, 3)))
        await ledger.reserve(request(), 1, limits)
        with pytest.raises(OverBudget) as refused:
            await ledger.reserve(request(), 60, limits)
        assert (refused.value.state.limit, refused.value.own_share) == (quarter, True)


class TestSums:
    @pytest.mark.of_a_file
    async def test_at_hand_are_not_read_again(self, ledger: Ledger, tmp_path: Path) -> None:
        """What the file says of the past is asked once: here somebody adds to it behind the daemon's back."""
        limits = [limit(10_000, (1000,)), limit(10_000, None, Period.MONTH)]
        await spend(ledger, 7, limits)
        columns = "request, uid, kind, nano, at, day, month"
        with closing(sqlite3.connect(settings(tmp_path).path)) as other, other:
            added = other.execute(f"INSERT INTO entries ({columns}) SELECT {columns} FROM entries WHERE nano = 7")
            assert added.rowcount > 0
        assert [(state.spent_nano, state.own.spent_nano) for state in await ledger.budgets(limits, 1000)] == [
            (7, 7)
        ] * 2
        settled = await spend(ledger, 4, limits)
        assert (settled.user_day_nano, settled.user_month_nano) == (11, 11)

    async def test_of_what_was_settled(self, ledger: Ledger) -> None:
        """A settlement says what it cost and whether that is known, and the totals after it."""
        for number, known in enumerate((True, False), start=1):
            key = await ledger.reserve(request(), 9)
            settled = await ledger.settle(key, "done", [attempt(5, cost_known=known)])
            assert (settled.cost_nano, settled.cost_known) == (5, known)
            assert settled.totals == Totals(number, 5 * number)


class TestPeriods:
    async def test_are_those_of_the_requests_start(self, ledger: Ledger, time_zone: Callable[[str], None]) -> None:
        """A new day has its whole limit, the month goes on, and a late settlement counts to the day it began in."""
        time_zone("JST-9")
        before, after = datetime(2026, 11, 23, 14, 59, tzinfo=UTC), datetime(2026, 11, 23, 15, 1, tzinfo=UTC)
        limits = [limit(100, (1000,)), limit(150, (1000,), Period.MONTH)]
        late = await ledger.reserve(request(started_at=before), 100, limits)
        with pytest.raises(OverBudget):
            await ledger.reserve(request(started_at=before), 1, limits)
        key = await ledger.reserve(request(started_at=after), 50, limits)
        with pytest.raises(OverBudget) as refused:
            await ledger.reserve(request(started_at=after), 1, limits)
        assert refused.value.state.limit.period is Period.MONTH
        assert (await ledger.settle(late, "done", [attempt(90)])).budgets[0] == BudgetChange(limits[0], 0, 90)
        assert (await ledger.settle(key, "done", [attempt(40)])).budgets == (
            BudgetChange(limits[0], 0, 40),
            BudgetChange(limits[1], 90, 130),
        )

    async def test_a_new_month_starts_from_nothing(self, ledger: Ledger, time_zone: Callable[[str], None]) -> None:
        """What November has spent does not bind December."""
        time_zone("UTC0")
        limits = [limit(100, None, Period.MONTH)]
        await spend(ledger, 100, limits, started_at=datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC))
        await spend(ledger, 100, limits, started_at=datetime(2026, 12, 1, tzinfo=UTC))
        with pytest.raises(OverBudget):
            await spend(ledger, 1, limits, started_at=datetime(2026, 11, 30, tzinfo=UTC))


class TestFailedWrites:
    @pytest.mark.of_a_file
    async def test_leave_the_sums_as_they_were(self, ledger: Ledger, tmp_path: Path) -> None:
        """Reservations that came to nothing, alone or in a group that had to be tried again, hold no money."""
        path = settings(tmp_path).path
        rows(path, "CREATE TRIGGER refuse BEFORE INSERT ON requests WHEN new.task_type = 'refused' "
                   "BEGIN SELECT RAISE(ABORT, 'refused'); END")  # fmt: skip
        limits = [limit(10_000, (1000,)), limit(10_000)]
        await spend(ledger, 7, limits, request_id="used", caller_chosen=True)

        async def together() -> list[Any]:
            names = ("fine", "used", "refused", "also fine")
            wanted = (
                request(request_id=name, caller_chosen=True, task_type="refused" if name == "refused" else "chat")
                for name in names
            )
            reserving = (ledger.reserve(each, 100, limits) for each in wanted)
            return await asyncio.gather(*reserving, return_exceptions=True)

        outcomes = await while_locked(path, together)
        assert [type(outcome).__name__ for outcome in outcomes] == [
            "int",
            "DuplicateRequest",
            "LedgerUnavailable",
            "int",
        ]
        assert [(state.spent_nano, state.reserved_nano) for state in await ledger.budgets(limits)] == [(7, 200)] * 2
